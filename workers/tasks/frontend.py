"""Tasks of one frontend of one deployment: do the step, put its report into the ledger."""

from __future__ import annotations

import structlog

from orchestrator.domain.coordination import Ask
from orchestrator.domain.deployment import Step
from orchestrator.services.coordinator import found
from workers.bootstrap import Workshop
from workers.fleet import attempt
from workers.frontend.steps import Detail, Job

log = structlog.get_logger()


def stage(workshop: Workshop, number: int, frontend: str, asking: int) -> None:
    """Bring the release to the frontend."""
    _do(workshop, number, Ask(Step.STAGE, frontend, asking))


def verify(workshop: Workshop, number: int, frontend: str, asking: int) -> None:
    """Prove what the frontend holds and serves."""
    _do(workshop, number, Ask(Step.VERIFY, frontend, asking))


def _do(workshop: Workshop, number: int, ask: Ask) -> None:
    def act() -> Detail:
        job: Job = workshop.job(number, ask.frontend)
        return workshop.steps.stage(job) if ask.step is Step.STAGE else workshop.steps.verify(job)

    ledger = workshop.lockstep.ledger
    with structlog.contextvars.bound_contextvars(deployment=number, frontend=ask.frontend):
        if found(ledger, number).decision is not None:
            # A message that comes late, or twice: nobody waits for this step any more, and it must change nothing.
            log.info("too late", step=str(ask.step))
            return
        ledger.record(number, [attempt(ask, act)])
