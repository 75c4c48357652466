"""Errors as problem details (RFC 9457). docs/api.md, "Problems", lists the types."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from inventory.names import is_app
from orchestrator.domain.access import without_tokens
from orchestrator.domain.errors import (
    ConflictError,
    ForbiddenError,
    HeldError,
    LockstepError,
    RefusedError,
    ReleaseError,
    UnansweredError,
    UnauthenticatedError,
    UsageError,
)

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"

#: The type, the status and the title of every kind of error. A type never changes its meaning.
KINDS: Mapping[type[LockstepError], tuple[str, int, str]] = {
    UnauthenticatedError: ("unauthenticated", 401, "Nobody knows who asks"),
    ForbiddenError: ("forbidden", 403, "Not allowed"),
    ConflictError: ("conflict", 409, "Somebody else holds it, or it exists with other content"),
    ReleaseError: ("release", 422, "Not a release"),
    UsageError: ("usage", 422, "Can't be understood, or names what does not exist"),
    RefusedError: ("refused", 409, "Refused"),
    UnansweredError: ("unanswered", 503, "Nobody knows the outcome"),
    LockstepError: ("failed", 500, "It failed, and nothing was changed"),
}


class NotFoundError(UsageError):
    """What the path names does not exist."""


class TooLargeError(UsageError):
    """More than is taken in."""


class TooManyError(UnauthenticatedError):
    """Too many attempts to authenticate. `seconds` is how long to wait."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        super().__init__("too many failed attempts", remedy=f"wait {seconds} s, then use a valid token")


class BusyError(LockstepError):
    """As many as this server bears at once. `seconds` is after how long to try again."""

    def __init__(self, what: str, seconds: int) -> None:
        self.seconds = seconds
        super().__init__(what, remedy=f"try again in {seconds} s")


class RepeatedError(UsageError):
    """The name of a request that was another one."""


class PreconditionError(ConflictError):
    """What the request saw is not what is there now."""


#: Kinds that only HTTP knows.
HTTP_KINDS: Mapping[type[LockstepError], tuple[str, int, str]] = {
    NotFoundError: ("not-found", 404, "There is no such thing"),
    TooLargeError: ("too-large", 413, "Too large"),
    TooManyError: ("too-many-attempts", 429, "Too many failed attempts"),
    BusyError: ("busy", 503, "Too many at once"),
    RepeatedError: ("idempotency", 422, "The Idempotency-Key belongs to another request"),
    PreconditionError: ("precondition", 412, "It has changed since it was read"),
}


def kind(error: LockstepError) -> tuple[str, int, str]:
    """The type, the status and the title of an error."""
    known = {**KINDS, **HTTP_KINDS}
    return next(known[each] for each in type(error).__mro__ if each in known)


def document(name: str, status: int, title: str, detail: str = "", **members: Any) -> dict[str, Any]:
    """A problem's JSON. Empty members are left out; a token that an error quotes is not told."""
    words = {"type": f"urn:lockstep:problem:{name}", "title": title, "status": status, "detail": detail, **members}
    told = {key: value for key, value in words.items() if value not in ("", None)}
    shown: dict[str, Any] = json.loads(without_tokens(json.dumps(told)))
    return shown


#: What is told of a fault of ours.
FAULT = document("fault", 500, "A fault of Lockstep; its log has it")


def problem_of(error: LockstepError) -> dict[str, Any]:
    """An error as a problem's JSON."""
    name, status, title = kind(error)
    problem = error.problem.as_dict()
    holder = dict(error.holder) if isinstance(error, HeldError) else None
    return document(name, status, title, problem.pop("what"), **problem, holder=holder)


def answer(error: LockstepError) -> JSONResponse:
    """An error as an answer."""
    body = problem_of(error)
    status = body["status"]
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="lockstep"'
    if isinstance(error, TooManyError | BusyError):
        headers["Retry-After"] = str(error.seconds)
    return JSONResponse(body, status, headers, MEDIA_TYPE)


async def lockstep_error(request: Request, error: Exception) -> JSONResponse:
    """What Lockstep raises on purpose."""
    del request
    assert isinstance(error, LockstepError)
    return answer(error)


async def invalid(request: Request, error: Exception) -> JSONResponse:
    """What FastAPI finds wrong in a request. What was sent is not repeated: it may hold a secret."""
    del request
    assert isinstance(error, RequestValidationError)
    errors = [{"where": _where(one["loc"], one["type"]), "what": one["msg"]} for one in error.errors()]
    detail = "; ".join(f"{one['where']}: {one['what']}" for one in errors[:5])
    return JSONResponse(
        document("invalid", 422, "The request is not valid", detail, errors=errors), 422, {}, MEDIA_TYPE
    )


def _where(location: Sequence[str | int], kind_of_error: str) -> str:
    """The place of a mistake, without names that the sender made up."""
    shown = ["…" if isinstance(part, str) and not is_app(part) and part != "[key]" else str(part) for part in location]
    if kind_of_error == "extra_forbidden":
        shown[-1] = "…"
    return ".".join(shown)


async def http_error(request: Request, error: Exception) -> JSONResponse:
    """What the router finds: no such path, no such method."""
    del request
    assert isinstance(error, HTTPException)
    name = {400: "malformed", 404: "not-found", 405: "method", 413: "too-large"}.get(error.status_code, "http")
    body = document(name, error.status_code, str(error.detail))
    return JSONResponse(body, error.status_code, error.headers, MEDIA_TYPE)


async def fault(request: Request, error: Exception) -> JSONResponse:
    """A fault of ours. The log has it; who asked is told no more than that."""
    # The route's pattern, not the path: a path may hold a secret (docs/hooks.md, "Polled zones").
    route = getattr(request.scope.get("route"), "path", "")
    log.error("a request failed", method=request.method, route=route, exc_info=error)
    return JSONResponse(FAULT, 500, {}, MEDIA_TYPE)
