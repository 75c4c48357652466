"""The server's application. `lockstep serve` runs it under uvicorn."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from orchestrator.api import health, hooks, problems, zones
from orchestrator.api.asking import Authenticator
from orchestrator.api.document import Application
from orchestrator.api.lifetime.application import PREFIX, make_lifetime
from orchestrator.api.v1 import router as v1
from orchestrator.api.v1.feed import Feed
from orchestrator.api.v1.limit import Limited
from orchestrator.api.watch import Watch, watching
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.errors import LockstepError
from orchestrator.logs import configure


def make_app(lockstep: Lockstep) -> FastAPI:
    """The application over one set of parts.

    No pages that show the document: those that FastAPI has load scripts from elsewhere.
    """
    app = Application(
        title="Lockstep",
        version="1",
        description="Moves a fleet of frontends from one release to the next, all or none.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=watching,
    )
    app.state.lockstep = lockstep
    app.state.authenticator = Authenticator(lockstep)
    app.state.feed = Feed(lambda: lockstep.trail)
    app.state.watch = Watch(lockstep)
    app.include_router(health.router)
    app.include_router(v1.router)
    app.include_router(hooks.router)
    app.include_router(zones.router)
    app.mount(PREFIX, make_lifetime(lockstep, app.state.authenticator))
    app.add_middleware(Limited)
    app.add_exception_handler(LockstepError, problems.lockstep_error)
    app.add_exception_handler(RequestValidationError, problems.invalid)
    app.add_exception_handler(HTTPException, problems.http_error)
    app.add_exception_handler(Exception, problems.fault)
    return app


def from_environment() -> FastAPI:
    """The application for the settings of this process's environment. uvicorn's factory."""
    lockstep = Lockstep()
    configure(lockstep.settings.log_format)
    assert lockstep.ledger is not None  # the schema is brought up to date before the first request
    return make_app(lockstep)
