"""Deliveries to receivers of hooks: what became of each, and once more (docs/notices.md)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from orchestrator.adapters.ledger.queries import MAX_NUMBER
from orchestrator.api.asking import Parts
from orchestrator.api.problems import NotFoundError
from orchestrator.api.v1 import models
from orchestrator.api.v1.answers import ANYWHERE, REPLAYED, problems
from orchestrator.api.v1.once import Answer, Asked
from orchestrator.api.v1.pages import Pages
from orchestrator.api.v1.tokens import Administrator
from orchestrator.services.outbox import delivery_view

router = APIRouter(tags=["deliveries"], responses=ANYWHERE)


@router.get(
    "/deliveries",
    summary="Deliveries to webhooks and notices, newest first",
    response_model=models.Page[models.Delivery],
)
def list_deliveries(
    lockstep: Parts,
    who: Administrator,
    pages: Pages,
    receiver: Annotated[
        str | None,
        Query(pattern=r"^(?:webhook|notice)/[A-Za-z0-9._-]{1,63}$", description="Only this one's: `webhook/NAME`."),
    ] = None,
    failed: Annotated[bool, Query(description="Only those that were given up.")] = False,
) -> dict[str, Any]:
    """What became of each: its state, attempts, the last status and the next try."""
    del who
    before = pages.number("deliveries")
    found = lockstep.deliveries.deliveries(receiver, failed=failed, before=before, limit=pages.limit + 1)
    return pages.page("deliveries", found, delivery_view, lambda delivery: (delivery.number,))


@router.post(
    "/deliveries/{number}/redeliver",
    summary="Deliver once more",
    status_code=202,
    response_model=models.Delivery,
    responses={202: {"description": "It is due now.", "headers": REPLAYED}, **problems(404, 409)},
)
def redeliver(
    lockstep: Parts,
    who: Administrator,
    asked: Asked,
    number: Annotated[int, Path(ge=1, le=MAX_NUMBER, description="The delivery's id.")],
) -> Response:
    """Due now, whatever became of it. A worker delivers it within a second; the list says what came of it."""

    def act() -> Answer:
        if lockstep.deliveries.delivery(number) is None:
            raise NotFoundError(f"there is no delivery {number}")
        return Answer(202, delivery_view(lockstep.outbox.repeat(number, lockstep.receivers(), who.name)))

    return asked.answer(act)
