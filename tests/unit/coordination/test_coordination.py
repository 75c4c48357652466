from __future__ import annotations

import copy
from itertools import permutations, product

import pytest

from orchestrator.domain.coordination import ATTEMPTS, Coordination
from orchestrator.domain.deployment import Decision, Outcome, State, Step
from orchestrator.domain.effects import Ask, Decide, Decided, Effect, Heard, Move, Moved, Prepare, Rest, unknown
from orchestrator.domain.errors import Problem
from tests.unit.coordination.rows import aborted, asking, heard, report, row_in

STEPS = {
    State.STAGING: Step.STAGE,
    State.VERIFYING: Step.VERIFY,
    State.ARMING: Step.ARM,
    State.ACTIVATING: Step.ACTIVATE,
    State.FINISHING: Step.CONFIRM,
    State.ABORTING: Step.DISARM,
}
INSISTENT = (State.ACTIVATING, State.FINISHING)


def everybody(step: Step, attempt: int = 1, count: int = 2) -> list[Effect]:
    return [Ask(step, name, attempt) for name in "abc"[:count]]


# ── start ──

STARTS: dict[State, list[Effect]] = {
    State.PLANNED: [Move(State.PLANNED, State.STAGING)],
    State.PREPARED: [Move(State.PREPARED, State.VERIFYING)],
    State.ACTIVATING: everybody(Step.ACTIVATE),
    State.FINISHING: everybody(Step.CONFIRM),
    State.ABORTING: everybody(Step.DISARM),
    # Another coordinator leads, or it has ended.
    State.STAGING: [Rest()],
    State.VERIFYING: [Rest()],
    State.ARMING: [Rest()],
    State.DONE: [Rest()],
    State.ABORTED: [Rest()],
}


@pytest.mark.parametrize("state", list(State))
def test_how_it_starts_follows_from_the_row(state: State) -> None:
    machine = Coordination(row_in(state))
    assert machine.start() == STARTS[state]
    assert machine.resting is (STARTS[state] == [Rest()])


# ── the end of a step ──

AGREED: dict[State, list[Effect]] = {
    State.STAGING: [Move(State.STAGING, State.VERIFYING)],
    State.VERIFYING: [Prepare()],
    State.ARMING: [Decide(Decision.COMMIT)],
    State.ACTIVATING: [Move(State.ACTIVATING, State.FINISHING)],
    State.FINISHING: [Move(State.FINISHING, State.DONE)],
    State.ABORTING: [Move(State.ABORTING, State.ABORTED)],
}


@pytest.mark.parametrize("state", list(STEPS))
def test_every_order_of_every_mix_of_answers_leads_to_the_same(state: State) -> None:
    for outcomes in product(Outcome, repeat=3):
        answers = [heard(name, STEPS[state], outcome) for name, outcome in zip("abc", outcomes, strict=True)]
        ways = []
        for order in permutations(answers):
            machine, _ = asking(state, 3, attempts=1)
            *early, last = [machine.on(answer) for answer in order]
            assert early == [[], []]
            ways.append(last)
        assert ways == ways[:1] * 6
        failed = [name for name, outcome in zip("abc", outcomes, strict=True) if outcome is not Outcome.ACCEPTED]
        if not failed or state is State.ABORTING:
            assert ways[0] == AGREED[state]
            continue
        (effect,) = ways[0]
        assert isinstance(effect, Rest if state in INSISTENT else Decide)
        assert isinstance(effect, Rest) or effect.decision is Decision.ABORT
        assert [(trouble.step, trouble.frontend) for trouble in effect.troubles] == [(STEPS[state], n) for n in failed]


@pytest.mark.parametrize("wrong", [{}, {"served": {}}, {"served": {"App": "0" * 64}}])
def test_accepted_but_serving_something_else_aborts(wrong: dict[str, object]) -> None:
    machine, _ = asking(State.VERIFYING)
    machine.on(heard("a", Step.VERIFY))
    (effect,) = machine.on(Heard(report("b", Step.VERIFY, detail=wrong)))
    assert isinstance(effect, Decide)
    assert effect.decision is Decision.ABORT
    assert {trouble.frontend for trouble in effect.troubles} == {"b"}


