"""Tasks of audits."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import structlog

from orchestrator.domain.errors import LockstepError
from orchestrator.ports import audit_of
from orchestrator.services.audits.auditor import Auditor
from orchestrator.services.audits.expecting import Expecting
from orchestrator.services.audits.schedule import Scheduling, lost
from orchestrator.services.leading import held
from orchestrator.services.rotation import Rotating
from workers.audit.survey import SshSurveyor
from workers.bootstrap import Workshop
from workers.frontend.script import script_sha256
from workers.tasks.deployment import coordinate

log = structlog.get_logger()

#: How often beat has somebody look what is due.
DUE_EVERY = timedelta(seconds=15)


def run(workshop: Workshop, number: int) -> None:
    """Carry an audit out, unless somebody does already, or it has ended."""
    lockstep = workshop.lockstep
    with structlog.contextvars.bound_contextvars(audit=number), held(lockstep.leases, audit_of(number)) as mine:
        if mine is None:
            log.info("run by another worker")
            return
        auditor(workshop).run(number)


def auditor(workshop: Workshop) -> Auditor:
    """Runs audits in this process, and what they have put right."""
    lockstep = workshop.lockstep
    return Auditor(
        lockstep.ledger,
        lockstep.audits,
        SshSurveyor(),
        Expecting(lockstep.ledger, lockstep.audits.highest_epoch, lockstep.artifacts, lockstep.clock, script_sha256()),
        lockstep.deploying,
        Rotating(lockstep.ledger, lockstep.dispatch),
        partial(coordinate, workshop),
    )


def due(workshop: Workshop) -> None:
    """End the audits that are lost, then begin those that are due: a lost one holds its fleet."""
    lockstep = workshop.lockstep
    try:
        lost(lockstep.audits, lockstep.leases, lockstep.clock)
        Scheduling(lockstep.auditing, lockstep.inventory, lockstep.clock).due()
    except LockstepError as error:
        log.warning("nobody knows which audits are due", **error.problem.as_dict())
