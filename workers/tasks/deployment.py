"""Tasks of whole deployments."""

from __future__ import annotations

from datetime import timedelta

import structlog

from orchestrator.domain.errors import LockstepError
from orchestrator.services.coordinator import Coordinator
from orchestrator.services.holds import overdue
from workers.bootstrap import Workshop

log = structlog.get_logger()

#: How often held deployments are looked at.
WATCH_EVERY = timedelta(seconds=5)


def coordinate(workshop: Workshop, number: int) -> None:
    """Bring a deployment as far as it can go now."""
    with structlog.contextvars.bound_contextvars(deployment=number):
        try:
            Coordinator(workshop.lockstep.ledger, workshop.fleet(number), number).run()
        except LockstepError as error:
            # The row says how far it came; nothing is retried by itself from here.
            log.exception("coordination ended", **error.problem.as_dict())
        finally:
            workshop.connections.close(number)


def watch(workshop: Workshop) -> None:
    """Continue or abort held deployments whose time has come."""
    lockstep = workshop.lockstep
    for number in overdue(lockstep.ledger, lockstep.clock()):
        log.info("a hold is over", deployment=number)
        lockstep.dispatch.coordinate(number)
