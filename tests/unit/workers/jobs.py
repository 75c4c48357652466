"""One frontend of a deployment that serves nothing: what must lie on it is its activation's own document."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from orchestrator.domain.activation import Activation, ActivationName
from orchestrator.domain.deployment import Kind
from orchestrator.ota.layouts import layout
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.plans import plan
from tests.unit.services.fleets import fleet
from workers.frontend.job import Held, Job, Prepared


def named(epoch: int) -> ActivationName:
    """Always the same for an epoch."""
    return ActivationName(epoch, f"{epoch:016x}")


def held(epoch: int) -> Held:
    """An activation of nothing."""
    return Held(named(epoch), layout(Activation.of(named(epoch), ()), {}))


def job_of(
    epoch: int,
    *,
    kind: Kind = Kind.DEPLOY,
    earlier: Collection[int] = (),
    kept: Collection[int] = (),
    served: Collection[int] = (),
) -> Job:
    """The first frontend of a deployment at this epoch."""
    row = MemoryLedger().plan(plan(1))
    prepared = Prepared(
        replace(row, name=named(epoch), plan=replace(row.plan, kind=kind)),
        fleet(),
        held(epoch),
        tuple(map(held, earlier)),
        kept=frozenset(map(named, kept)),
        served=frozenset(map(named, served)),
        releases={},
        previous={},
        sizes={},
    )
    return Job(prepared, prepared.fleet.frontends[0])
