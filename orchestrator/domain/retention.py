"""Which activations a frontend keeps: pure; docs/protocol.md, "Retention"."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from orchestrator.domain.deployment import Deployment


def retained(committed: Sequence[Deployment], keep: int, age: timedelta, now: datetime) -> list[Deployment]:
    """Of a fleet's `committed` deployments, newest first: those that its frontends must hold, newest first.

    That is what is served, the `keep` before it, and all that were served less than `age` ago: a client may still be
    pinned to them. An activation is served until the next one is decided; the first may be one that is not, yet.
    """
    kept = []
    for place, deployment in enumerate(committed):
        ended = committed[place - 1].decided_at if place else None
        if place <= keep or ended is None or now - ended < age:
            kept.append(deployment)
    return kept
