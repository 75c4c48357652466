"""Tasks of whole deployments, and of the rotation."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import structlog

from inventory.model import Fleet
from orchestrator.domain.errors import LockstepError
from orchestrator.domain.rotation import Drain
from orchestrator.ports import Deployments
from orchestrator.services.coordinator import Coordinator
from orchestrator.services.leading import held, lead
from orchestrator.services.rotation import in_force, let_back
from workers.bootstrap import Workshop
from workers.rotation import still_out, take_out, use_again

log = structlog.get_logger()

#: How often drains are looked at.
WATCH_EVERY = timedelta(seconds=5)


def coordinate(workshop: Workshop, number: int) -> None:
    """Bring a deployment as far as it can go now, unless somebody leads it already."""
    lockstep = workshop.lockstep
    coordinator = partial(Coordinator, gates=workshop.gatekeeper())
    lead(lockstep.ledger, lockstep.leases, number, partial(workshop.fleet, number), coordinator)


def drain(workshop: Workshop, number: int) -> None:
    """Take a frontend out of rotation, and say so in the ledger; or say why nobody knows whether it is out."""
    ledger = workshop.lockstep.ledger
    standing = in_force(ledger, number)
    if standing is None:
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
            _use_again(ledger, standing)
        finally:
            workshop.connections.close(-number)


def watch(workshop: Workshop) -> None:
    """Drain what is to be drained and is not yet, and see that nobody forgot what is. One worker at a time."""
    with held(workshop.lockstep.leases, "watch") as mine:
        for standing in workshop.lockstep.ledger.drains() if mine else ():
            tend(workshop, standing.number)


def tend(workshop: Workshop, number: int) -> None:
    """What one drain needs now. It is read anew: others before it may have taken their time."""
    standing = in_force(workshop.lockstep.ledger, number)
    if standing is None:
        return
    if standing.confirmed:
        _keep_out(workshop.lockstep.ledger, standing)
    else:
        drain(workshop, number)


def _keep_out(ledger: Deployments, standing: Drain) -> None:
    fleet = Fleet.model_validate(standing.snapshot)
    frontend = fleet.frontend(standing.frontend)
    try:
        if frontend is not None and still_out(fleet, frontend):
            _use_again(ledger, standing)
    except LockstepError as error:
        log.warning("nobody knows whether it is still drained", frontend=standing.frontend, **error.problem.as_dict())


def _use_again(ledger: Deployments, standing: Drain) -> None:
    """Where the drain ended meanwhile: the load balancer does what it is told last, and that was to take it out."""
    if let_back(ledger, standing.number):
        log.warning("taken out after its drain had ended", frontend=standing.frontend)
        use_again(Fleet.model_validate(standing.snapshot), standing.frontend)
