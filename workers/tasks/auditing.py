"""Tasks of audits."""

from __future__ import annotations

from datetime import timedelta

import structlog

from orchestrator.domain.errors import LockstepError
from orchestrator.services.audits.auditing import Auditing
from orchestrator.services.audits.schedule import Scheduling, lost
from workers.bootstrap import Workshop

log = structlog.get_logger()

#: How often beat has somebody look what is due.
DUE_EVERY = timedelta(seconds=15)


def due(workshop: Workshop) -> None:
    """End the audits that are lost, then begin those that are due: a lost one holds its fleet."""
    lockstep = workshop.lockstep
    try:
        lost(lockstep.audits, lockstep.leases, lockstep.clock)
        auditing = Auditing(lockstep.ledger, lockstep.audits, lockstep.dispatch)
        Scheduling(auditing, lockstep.inventory, lockstep.clock).due()
    except LockstepError as error:
        log.warning("nobody knows which audits are due", **error.problem.as_dict())
