"""Which activations a frontend keeps: pure; docs/protocol.md, "Retention"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from orchestrator.domain.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Keeping:
    """How much stays: so many activations before what is served, and all that were served less than `age` ago."""

    keep: int
    age: timedelta

    @classmethod
    def of(cls, snapshot: Mapping[str, Any]) -> Keeping:
        """The policy of a fleet as a deployment had it."""
        policy = snapshot["policy"]
        return cls(int(policy["keep"]), timedelta(hours=float(policy["keep_hours"])))

    def holds(self, distance: int, ended: datetime | None, now: datetime) -> bool:
        """Whether an activation stays that is so many below what is served, and was served until `ended`."""
        return distance <= self.keep or ended is None or now - ended < self.age


def retained(committed: Sequence[Deployment], keeping: Keeping, now: datetime) -> list[Deployment]:
    """Of a fleet's `committed` deployments, newest first: those that its frontends must hold, newest first.

    That is what is served, the `keep` before it, and all that were served less than `age` ago: a client may still be
    pinned to them. An activation is served until the next one is decided; the first may be one that is not, yet. What a
    deployment has let go by the policy of its time is not asked for again when the fleet keeps more.
    """
    kept: list[Deployment] = []
    for place, deployment in enumerate(committed):
        ended = committed[place - 1].decided_at if place else None
        survived = all(
            Keeping.of(row.plan.snapshot).holds(place - index, ended, row.ended_at or now)
            for index, row in enumerate(kept)
            if "policy" in row.plan.snapshot
        )
        if not survived or not keeping.holds(place, ended, now):
            # Nor is anything that was served before it.
            break
        kept.append(deployment)
    return kept
