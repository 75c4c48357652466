"""A readmission: the same coordinator, at an epoch that is committed already, with nothing to arm or to take back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.coordination import Coordination
from orchestrator.domain.deployment import Decision, Deployment, Kind, Outcome, State, Step
from orchestrator.domain.effects import Ask, Decide, Decided, Drained, Effect, Move, Moved, Prepare, Rest
from tests.unit.coordination.rows import heard, row_in


def readmission(state: State, count: int = 2) -> Deployment:
    row = row_in(state, count)
    readmits = {name: number for number, name in enumerate(row.plan.frontends, 7)}
    return replace(row, name=ActivationName(4, "4" * 16), plan=replace(row.plan, kind=Kind.READMIT, readmits=readmits))


def asks(step: Step, names: str = "ab") -> list[Effect]:
    return [Ask(step, name, 1) for name in names]


def said(machine: Coordination, step: Step, outcomes: Sequence[Outcome] = (Outcome.ACCEPTED,) * 2) -> list[Effect]:
    effects: list[Effect] = []
    for name, outcome in zip("ab", outcomes, strict=True):
        assert effects == []
        effects = machine.on(heard(name, step, outcome))
    return effects


def test_it_stages_verifies_decides_readmits_and_confirms() -> None:
    machine = Coordination(readmission(State.PLANNED))
    assert machine.start() == [Move(State.PLANNED, State.STAGING)]
    assert machine.on(Moved(State.STAGING, True)) == asks(Step.STAGE)
    assert said(machine, Step.STAGE) == [Move(State.STAGING, State.VERIFYING)]
    assert machine.on(Moved(State.VERIFYING, True)) == asks(Step.VERIFY)
    assert said(machine, Step.VERIFY) == [Prepare()]
    # Nobody is armed: their fences are not raised for what is committed already.
    assert machine.on(Moved(State.ARMING, True)) == [Decide(Decision.COMMIT)]
    assert machine.on(Decided(Decision.COMMIT)) == asks(Step.READMIT)
    assert said(machine, Step.READMIT) == [Move(State.ACTIVATING, State.FINISHING)]
    assert machine.on(Moved(State.FINISHING, True)) == asks(Step.CONFIRM)
    assert said(machine, Step.CONFIRM) == [Move(State.FINISHING, State.DONE)]


@pytest.mark.parametrize(("state", "step"), [(State.STAGING, Step.STAGE), (State.VERIFYING, Step.VERIFY)])
@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNKNOWN])
def test_one_that_does_not_pass_aborts_it_and_it_is_drained_by_nobody_once_more(
    state: State, step: Step, outcome: Outcome
) -> None:
    machine = Coordination(readmission(State.PLANNED), room=2)
    machine.start()
    machine.on(Moved(State.STAGING, True))
    if state is State.VERIFYING:
        said(machine, Step.STAGE)
        machine.on(Moved(State.VERIFYING, True))
    (effect,) = said(machine, step, (Outcome.ACCEPTED, outcome))
    assert isinstance(effect, Decide)
    assert effect.decision is Decision.ABORT
    assert [trouble.frontend for trouble in effect.troubles] == ["b"]
    # What the fleet serves can't be disarmed: there is nothing to take back.
    assert machine.on(Decided(Decision.ABORT)) == [Move(State.ABORTING, State.ABORTED)]


def test_after_the_decision_it_asks_again_and_then_stays_open() -> None:
    machine = Coordination(readmission(State.ACTIVATING), room=2, attempts=2)
    assert machine.start() == asks(Step.READMIT)
    assert machine.on(heard("a", Step.READMIT, Outcome.UNKNOWN)) == [Ask(Step.READMIT, "a", 2)]
    machine.on(heard("b", Step.READMIT))
    (effect,) = machine.on(heard("a", Step.READMIT, Outcome.REFUSED, 2))
    assert isinstance(effect, Rest)
    assert [(trouble.step, trouble.frontend) for trouble in effect.troubles] == [(Step.READMIT, "a")]


@pytest.mark.parametrize("state", [State.ACTIVATING, State.FINISHING])
def test_one_that_is_drained_anew_is_waited_for_no_more(state: State) -> None:
    step = Step.READMIT if state is State.ACTIVATING else Step.CONFIRM
    after = Move(state, State.FINISHING if state is State.ACTIVATING else State.DONE)
    machine = Coordination(readmission(state))
    assert machine.start() == asks(step)
    assert machine.on(heard("a", step)) == []
    assert machine.on(Drained(frozenset("b"))) == [after]


def test_where_all_are_drained_anew_it_ends() -> None:
    """There is nobody left to bring in, and an open readmission would hold the fleet for nothing."""
    for state in (State.ACTIVATING, State.FINISHING):
        machine = Coordination(readmission(state))
        machine.start()
        (effect,) = machine.on(Drained(frozenset("ab")))
        assert isinstance(effect, Move)
        assert Coordination(readmission(state), drained="ab").start() == [effect]


@pytest.mark.parametrize("state", [State.STAGING, State.VERIFYING])
def test_where_all_are_drained_anew_before_the_decision_nobody_agrees(state: State) -> None:
    machine = Coordination(readmission(State.PLANNED))
    machine.start()
    machine.on(Moved(State.STAGING, True))
    if state is State.VERIFYING:
        said(machine, Step.STAGE)
        machine.on(Moved(State.VERIFYING, True))
    (effect,) = machine.on(Drained(frozenset("ab")))
    assert isinstance(effect, Decide)
    assert effect.decision is Decision.ABORT


@pytest.mark.parametrize("state", [State.STAGING, State.VERIFYING, State.ARMING])
def test_who_takes_it_over_aborts_it(state: State) -> None:
    (effect,) = Coordination(readmission(state), takes_over=True).start()
    assert isinstance(effect, Decide)
    assert effect.decision is Decision.ABORT