@pytest.mark.parametrize("state", [State.STAGING, State.VERIFYING, State.ARMING])
def test_no_frontends_agree_to_nothing(state: State) -> None:
    _, (effect,) = asking(state, 0)
    assert isinstance(effect, Decide)
    assert effect.decision is Decision.ABORT
    assert effect.troubles


@pytest.mark.parametrize("state", INSISTENT)
def test_no_frontends_are_not_done(state: State) -> None:
    machine, (effect,) = asking(state, 0)
    assert isinstance(effect, Rest)
    assert effect.troubles
    assert machine.resting


# ── answers that change nothing ──


@pytest.mark.parametrize("state", list(STEPS))
def test_an_answer_that_nobody_waits_for_changes_nothing(state: State) -> None:
    machine, _ = asking(state)
    machine.on(heard("a", STEPS[state]))
    before = copy.deepcopy(vars(machine))
    for frontend, step, attempt, outcome in product("abz", Step, range(1, 4), Outcome):
        if (frontend, step, attempt) != ("b", STEPS[state], 1):
            assert machine.on(heard(frontend, step, outcome, attempt)) == []
            assert vars(machine) == before
    assert machine.on(heard("b", STEPS[state])) == AGREED[state]
    # Not even before it is known what the move did.
    assert machine.on(heard("b", STEPS[state])) == []


def test_an_answer_before_the_start_changes_nothing() -> None:
    for state, step in product(State, Step):
        machine = Coordination(row_in(state))
        before = copy.deepcopy(vars(machine))
        assert machine.on(heard("a", step)) == []
        assert vars(machine) == before


def test_at_rest_nothing_is_heard() -> None:
    machine = Coordination(row_in(State.DONE))
    machine.start()
    for event in (heard("a", Step.ACTIVATE), Moved(State.STAGING, True), Decided(Decision.COMMIT)):
        assert machine.on(event) == []


def test_after_a_hold_only_the_second_verify_counts() -> None:
    machine = Coordination(row_in(State.PREPARED, 1))
    machine.start()
    assert machine.on(Moved(State.VERIFYING, True)) == [Ask(Step.VERIFY, "a", 2)]
    assert machine.on(heard("a", Step.VERIFY, attempt=1)) == []
    assert machine.on(heard("a", Step.VERIFY, attempt=2)) == [Prepare()]
    assert machine.on(Moved(State.ARMING, True)) == [Ask(Step.ARM, "a", 1)]


# ── after the commit ──


@pytest.mark.parametrize("state", INSISTENT)
@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.UNKNOWN])
def test_a_frontend_is_asked_again_so_often_then_it_rests(state: State, outcome: Outcome) -> None:
    machine, _ = asking(state, attempts=ATTEMPTS)
    step = STEPS[state]
    for attempt in range(1, ATTEMPTS):
        assert machine.on(heard("b", step, outcome, attempt)) == [Ask(step, "b", attempt + 1)]
    assert machine.on(heard("b", step, outcome, ATTEMPTS)) == []
    assert not machine.resting
    (effect,) = machine.on(heard("a", step))
    assert isinstance(effect, Rest)
    assert [trouble.frontend for trouble in effect.troubles] == ["b"]
    assert machine.resting


@pytest.mark.parametrize("state", INSISTENT)
def test_a_failure_that_comes_twice_asks_again_once(state: State) -> None:
    machine, _ = asking(state)
    failed = heard("b", STEPS[state], Outcome.UNKNOWN)
    assert machine.on(failed) == [Ask(STEPS[state], "b", 2)]
    assert machine.on(failed) == []


@pytest.mark.parametrize("state", INSISTENT)
def test_who_did_it_after_all_is_believed_whichever_asking_it_answers(state: State) -> None:
    step = STEPS[state]
    machine, _ = asking(state, attempts=2)
    machine.on(heard("a", step))
    assert machine.on(heard("b", step, Outcome.UNKNOWN)) == [Ask(step, "b", 2)]
    assert machine.on(heard("b", step, attempt=1)) == AGREED[state]


@pytest.mark.parametrize("state", INSISTENT)
def test_who_did_it_after_all_is_believed_while_others_are_still_asked(state: State) -> None:
    step = STEPS[state]
    machine, _ = asking(state, attempts=2)
    machine.on(heard("b", step, Outcome.UNKNOWN))
    assert machine.on(heard("b", step, Outcome.UNKNOWN, 2)) == []
    assert machine.on(heard("b", step, attempt=2)) == []
    assert machine.on(heard("a", step)) == AGREED[state]


