"""Frontends that leave the rotation while a deployment is on its way: by its own asking, or by an operator's."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations, product

import pytest

from orchestrator.domain.coordination import Coordination
from orchestrator.domain.deployment import UNDECIDED, Decision, Outcome, State, Step
from orchestrator.domain.effects import Ask, Decide, Decided, Drained, Effect, Move, Moved, Prepare, Rest
from tests.unit.coordination.rows import aborted, heard, row_in

STEPS = {
    State.STAGING: Step.STAGE,
    State.VERIFYING: Step.VERIFY,
    State.ARMING: Step.ARM,
    State.ACTIVATING: Step.ACTIVATE,
    State.FINISHING: Step.CONFIRM,
}
INSISTENT = (State.ACTIVATING, State.FINISHING)
AGREED: dict[State, list[Effect]] = {
    State.STAGING: [Move(State.STAGING, State.VERIFYING)],
    State.VERIFYING: [Prepare()],
    State.ARMING: [Decide(Decision.COMMIT)],
    State.ACTIVATING: [Move(State.ACTIVATING, State.FINISHING)],
    State.FINISHING: [Move(State.FINISHING, State.DONE)],
    State.ABORTING: [Move(State.ABORTING, State.ABORTED)],
}


def asking(state: State, room: int, count: int = 3, drained: Iterable[str] = ()) -> tuple[Coordination, list[Effect]]:
    """A coordination that has just asked everybody for this state's step, once, and what it asked."""
    begun = state if state not in UNDECIDED else State.PLANNED
    machine = Coordination(row_in(begun, count), drained=drained, room=room, attempts=1)
    effects = machine.start()
    for reached in (State.STAGING, State.VERIFYING, State.ARMING) if begun is State.PLANNED else ():
        effects = machine.on(Moved(reached, True))
        if reached is state:
            break
    return machine, effects


def answered(machine: Coordination, state: State, outcomes: Iterable[Outcome]) -> list[Effect]:
    """What it does when all have answered its step so: a, b, c in turn."""
    effects: list[Effect] = []
    for name, outcome in zip("abc", outcomes, strict=False):
        assert effects == []
        effects = machine.on(heard(name, STEPS[state], outcome))
    return effects


def ended(effects: list[Effect], state: State) -> list[tuple[str, str]]:
    """Given up, or open after the commit: the step and the frontend of each trouble."""
    (effect,) = effects
    assert isinstance(effect, Rest if state in INSISTENT else Decide)
    assert isinstance(effect, Rest) or effect.decision is Decision.ABORT
    return [(trouble.step, trouble.frontend) for trouble in effect.troubles]


# ── who is drained ──


@pytest.mark.parametrize("state", STEPS)
def test_who_keeps_the_others_waiting_is_drained_where_there_is_room_for_all_of_them(state: State) -> None:
    for outcomes, room in product(product(Outcome, repeat=3), range(5)):
        machine, _ = asking(state, room)
        effects = answered(machine, state, outcomes)
        failing = [name for name, outcome in zip("abc", outcomes, strict=True) if outcome is not Outcome.ACCEPTED]
        # Before the commit a frontend that says no has a reason, which may be everybody's.
        said_no = Outcome.REFUSED in outcomes and state not in INSISTENT
        if not failing:
            assert effects == AGREED[state]
        elif len(failing) <= room and len(failing) < 3 and not said_no:
            assert effects == [Ask(Step.DRAIN, name, 1) for name in failing]
        else:
            assert ended(effects, state) == [(STEPS[state], name) for name in failing]


@pytest.mark.parametrize("state", STEPS)
def test_the_rest_go_on_without_who_is_out_whatever_order_the_answers_come_in(state: State) -> None:
    failing = (Outcome.UNKNOWN, Outcome.ACCEPTED, Outcome.UNKNOWN)
    for confirmed in product(Outcome, repeat=2):
        drains = [heard(name, Step.DRAIN, outcome) for name, outcome in zip("ac", confirmed, strict=True)]
        for order in permutations(drains):
            machine, _ = asking(state, 2)
            answered(machine, state, failing)
            assert machine.on(order[0]) == []
            effects = machine.on(order[1])
            left = [name for name, out in zip("ac", confirmed, strict=True) if out is not Outcome.ACCEPTED]
            if not left:
                assert effects == AGREED[state]
            else:
                # One that nobody could take out is in rotation, and has not done the step.
                troubles = ended(effects, state)
                assert sorted(troubles) == sorted([(step, n) for n in left for step in (STEPS[state], Step.DRAIN)])


@pytest.mark.parametrize("state", STEPS)
def test_while_drains_are_on_their_way_no_late_answer_counts(state: State) -> None:
    machine, _ = asking(state, 1)
    answered(machine, state, (Outcome.ACCEPTED, Outcome.UNKNOWN, Outcome.ACCEPTED))
    assert machine.on(heard("b", STEPS[state])) == []
    assert machine.on(heard("a", Step.DRAIN)) == []
    assert machine.on(heard("z", Step.DRAIN)) == []
    assert machine.on(heard("b", Step.DRAIN)) == AGREED[state]
    assert machine.on(heard("b", Step.DRAIN)) == []


