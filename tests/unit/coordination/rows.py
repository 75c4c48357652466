"""Deployments in any state, and the events that a coordination hears of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.domain.coordination import Coordination
from orchestrator.domain.deployment import UNDECIDED, Decision, Deployment, Outcome, Report, State, Step
from orchestrator.domain.effects import Decided, Effect, Heard, Moved
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.plans import PLACEMENTS, plan

SERVED = {"served": {placement.app: placement.digest for placement in PLACEMENTS}}
PROBLEM = {"what": "no"}


def row_in(state: State, count: int = 2) -> Deployment:
    """A deployment in this state, with the decision that belongs to it."""
    decision = None
    if state not in UNDECIDED:
        decision = Decision.ABORT if state in (State.ABORTING, State.ABORTED) else Decision.COMMIT
    return replace(MemoryLedger().plan(plan(count)), state=state, decision=decision)


def report(
    frontend: str,
    step: Step,
    outcome: Outcome = Outcome.ACCEPTED,
    attempt: int = 1,
    detail: Mapping[str, Any] | None = None,
) -> Report:
    """An answer; accepted, it says what the placements are."""
    accepted = outcome is Outcome.ACCEPTED
    said = SERVED if detail is None else detail
    return Report(
        frontend, step, attempt, outcome, detail=said if accepted else {}, problem={} if accepted else PROBLEM
    )


def heard(frontend: str, step: Step, outcome: Outcome = Outcome.ACCEPTED, attempt: int = 1) -> Heard:
    """The same as an event."""
    return Heard(report(frontend, step, outcome, attempt))


def asking(state: State, count: int = 2, *, attempts: int = 3) -> tuple[Coordination, list[Effect]]:
    """A coordination that has just asked everybody for this state's step, and what it asked."""
    if state not in UNDECIDED:
        machine = Coordination(row_in(state, count), attempts=attempts)
        return machine, machine.start()
    machine = Coordination(row_in(State.PLANNED, count), attempts=attempts)
    machine.start()
    effects: list[Effect] = []
    for reached in (State.STAGING, State.VERIFYING, State.ARMING):
        effects = machine.on(Moved(reached, True))
        if reached is state:
            return machine, effects
    raise AssertionError(f"nobody is asked in {state}")


def aborted(machine: Coordination) -> list[Effect]:
    """What it does when an operator has aborted."""
    return machine.on(Decided(Decision.ABORT))
