"""Hooks in: ``POST /hooks/NAME``, with a signature in place of a token (docs/hooks.md, "A hook in")."""

from __future__ import annotations

import secrets
import time
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from inventory.hooks import Hooks, Trigger
from orchestrator.adapters.inventory import select_fleet
from orchestrator.adapters.secrets import keys
from orchestrator.api.asking import Authenticator, Parts, address_of
from orchestrator.api.problems import TooLargeError
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.errors import LockstepError
from orchestrator.domain.signature import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, verify
from orchestrator.services.triggers import Answer

log = structlog.get_logger()
router = APIRouter(tags=["hooks"])

#: The largest body, in bytes.
LARGEST = 1024 * 1024

_EXAMPLE = {"release": {"version": "1.2.0"}}
_ABOUT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {}, "example": _EXAMPLE}},
    },
    "parameters": [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}, "description": description}
        for name, description in (
            (ID_HEADER, "What the sender calls the delivery; the same again deploys nothing more."),
            (TIMESTAMP_HEADER, "When it was signed: whole seconds since 1970."),
            (SIGNATURE_HEADER, "v1, and the base64 of HMAC-SHA-256 of id.timestamp.body."),
        )
    ],
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Nothing to do: the fleet serves it already."},
    202: {"description": "The deployment that it set off."},
    400: {"description": "The body ended early."},
    401: {"description": "No such hook, or not signed rightly."},
    409: {"description": "The fleet is held, or another delivery had the same id."},
    413: {"description": f"More than {LARGEST} bytes."},
    415: {"description": "Not JSON."},
    422: {"description": "The body is not what the hook needs."},
    429: {"description": "Too many failed attempts."},
    503: {"description": "Nobody knows whether the delivery has deployed."},
}


@router.post("/hooks/{name}", summary="Deliver to a hook", responses=_ANSWERS, openapi_extra=_ABOUT)
async def deliver(name: str, request: Request, lockstep: Parts) -> JSONResponse:
    """Deploys what the hook's templates make of the body. Signed, in the form of Standard Webhooks."""
    body = await _body(request)
    answer = await run_in_threadpool(_fire, request, lockstep, name, body)
    return JSONResponse(dict(answer.content), answer.status)


def _fire(request: Request, lockstep: Lockstep, name: str, body: bytes) -> Answer:
    authenticator: Authenticator = request.app.state.authenticator
    hook = next((each for each in hooks_of(lockstep).triggers if each.name == name), None)
    delivery = authenticator.guard(address_of(request), lambda: _verified(request, hook, body))
    assert hook is not None  # else nothing would be signed rightly
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "the body is not JSON: Content-Type: application/json is expected")
    return lockstep.firing.fire(hook, select_fleet(lockstep.inventory(), hook.fleet), delivery, body)


def _verified(request: Request, hook: Trigger | None, body: bytes) -> str:
    """The delivery's id. Whoever has no key is told the same of every name, whether there is such a hook or not."""
    given = request.headers
    headers = (given.get(ID_HEADER), given.get(TIMESTAMP_HEADER), given.get(SIGNATURE_HEADER))
    tolerance = 1 if hook is None else hook.tolerance_seconds
    return verify(_keys(hook), headers, body, time.time(), tolerance)


def _keys(hook: Trigger | None) -> list[bytes]:
    """The hook's keys, or one that nobody has."""
    if hook is not None:
        try:
            return keys(hook.secret_file)
        except LockstepError as error:
            # For whoever runs Lockstep, not for whoever asks.
            log.warning("a hook's secret can't be used", hook=hook.name, problem=error.problem.as_dict())
    return [secrets.token_bytes(32)]


def hooks_of(lockstep: Lockstep) -> Hooks:
    """The hooks. What is wrong with their file is for the log: who asks has not said yet who that is."""
    try:
        return lockstep.hooks()
    except LockstepError as error:
        log.warning("the file of hooks can't be used", problem=error.problem.as_dict())
        raise LockstepError("Lockstep's hooks can't be read; its log says why") from error


async def _body(request: Request) -> bytes:
    """The body, of which no more is kept than may be."""
    stated = request.headers.get("content-length", "")
    if stated.isascii() and stated.isdigit() and int(stated[:20]) > LARGEST:
        raise _too_large()
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST:
                raise _too_large()
    except ClientDisconnect:
        raise HTTPException(400, "the body ended early") from None
    return bytes(body)


def _too_large() -> TooLargeError:
    return TooLargeError("the body is too large", expected=f"at most {LARGEST} bytes")
