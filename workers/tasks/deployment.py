"""Tasks of whole deployments, and of the rotation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog

from inventory.model import Fleet
from orchestrator.domain.deployment import Decision
from orchestrator.domain.errors import LockstepError
from orchestrator.domain.rotation import Drain
from orchestrator.ports import Deployments, lead_of
from orchestrator.services.coordinator import Coordinator
from workers.bootstrap import Workshop
from workers.rotation import still_out, take_out

log = structlog.get_logger()

#: How often drains are looked at.
WATCH_EVERY = timedelta(seconds=5)


def coordinate(workshop: Workshop, number: int) -> None:
    """Bring a deployment as far as it can go now, unless somebody leads it already."""
    with structlog.contextvars.bound_contextvars(deployment=number), held(workshop, lead_of(number)) as lead:
        if lead is None:
            log.info("led by another worker")
            return
        try:
            Coordinator(workshop.lockstep.ledger, workshop.fleet(number), number, takes_over=lead).run()
        except LockstepError as error:
            # The row says how far it came. Whoever looks for deployments that nobody leads goes on from there.
            log.exception("coordination ended", **error.problem.as_dict())
        finally:
            workshop.connections.close(number)


def drain(workshop: Workshop, number: int) -> None:
    """Take a frontend out of rotation, and say so in the ledger; or say why nobody knows whether it is out."""
    ledger = workshop.lockstep.ledger
    standing = ledger.drain(number)
    if standing is None or standing.lifted_at is not None or _ends(ledger, standing):
        return
    with structlog.contextvars.bound_contextvars(drain=number, frontend=standing.frontend):
        try:
            fleet = Fleet.model_validate(standing.snapshot)
            by = take_out(fleet, *workshop.of_drain(fleet, standing))
        except LockstepError as error:
            log.warning("not drained", **error.problem.as_dict())
            ledger.doubt_drain(number, error.problem.as_dict())
        else:
            log.info("drained", by=by)
            ledger.confirm_drain(number, by)
        finally:
            workshop.connections.close(-number)


def watch(workshop: Workshop) -> None:
    """Drain what is to be drained and is not yet, and see that nobody forgot what is. One worker at a time."""
    with held(workshop, "watch") as mine:
        for standing in workshop.lockstep.ledger.drains() if mine else ():
            if standing.confirmed and not _ends(workshop.lockstep.ledger, standing):
                _keep_out(standing)
            elif not standing.confirmed:
                drain(workshop, standing.number)


def _ends(ledger: Deployments, standing: Drain) -> bool:
    """Whether a readmission that is decided just lets it in: to take it out now would outlast the drain."""
    row = ledger.open_deployment(standing.fleet)
    if row is None or row.decision is not Decision.COMMIT:
        return False
    return row.plan.readmits.get(standing.frontend) == standing.number


def _keep_out(standing: Drain) -> None:
    fleet = Fleet.model_validate(standing.snapshot)
    frontend = fleet.frontend(standing.frontend)
    try:
        if frontend is not None:
            still_out(fleet, frontend)
    except LockstepError as error:
        log.warning("nobody knows whether it is still drained", frontend=standing.frontend, **error.problem.as_dict())


@contextmanager
def held(workshop: Workshop, name: str) -> Iterator[bool | None]:
    """True with the lease of this name, None where somebody else has it, False where nobody can tell."""
    try:
        lease = workshop.lockstep.leases.take(name)
    except LockstepError as error:
        log.warning("going on without a lease", lease=name, **error.problem.as_dict())
        yield False
        return
    if lease is None:
        yield None
        return
    try:
        yield True
    finally:
        lease.release()
