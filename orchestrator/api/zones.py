"""Polled zones: ``GET /zones/NAME/STEP``, as OutSystems' container zones ask (docs/hooks.md, "Polled zones")."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from inventory.hooks import Zone
from orchestrator.adapters.inventory import select_fleet
from orchestrator.adapters.secrets import tokens
from orchestrator.api.asking import Authenticator, Parts, address_of
from orchestrator.api.hooks import hooks_of
from orchestrator.api.watch import Watch
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.errors import LockstepError, UnauthenticatedError
from orchestrator.domain.zone import PARAMETERS, VERSION_PARAMETER, Step, is_test, request_of

log = structlog.get_logger()
router = APIRouter(tags=["hooks"])

_ABOUT: dict[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
            "description": "As it is." if name == VERSION_PARAMETER else "In base64.",
        }
        for name in (*PARAMETERS, VERSION_PARAMETER)
    ]
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "A test of the connection: no operation was named."},
    202: {"description": "Taken; the result appears as a file."},
    401: {"description": "No such zone, or not its token."},
    422: {"description": "No result file could be named, or the rest can't be read."},
    429: {"description": "Too many failed attempts."},
}


@router.get("/zones/{name}/{step}", summary="Ask a zone", responses=_ANSWERS, openapi_extra=_ABOUT)
def ask(name: str, step: Step, request: Request, lockstep: Parts) -> JSONResponse:
    """With the zone's token as ``Authorization: Bearer TOKEN``."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return _take(name, given.strip() if scheme.lower() == "bearer" else "", step, request, lockstep)


@router.get("/zones/{name}/{token}/{step}", summary="Ask a zone", responses=_ANSWERS, openapi_extra=_ABOUT)
def ask_by_path(name: str, token: str, step: Step, request: Request, lockstep: Parts) -> JSONResponse:
    """With the zone's token in the path, for those who can send no header."""
    return _take(name, token, step, request, lockstep)


def _take(name: str, token: str, step: Step, request: Request, lockstep: Lockstep) -> JSONResponse:
    authenticator: Authenticator = request.app.state.authenticator
    zone = next((each for each in hooks_of(lockstep).zones if each.name == name), None)
    authenticator.guard(address_of(request), lambda: _authenticate(zone, token))
    assert zone is not None  # nobody has its token
    given = dict(request.query_params)
    if is_test(given):
        return JSONResponse({"zone": name, "step": step, "said": "the connection works; no operation was named"})
    asked = request_of(step, given)
    lockstep.zones.take(zone, select_fleet(lockstep.inventory(), zone.fleet), asked)
    watch: Watch = request.app.state.watch
    watch.wake()
    return JSONResponse({"zone": name, "step": step, "result": asked.file}, 202)


def _authenticate(zone: Zone | None, token: str) -> None:
    """`UnauthenticatedError`, always the same one, where it is not the token of such a zone."""
    given, right = token.encode(), False
    for known in _tokens(zone):
        right |= hmac.compare_digest(given, known)
    if not right:
        raise UnauthenticatedError("the zone's token is not right", expected="Authorization: Bearer TOKEN, or the path")


def _tokens(zone: Zone | None) -> list[bytes]:
    """The zone's tokens, or one that nobody has."""
    if zone is not None:
        try:
            return tokens(zone.secret_file)
        except LockstepError as error:
            # For whoever runs Lockstep, not for whoever asks.
            log.warning("a zone's token can't be used", zone=zone.name, problem=error.problem.as_dict())
    return [secrets.token_bytes(32)]
