"""The task that looks at a frontend's disk for whoever asks. It changes nothing, and puts nothing into the ledger."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import structlog

from inventory.model import Fleet
from orchestrator.domain.errors import LockstepError, Problem, UsageError
from orchestrator.ota.doctor.look import Errand, Unseen
from orchestrator.services.lookup import found
from workers.bootstrap import Workshop
from workers.frontend.looking import look_at
from workers.frontend.steps import problem_of
from workers.frontend.transport import CONNECT_SECONDS, connect

log = structlog.get_logger()


def look(workshop: Workshop, words: Sequence[Any]) -> None:
    """Look, and answer whoever asked. A message that is no errand is answered by nobody."""
    try:
        errand = Errand.read(words)
    except UsageError as error:
        log.warning("a message that is no errand", **error.problem.as_dict())
        return
    with structlog.contextvars.bound_contextvars(frontend=errand.frontend):
        try:
            seen = _seen(workshop, errand)
        except Exception as error:  # a fault of ours must not leave somebody waiting
            if not isinstance(error, LockstepError):
                log.exception("the look failed")
            seen = Unseen(Problem(**problem_of(error, errand.frontend)))
        try:
            workshop.lockstep.looks.put(errand, seen)
        except LockstepError as error:
            log.warning("the look could not be told", **error.problem.as_dict())


def _seen(workshop: Workshop, errand: Errand) -> Any:
    # How a frontend is reached says the ledger, never the message: nobody can send a worker elsewhere.
    fleet = Fleet.model_validate(found(workshop.lockstep.ledger, errand.deployment).plan.snapshot)
    frontend = fleet.frontend(errand.frontend)
    if frontend is None:
        raise UsageError(
            f"{fleet.key} had no frontend {errand.frontend} when it was deployed to last",
            remedy=f"bring it in: lockstep readmit {fleet.key} {errand.frontend}",
        )
    # A connection of its own: those that are kept belong to deployments, and end with them.
    with contextlib.closing(connect(frontend, min(errand.seconds, CONNECT_SECONDS))) as session:
        return look_at(session, errand)
