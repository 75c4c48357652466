"""Tasks of whole deployments, and of the rotation."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import structlog

from inventory.model import Fleet
from orchestrator.domain.deployment import Deployment
from orchestrator.domain.errors import LockstepError
from orchestrator.domain.rotation import Drain
from orchestrator.services.leading import held, lead
from workers.bootstrap import Workshop
from workers.rotation import still_out, take_out

log = structlog.get_logger()

#: How often drains are looked at.
WATCH_EVERY = timedelta(seconds=5)


def coordinate(workshop: Workshop, number: int) -> None:
    """Bring a deployment as far as it can go now, unless somebody leads it already."""
    lead(workshop.lockstep.ledger, workshop.lockstep.leases, number, partial(workshop.fleet, number))


def drain(workshop: Workshop, number: int) -> None:
    """Take a frontend out of rotation, and say so in the ledger; or say why nobody knows whether it is out."""
    ledger = workshop.lockstep.ledger
    standing = ledger.drain(number)
    if standing is None or standing.lifted_at is not None:
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
    with held(workshop.lockstep.leases, "watch") as mine:
        for standing in workshop.lockstep.ledger.drains() if mine else ():
            tend(workshop, standing.number)


def tend(workshop: Workshop, number: int) -> None:
    """What one drain needs now. It is read anew: others before it may have taken their time."""
    ledger = workshop.lockstep.ledger
    standing = ledger.drain(number)
    if (
        standing is None
        or standing.lifted_at is not None
        or _ends_now(ledger.open_deployment(standing.fleet), standing)
    ):
        return
    if standing.confirmed:
        _keep_out(standing)
    else:
        drain(workshop, number)


def _ends_now(open_one: Deployment | None, standing: Drain) -> bool:
    """Whether a readmission is about to end it. The load balancer may use the frontend already, and is right."""
    return open_one is not None and open_one.plan.readmits.get(standing.frontend) == standing.number


def _keep_out(standing: Drain) -> None:
    fleet = Fleet.model_validate(standing.snapshot)
    frontend = fleet.frontend(standing.frontend)
    try:
        if frontend is not None:
            still_out(fleet, frontend)
    except LockstepError as error:
        log.warning("nobody knows whether it is still drained", frontend=standing.frontend, **error.problem.as_dict())