def test_room_that_was_used_in_one_step_is_gone_in_the_next() -> None:
    for room in (1, 2):
        machine, _ = asking(State.STAGING, room)
        answered(machine, State.STAGING, (Outcome.UNKNOWN, Outcome.ACCEPTED, Outcome.ACCEPTED))
        machine.on(heard("a", Step.DRAIN))
        assert machine.on(Moved(State.VERIFYING, True)) == [Ask(Step.VERIFY, "b", 1), Ask(Step.VERIFY, "c", 1)]
        machine.on(heard("b", Step.VERIFY, Outcome.UNKNOWN))
        effects = machine.on(heard("c", Step.VERIFY))
        if room == 2:
            assert effects == [Ask(Step.DRAIN, "b", 1)]
        else:
            assert ended(effects, State.VERIFYING) == [(Step.VERIFY, "b")]


def test_an_abort_asks_every_frontend_that_is_left_and_drains_nobody() -> None:
    machine, _ = asking(State.STAGING, 3)
    answered(machine, State.STAGING, (Outcome.UNKNOWN, Outcome.ACCEPTED, Outcome.ACCEPTED))
    assert aborted(machine) == [Ask(Step.DISARM, name, 1) for name in "abc"]
    # The drain that was on its way ends as it will: nobody waits for it.
    assert machine.on(heard("a", Step.DRAIN)) == []
    for name in "ab":
        assert machine.on(heard(name, Step.DISARM, Outcome.UNKNOWN)) == []
    assert machine.on(heard("c", Step.DISARM, Outcome.UNKNOWN)) == AGREED[State.ABORTING]


# ── who was drained by others ──


@pytest.mark.parametrize("state", [*STEPS, State.ABORTING])
def test_who_is_out_already_is_asked_nothing(state: State) -> None:
    if state is State.ABORTING:
        machine = Coordination(row_in(state, 3), drained="b", attempts=1)
        effects = machine.start()
    else:
        machine, effects = asking(state, 0, drained="bz")
    assert [effect.frontend for effect in effects if isinstance(effect, Ask)] == ["a", "c"]
    assert machine.on(Drained(frozenset("b"))) == []


@pytest.mark.parametrize("state", STEPS)
def test_one_that_an_operator_takes_out_is_waited_for_no_more(state: State) -> None:
    machine, _ = asking(state, 0)
    machine.on(heard("a", STEPS[state]))
    machine.on(heard("c", STEPS[state]))
    assert machine.on(Drained(frozenset("z"))) == []
    assert machine.on(Drained(frozenset("b"))) == AGREED[state]
    assert machine.on(Drained(frozenset("b"))) == []
    assert machine.on(heard("b", STEPS[state])) == []


@pytest.mark.parametrize("state", STEPS)
def test_one_that_failed_and_was_then_taken_out_fails_nothing(state: State) -> None:
    machine, _ = asking(state, 0)
    machine.on(heard("b", STEPS[state], Outcome.UNKNOWN))
    assert machine.on(Drained(frozenset("b"))) == []
    machine.on(heard("a", STEPS[state]))
    assert machine.on(heard("c", STEPS[state])) == AGREED[state]


@pytest.mark.parametrize("state", STEPS)
def test_an_operator_s_drain_ends_the_wait_for_the_coordinator_s_own(state: State) -> None:
    failing = (Outcome.UNKNOWN, Outcome.ACCEPTED, Outcome.UNKNOWN)
    for first, second in (("a", "c"), ("c", "a")):
        machine, _ = asking(state, 2)
        answered(machine, state, failing)
        assert machine.on(Drained(frozenset(first))) == []
        assert machine.on(heard(first, Step.DRAIN, Outcome.UNKNOWN)) == []
        assert machine.on(heard(second, Step.DRAIN)) == AGREED[state]
        machine, _ = asking(state, 2)
        answered(machine, state, failing)
        assert machine.on(heard(first, Step.DRAIN)) == []
        assert machine.on(Drained(frozenset((first, second)))) == AGREED[state]
        machine, _ = asking(state, 2)
        answered(machine, state, failing)
        assert machine.on(Drained(frozenset("ac"))) == AGREED[state]


@pytest.mark.parametrize("state", STEPS)
def test_the_last_one_that_is_taken_out_leaves_nobody_who_agrees(state: State) -> None:
    machine, _ = asking(state, 0, count=1)
    assert ended(machine.on(Drained(frozenset("a"))), state)


# ── taking over ──


@pytest.mark.parametrize("state", list(State))
def test_who_takes_over_aborts_what_is_undecided_and_carries_out_what_is_decided(state: State) -> None:
    machine = Coordination(row_in(state), takes_over=True)
    effects = machine.start()
    if state in (State.STAGING, State.VERIFYING, State.ARMING):
        (effect,) = effects
        assert isinstance(effect, Decide)
        assert effect.decision is Decision.ABORT
        assert [(trouble.step, trouble.frontend) for trouble in effect.troubles] == [("coordinate", "")]
        assert str(state) in effect.troubles[0].problem["found"]
    else:
        # Nobody has begun with it, or it waits to be continued, or it is decided or over: as for anybody.
        assert effects == Coordination(row_in(state)).start()


@pytest.mark.parametrize("state", [State.STAGING, State.VERIFYING, State.ARMING])
@pytest.mark.parametrize("stands", Decision)
def test_a_decision_that_was_written_just_before_the_take_over_is_carried_out(state: State, stands: Decision) -> None:
    """The one who led was thought dead and was not."""
    machine = Coordination(row_in(state), takes_over=True)
    machine.start()
    step = Step.ACTIVATE if stands is Decision.COMMIT else Step.DISARM
    assert machine.on(Decided(stands)) == [Ask(step, "a", 1), Ask(step, "b", 1)]
