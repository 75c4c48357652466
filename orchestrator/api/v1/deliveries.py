"""Deliveries to receivers of hooks: what became of each, and once more (docs/notices.md)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from orchestrator.api.asking import Parts, Who
from orchestrator.api.problems import NotFoundError
from orchestrator.domain.access import EVERYWHERE, Permission
from orchestrator.services.access import require
from orchestrator.services.outbox import delivery_view

router = APIRouter(prefix="/api/v1/deliveries", tags=["deliveries"])

#: The largest number that the ledger can hold.
LARGEST = 2**63 - 1


@router.get("", summary="Deliveries to webhooks and notices, newest first")
def list_deliveries(
    lockstep: Parts,
    who: Who,
    receiver: Annotated[str | None, Query(max_length=80, description="Only this one's: `webhook/NAME`.")] = None,
    failed: Annotated[bool, Query(description="Only those that were given up.")] = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> dict[str, Any]:
    """What became of each: its state, attempts, the last status and the next try."""
    require(who, Permission.ADMINISTER, EVERYWHERE)
    found = lockstep.deliveries.deliveries(receiver, failed=failed, limit=limit)
    return {"deliveries": [delivery_view(delivery) for delivery in found]}


@router.post("/{number}/redeliver", summary="Deliver once more", status_code=202)
def redeliver(
    lockstep: Parts, who: Who, number: Annotated[int, Path(ge=1, le=LARGEST, description="The delivery's id.")]
) -> dict[str, Any]:
    """Due now, whatever became of it. A worker delivers it within a second; the list says what came of it."""
    require(who, Permission.ADMINISTER, EVERYWHERE)
    if lockstep.deliveries.delivery(number) is None:
        raise NotFoundError(f"there is no delivery {number}")
    return delivery_view(lockstep.outbox.repeat(number, lockstep.receivers(), who.name))
