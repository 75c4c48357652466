"""The states of docs/protocol.md, "States", as a graph: every state and every pair of them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime
from itertools import product

import pytest

from orchestrator.domain.activation import ActivationName, Placement
from orchestrator.domain.deployment import (
    MOVES,
    UNDECIDED,
    Decision,
    Deployment,
    Kind,
    Outcome,
    Plan,
    Report,
    State,
    Step,
    Trouble,
    decided_state,
    may_decide,
)

#: The arrows of the drawing, without those of a decision.
ARROWS = {
    ("planned", "staging"),
    ("staging", "verifying"),
    ("verifying", "prepared"),
    ("prepared", "verifying"),
    ("verifying", "arming"),
    ("activating", "finishing"),
    ("finishing", "done"),
    ("aborting", "aborted"),
}


def follow(state: State) -> set[State]:
    """Where the row can be after one more write."""
    return set(MOVES[state]) | {decided_state(decision) for decision in Decision if may_decide(state, decision)}


def reachable(state: State) -> set[State]:
    """Where the row can be after any number of writes."""
    found: set[State] = set()
    ahead = {state}
    while ahead:
        found |= ahead
        ahead = {after for before in ahead for after in follow(before)} - found
    return found


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_a_move_is_an_arrow_of_the_drawing(before: State, after: State) -> None:
    assert (after in MOVES[before]) == ((before.value, after.value) in ARROWS)


@pytest.mark.parametrize("state", State)
def test_every_state_but_two_holds_the_fleet(state: State) -> None:
    assert state.ended == (state.value in ("done", "aborted"))


@pytest.mark.parametrize("state", State)
def test_only_what_has_ended_goes_nowhere(state: State) -> None:
    assert (follow(state) == set()) == state.ended


@pytest.mark.parametrize("state", State)
def test_commit_is_decided_only_when_every_frontend_is_armed(state: State) -> None:
    assert may_decide(state, Decision.COMMIT) == (state is State.ARMING)


@pytest.mark.parametrize("state", State)
def test_abort_is_decided_only_where_nothing_is(state: State) -> None:
    assert may_decide(state, Decision.ABORT) == (state in UNDECIDED)
    assert (state in UNDECIDED) == (state.value in ("planned", "staging", "verifying", "prepared", "arming"))


def test_a_decision_takes_the_row_out_of_the_undecided_states() -> None:
    assert decided_state(Decision.COMMIT) is State.ACTIVATING
    assert decided_state(Decision.ABORT) is State.ABORTING


@pytest.mark.parametrize("state", State)
def test_no_move_stands_in_for_a_decision(state: State) -> None:
    for after in MOVES[state]:
        assert (state in UNDECIDED) == (after in UNDECIDED)


def test_after_a_commit_there_is_no_way_to_an_abort_nor_back() -> None:
    assert reachable(State.ACTIVATING) == {State.ACTIVATING, State.FINISHING, State.DONE}
    assert reachable(State.ABORTING) == {State.ABORTING, State.ABORTED}


def test_every_state_is_reached_and_every_deployment_can_end() -> None:
    assert reachable(State.PLANNED) == set(State)
    for state in State:
        assert any(end.ended for end in reachable(state))
        assert (State.ABORTED in reachable(state)) == (state in UNDECIDED | {State.ABORTING, State.ABORTED})


@pytest.mark.parametrize("words", [State, Decision, Kind, Step, Outcome])
def test_words_are_stored_as_they_are_named(words: type[State | Decision | Kind | Step | Outcome]) -> None:
    for word in words:
        assert str(word) == word.value == word.name.lower()


def test_a_trouble_as_json_holds_a_copy_of_its_problem() -> None:
    problem = {"what": "no answer in time", "where": "f1"}
    document = Trouble("arm", "f1", problem).as_dict()
    assert document == {"frontend": "f1", "problem": problem, "step": "arm"}
    document["problem"]["what"] = "changed"
    assert problem["what"] == "no answer in time"


def test_a_step_is_a_trouble_s_step_by_its_word() -> None:
    assert Trouble(Step.ARM, "", {}) == Trouble("arm", "", {})


PLAN = Plan(
    fleet="Production/web",
    kind=Kind.DEPLOY,
    changes={"ToDo": "2"},
    placements=(Placement("ToDo", "/ToDo/", "2", "b" * 64), Placement("Shop", "/Shop/", "1", "a" * 64)),
    frontends=("f1",),
    snapshot={},
    actor="ada",
)
DEPLOYMENT = Deployment(
    7, PLAN, ActivationName(41, "0123456789abcdef"), State.PLANNED, None, datetime(2026, 1, 1, tzinfo=UTC)
)


def test_a_deployment_s_activation_has_its_name_and_its_placements_by_app() -> None:
    assert DEPLOYMENT.epoch == 41
    assert DEPLOYMENT.activation.name == ActivationName(41, "0123456789abcdef")
    assert [placement.app for placement in DEPLOYMENT.activation.placements] == ["Shop", "ToDo"]
    other = replace(DEPLOYMENT, plan=replace(PLAN, placements=PLAN.placements[::-1]))
    assert other.activation == DEPLOYMENT.activation


@pytest.mark.parametrize("record", [PLAN, DEPLOYMENT, Report("f1", Step.ARM, 1, Outcome.ACCEPTED), Trouble("", "", {})])
def test_a_record_does_not_change(record: Plan | Deployment | Report | Trouble) -> None:
    field = next(iter(record.__dataclass_fields__))
    with pytest.raises(FrozenInstanceError):
        setattr(record, field, "other")


def test_a_report_has_details_of_its_own() -> None:
    first, second = (Report(name, Step.ARM, 1, Outcome.ACCEPTED) for name in ("f1", "f2"))
    assert first.detail is not second.detail
    assert first.problem is not second.problem
