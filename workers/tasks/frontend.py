"""Tasks of one frontend of one deployment: do the step, put its report into the ledger."""

from __future__ import annotations

import structlog

from orchestrator.domain.deployment import Step
from orchestrator.domain.effects import Ask
from orchestrator.ports import Deployments, work_on
from orchestrator.services.coordinator import found
from orchestrator.services.leading import held
from workers.bootstrap import Workshop
from workers.fleet import attempt

log = structlog.get_logger()


def stage(workshop: Workshop, number: int, frontend: str, asking: int) -> None:
    """Bring the release to the frontend."""
    _do(workshop, number, Ask(Step.STAGE, frontend, asking))


def verify(workshop: Workshop, number: int, frontend: str, asking: int) -> None:
    """Prove what the frontend holds and serves."""
    _do(workshop, number, Ask(Step.VERIFY, frontend, asking))


def _do(workshop: Workshop, number: int, ask: Ask) -> None:
    ledger = workshop.lockstep.ledger
    bound = structlog.contextvars.bound_contextvars(deployment=number, frontend=ask.frontend)
    # The lease tells the coordinator that somebody works on it: when it is gone without a report, it asks another.
    with bound, held(workshop.lockstep.leases, work_on(number, ask)) as working:
        if working is None or found(ledger, number).decision is not None or _reported(ledger, number, ask):
            # A message that comes late, or twice: nobody waits for it any more, or somebody does it, or has done it.
            log.info("nothing to do", step=str(ask.step))
            return
        ledger.record(number, [attempt(ask, lambda: workshop.do(number, ask))])


def _reported(ledger: Deployments, number: int, ask: Ask) -> bool:
    asking = (ask.frontend, ask.step, ask.attempt)
    return any((r.frontend, r.step, r.attempt) == asking for _, r in ledger.reports(number))