@pytest.mark.parametrize("state", INSISTENT)
def test_who_did_it_is_not_doubted_by_what_comes_later(state: State) -> None:
    step = STEPS[state]
    machine, _ = asking(state, attempts=2)
    machine.on(heard("b", step, Outcome.UNKNOWN))
    assert machine.on(heard("b", step, attempt=1)) == []
    assert machine.on(heard("b", step, Outcome.REFUSED, 2)) == []
    assert machine.on(heard("a", step)) == AGREED[state]


# ── what stands in the ledger ──


@pytest.mark.parametrize(("state", "wanted"), [(State.ARMING, Outcome.ACCEPTED), (State.ARMING, Outcome.REFUSED)])
@pytest.mark.parametrize("stands", list(Decision))
def test_the_decision_that_stands_is_carried_out_whatever_was_wanted(
    state: State, wanted: Outcome, stands: Decision
) -> None:
    machine, _ = asking(state, 1)
    (effect,) = machine.on(heard("a", Step.ARM, wanted))
    assert isinstance(effect, Decide)
    assert effect.decision is (Decision.COMMIT if wanted is Outcome.ACCEPTED else Decision.ABORT)
    step = Step.ACTIVATE if stands is Decision.COMMIT else Step.DISARM
    assert machine.on(Decided(stands)) == everybody(step, count=1)


def test_a_decision_that_was_refused_is_none() -> None:
    machine, _ = asking(State.ARMING, 1)
    machine.on(heard("a", Step.ARM))
    assert machine.on(Decided(None)) == [Rest()]
    assert machine.resting


@pytest.mark.parametrize("state", [State.STAGING, State.VERIFYING, State.ARMING])
def test_a_decision_is_heard_of_in_every_state_and_once(state: State) -> None:
    machine, _ = asking(state)
    assert aborted(machine) == everybody(Step.DISARM)
    assert machine.state is State.ABORTING
    assert aborted(machine) == []
    assert machine.on(Decided(Decision.COMMIT)) == []
    assert machine.on(heard("a", STEPS[state])) == []
    machine.on(heard("a", Step.DISARM))
    assert machine.on(heard("b", Step.DISARM)) == AGREED[State.ABORTING]


def test_an_abort_that_a_move_ran_into_is_not_carried_out_again_when_it_is_looked_up() -> None:
    machine = Coordination(row_in(State.PLANNED))
    machine.start()
    assert machine.on(Moved(State.ABORTING, False)) == everybody(Step.DISARM)
    machine.on(heard("a", Step.DISARM))
    assert aborted(machine) == []
    assert machine.on(heard("b", Step.DISARM)) == AGREED[State.ABORTING]


@pytest.mark.parametrize("stands", sorted(set(State) - {State.ABORTING}))
def test_where_somebody_else_moved_the_row_it_rests(stands: State) -> None:
    machine = Coordination(row_in(State.PLANNED))
    machine.start()
    assert machine.on(Moved(stands, False)) == [Rest()]
    assert machine.resting


def test_after_the_commit_a_row_that_says_abort_is_not_believed() -> None:
    machine, _ = asking(State.ACTIVATING, 1)
    machine.on(heard("a", Step.ACTIVATE))
    assert machine.on(Moved(State.ABORTING, False)) == [Rest()]


@pytest.mark.parametrize("state", [State.PREPARED, State.DONE, State.ABORTED])
def test_held_or_ended_it_rests_without_troubles(state: State) -> None:
    machine, _ = asking(State.VERIFYING)
    assert machine.on(Moved(state, True)) == [Rest()]
    assert (machine.state, machine.resting) == (state, True)


def test_an_unknown_outcome_says_what_is_known() -> None:
    problem = Problem("no answer in time", where="a")
    event = unknown(Ask(Step.ARM, "a", 3), problem)
    assert (event.report.frontend, event.report.step, event.report.attempt) == ("a", Step.ARM, 3)
    assert (event.report.outcome, event.report.problem) == (Outcome.UNKNOWN, problem.as_dict())
