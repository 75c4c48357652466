"""Healing: the same coordinator, at what is served already, with nothing to arm, to switch or to take back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.coordination import Coordination
from orchestrator.domain.deployment import Decision, Deployment, Healing, Kind, Outcome, State, Step
from orchestrator.domain.effects import Ask, Decide, Decided, Drained, Effect, Move, Moved, Prepare
from tests.unit.coordination.rows import heard, row_in


def healing(state: State) -> Deployment:
    row = row_in(state, 2)
    plan = replace(row.plan, kind=Kind.HEAL, healing=Healing(3, 9), snapshot={"gates": {"before_stage": {}}})
    return replace(row, name=ActivationName(4, "4" * 16), plan=plan)


def asks(step: Step) -> list[Effect]:
    return [Ask(step, name, 1) for name in "ab"]


def said(machine: Coordination, step: Step, second: Outcome = Outcome.ACCEPTED) -> list[Effect]:
    assert machine.on(heard("a", step)) == []
    return machine.on(heard("b", step, second))


def test_it_stages_verifies_and_decides_without_gates_and_without_a_flip() -> None:
    machine = Coordination(healing(State.PLANNED))
    assert machine.start() == [Move(State.PLANNED, State.STAGING)]
    assert machine.on(Moved(State.STAGING, True)) == asks(Step.STAGE)
    assert said(machine, Step.STAGE) == [Move(State.STAGING, State.VERIFYING)]
    assert machine.on(Moved(State.VERIFYING, True)) == asks(Step.VERIFY)
    assert said(machine, Step.VERIFY) == [Prepare()]
    assert machine.on(Moved(State.ARMING, True)) == [Decide(Decision.COMMIT)]
    assert machine.on(Decided(Decision.COMMIT)) == [Move(State.ACTIVATING, State.FINISHING)]
    # It is proven: whatever comes after is for the next audit, and holds no fleet.
    assert machine.on(Moved(State.FINISHING, True)) == [Move(State.FINISHING, State.DONE)]


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNKNOWN])
def test_one_that_is_not_put_right_aborts_it_and_is_not_drained(outcome: Outcome) -> None:
    machine = Coordination(healing(State.PLANNED), room=2)
    machine.start()
    machine.on(Moved(State.STAGING, True))
    (effect,) = said(machine, Step.STAGE, outcome)
    assert isinstance(effect, Decide)
    assert (effect.decision, [trouble.frontend for trouble in effect.troubles]) == (Decision.ABORT, ["b"])
    assert machine.on(Decided(Decision.ABORT)) == [Move(State.ABORTING, State.ABORTED)]


def test_one_that_is_drained_meanwhile_is_waited_for_no_more() -> None:
    machine = Coordination(healing(State.PLANNED))
    machine.start()
    machine.on(Moved(State.STAGING, True))
    machine.on(heard("a", Step.STAGE))
    assert machine.on(Drained(frozenset("b"))) == [Move(State.STAGING, State.VERIFYING)]


def test_who_takes_it_over_aborts_it() -> None:
    for state in (State.STAGING, State.VERIFYING, State.ARMING):
        (effect,) = Coordination(healing(state), takes_over=True).start()
        assert isinstance(effect, Decide)
        assert effect.decision is Decision.ABORT
