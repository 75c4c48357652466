"""Whether the server lives, and whether it can do its work. Without a token: load balancers ask."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from orchestrator.api.asking import Parts
from orchestrator.domain.errors import LockstepError

router = APIRouter(tags=["health"])


@router.head("/healthz", include_in_schema=False)
@router.get("/healthz", summary="Whether the server lives")
async def healthz() -> dict[str, str]:
    """It answers, however many requests are at work."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", summary="Whether the server can do its work", responses={503: {"description": "Not now."}})
def readyz(lockstep: Parts) -> JSONResponse:
    """The ledger, the broker and the inventory, each by its own word."""
    checks: dict[str, Any] = {}
    for name, look in (
        ("ledger", lockstep.trail.last),
        # The broker may not even be configured, which its property says.
        ("broker", lambda: lockstep.dispatch.memory()),  # noqa: PLW0108
        ("inventory", lockstep.inventory),
    ):
        try:
            look()
        except LockstepError as error:
            checks[name] = error.problem.what
        else:
            checks[name] = "ok"
    ready = all(word == "ok" for word in checks.values())
    return JSONResponse({"status": "ok" if ready else "not ready", "checks": checks}, 200 if ready else 503)
