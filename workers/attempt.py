"""One attempt at a step: whatever happens, it becomes a report."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from orchestrator.domain.deployment import Outcome, Report
from orchestrator.domain.effects import Ask
from orchestrator.domain.errors import ConflictError, LockstepError, RefusedError
from workers.frontend.steps import Detail, problem_of

log = structlog.get_logger()


def attempt(ask: Ask, act: Callable[[], Detail]) -> Report:
    """Do a step and report how it went."""
    try:
        return Report(ask.frontend, ask.step, ask.attempt, Outcome.ACCEPTED, detail=dict(act()))
    except LockstepError as error:
        return failed(ask, error)
    except Exception as error:  # a fault of ours must not leave a coordinator waiting
        log.exception("step failed", frontend=ask.frontend, step=str(ask.step))
        return failed(ask, error)


def failed(ask: Ask, error: Exception) -> Report:
    """Refused where the other side said no; unknown where nobody can tell what happened."""
    outcome = Outcome.REFUSED if isinstance(error, RefusedError | ConflictError) else Outcome.UNKNOWN
    return Report(ask.frontend, ask.step, ask.attempt, outcome, problem=problem_of(error, ask.frontend))
