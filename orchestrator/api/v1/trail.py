"""The trail: who changed what."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from orchestrator.api.asking import Parts
from orchestrator.api.v1 import models
from orchestrator.api.v1.answers import ANYWHERE
from orchestrator.api.v1.pages import Pages
from orchestrator.api.v1.tokens import Administrator
from orchestrator.services.trail import verify
from orchestrator.services.views import entry_view

router = APIRouter(tags=["trail"], responses=ANYWHERE)


@router.get("/trail", summary="Who changed what, oldest first", response_model=models.Page[models.Entry])
def list_trail(lockstep: Parts, who: Administrator, pages: Pages) -> dict[str, Any]:
    """Every entry, with its digest."""
    del who
    found = lockstep.trail.entries(pages.number("trail") or 0, pages.limit + 1)
    return pages.page("trail", found, entry_view, lambda entry: (entry.number,))


@router.get("/trail/verify", summary="Whether the trail is whole", response_model=models.Verified)
def verify_trail(lockstep: Parts, who: Administrator) -> dict[str, Any]:
    """Every entry is computed again, and must follow from the one before it."""
    del who
    verdict = verify(lockstep.trail)
    return {
        "intact": verdict.whole,
        "entries": verdict.entries,
        "digest": verdict.digest,
        "problem": verdict.wrong or None,
    }
