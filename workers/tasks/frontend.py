"""Tasks of frontends of one deployment: do the step on each of a batch, put their reports into the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from orchestrator.domain.batch import Batch
from orchestrator.domain.deployment import Step
from orchestrator.domain.effects import Ask
from orchestrator.ports import Deployments, work_on
from orchestrator.services.leading import held
from workers.bootstrap import Workshop

log = structlog.get_logger()


def stage(workshop: Workshop, number: int, asking: int, name: str, frontends: Sequence[str]) -> None:
    """Bring the release to the frontends. `name` is the batch's."""
    _do(workshop, number, Batch(Step.STAGE, asking, name, tuple(frontends)))


def verify(workshop: Workshop, number: int, asking: int, name: str, frontends: Sequence[str]) -> None:
    """Prove what the frontends hold and serve."""
    _do(workshop, number, Batch(Step.VERIFY, asking, name, tuple(frontends)))


def _do(workshop: Workshop, number: int, batch: Batch) -> None:
    ledger = workshop.lockstep.ledger
    bound = structlog.contextvars.bound_contextvars(deployment=number, batch=batch.name)
    # The lease tells the coordinator that somebody works on it: when it is gone without all reports, it asks another.
    with bound, held(workshop.lockstep.leases, work_on(number, batch)) as working:
        # A message that comes late, or twice: nobody waits for it any more, or somebody does it, or has done it.
        asks = [] if working is None else _left(ledger, number, batch)
        if not asks:
            log.info("nothing to do", step=str(batch.step))
            return
        workshop.crew.work(number, asks, ledger)


def _left(ledger: Deployments, number: int, batch: Batch) -> Sequence[Ask]:
    """What of the batch somebody waits for."""
    if ledger.decision(number) is not None:
        return []
    return batch.only(set(batch.frontends) - ledger.reported(number, batch.step, batch.attempt)).asks
