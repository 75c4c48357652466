"""Plans of fleets of any size."""

from __future__ import annotations

from orchestrator.domain.activation import Placement
from orchestrator.domain.deployment import Kind, Plan

FLEET = "test/web"
PLACEMENTS = (Placement("App", "/App/", "1.0", "a" * 64), Placement("Shop", "/Shop/", "7", "b" * 64))


def names(count: int) -> tuple[str, ...]:
    """The names of so many frontends: a, b, c, …"""
    return tuple("abcdefgh"[:count])


def plan(count: int, *, hold: bool = False, fleet: str = FLEET) -> Plan:
    """A deployment of two apps to so many frontends."""
    return Plan(
        fleet=fleet,
        kind=Kind.DEPLOY,
        changes={p.app: p.version for p in PLACEMENTS},
        placements=PLACEMENTS,
        frontends=names(count),
        snapshot={},
        actor="test",
        hold=hold,
    )
