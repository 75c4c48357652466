"""The application below `/lifetimeapi`: LifeTime's Deployment API v2, with errors in LifeTime's form."""

from __future__ import annotations

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from orchestrator.api import problems
from orchestrator.api.asking import Authenticator
from orchestrator.api.lifetime import applications, deployments, environments, unsupported
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.errors import LockstepError
from orchestrator.domain.lifetime.documents import errors
from orchestrator.domain.lifetime.plan import UnknownKeyError, sentence

log = structlog.get_logger()

#: Where it is mounted, and the base of its paths below that.
PREFIX = "/lifetimeapi"
BASE = "/rest/v2"


class EitherSlash:
    """Paths with and without a slash at their end are the same, and nobody is redirected."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"][:-1]}
        await self._app(scope, receive, send)


def make_lifetime(lockstep: Lockstep, authenticator: Authenticator) -> FastAPI:
    """The application over the parts that the whole server has. Its document is LifeTime's, so it publishes none."""
    app = FastAPI(title="LifeTime Deployment API", openapi_url=None, redirect_slashes=False)
    app.state.lockstep = lockstep
    app.state.authenticator = authenticator
    for module in (unsupported, environments, applications, deployments):
        app.include_router(module.router, prefix=BASE)
    app.add_middleware(EitherSlash)
    app.add_exception_handler(LockstepError, _lockstep_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _fault)
    return app


def status_of(error: LockstepError) -> int:
    """The status of an error, of those that LifeTime's clients know."""
    if isinstance(error, UnknownKeyError):
        return 404
    status = problems.kind(error)[1]
    if status in (409, 412, 422):
        return 400
    return 500 if status == 503 else status


async def _lockstep_error(request: Request, error: Exception) -> JSONResponse:
    """What Lockstep raises on purpose. The headers are those of any other of its answers."""
    del request
    assert isinstance(error, LockstepError)
    status = status_of(error)
    headers = {
        name: value
        for name, value in problems.answer(error).headers.items()
        if name in ("www-authenticate", "retry-after")
    }
    return JSONResponse(errors([sentence(error.problem.as_dict())], status), status, headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """What FastAPI finds wrong in a request. What was sent is not repeated."""
    del request
    assert isinstance(error, RequestValidationError)
    texts = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return JSONResponse(errors(texts[:20], 400), 400)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """What the router finds: no such path, no such method."""
    del request
    assert isinstance(error, HTTPException)
    text = str(error.detail)
    if error.status_code == 404:
        text = f"there is no such path in the LifeTime Deployment API v2 ({PREFIX}{BASE})"
    return JSONResponse(errors([text], error.status_code), error.status_code, error.headers)


async def _fault(request: Request, error: Exception) -> JSONResponse:
    """A fault of ours. The log has it; who asked is told no more than that."""
    log.error("a request failed", path=request.url.path, exc_info=error)
    return JSONResponse(errors(["a fault of Lockstep; its log has it"], 500), 500)
