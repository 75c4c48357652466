"""Each gate, and whatever may happen while its command runs: what the coordination wants then."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from orchestrator.domain.coordination import Coordination, gates_of
from orchestrator.domain.deployment import UNDECIDED, Decision, Kind, Outcome, State, Step, Trouble
from orchestrator.domain.effects import (
    Ask,
    CallOff,
    Decide,
    Decided,
    Drained,
    Effect,
    Gate,
    Gated,
    GateName,
    Move,
    Moved,
    Rest,
)
from tests.unit.coordination.rows import aborted, asking, heard, row_in

ALL = tuple(GateName)
PROBLEM = {"what": "no"}
WHERE = {
    GateName.BEFORE_STAGE: State.STAGING,
    GateName.BEFORE_COMMIT: State.ARMING,
    GateName.AFTER_ACTIVATE: State.FINISHING,
    GateName.ON_ABORT: State.ABORTING,
}
STEPS = {
    State.STAGING: Step.STAGE,
    State.ARMING: Step.ARM,
    State.FINISHING: Step.CONFIRM,
    State.ABORTING: Step.DISARM,
}
ENDS: dict[State, Effect] = {
    State.STAGING: Move(State.STAGING, State.VERIFYING),
    State.ARMING: Decide(Decision.COMMIT),
    State.FINISHING: Move(State.FINISHING, State.DONE),
    State.ABORTING: Move(State.ABORTING, State.ABORTED),
}
STOPS = [gate for gate in ALL if gate.stops]
RUNS_BESIDE = [gate for gate in ALL if not gate.stops]


def gated(
    state: State, *gates: GateName, count: int = 2, kind: Kind = Kind.DEPLOY, troubles: tuple[Trouble, ...] = ()
) -> tuple[Coordination, list[Effect]]:
    """A coordination of a fleet with these gates that has just come into this state, and what it wants."""
    row = row_in(state if state not in UNDECIDED else State.PLANNED, count)
    snapshot = {"gates": {name: {"command": ["/x"]} if name in gates else None for name in GateName}}
    row = replace(row, plan=replace(row.plan, snapshot=snapshot, kind=kind), troubles=troubles)
    machine = Coordination(row, attempts=1)
    effects = machine.start()
    if state in UNDECIDED:
        effects = machine.on(Moved(state, True))
    return machine, effects


def asks(state: State, count: int = 2) -> list[Effect]:
    return [Ask(STEPS[state], name, 1) for name in "abc"[:count]]


def answer_all(machine: Coordination, state: State) -> list[Effect]:
    machine.on(heard("a", STEPS[state]))
    return machine.on(heard("b", STEPS[state]))


# ── where gates stand ──


@pytest.mark.parametrize("state", sorted(set(State) - {State.PLANNED, State.PREPARED, State.DONE, State.ABORTED}))
def test_each_gate_stands_at_the_entrance_of_one_state(state: State) -> None:
    _, plain = asking(state)
    _, effects = gated(state, *ALL)
    gates = [effect for effect in effects if isinstance(effect, Gate)]
    assert gates == [Gate(gate) for gate, at in WHERE.items() if at is state]
    stopped = any(gate.name.stops for gate in gates)
    assert [effect for effect in effects if isinstance(effect, Ask)] == ([] if stopped else plain)


@pytest.mark.parametrize("gate", ALL)
def test_where_only_others_have_commands_all_is_as_without_gates(gate: GateName) -> None:
    others = [other for other in ALL if other is not gate]
    assert gated(WHERE[gate], *others)[1] == asking(WHERE[gate])[1]


@pytest.mark.parametrize("state", [State.STAGING, State.FINISHING])
def test_a_readmission_has_no_gates(state: State) -> None:
    assert gated(state, *ALL, kind=Kind.READMIT)[1] == asks(state)


@pytest.mark.parametrize("snapshot", [{}, {"gates": None}, {"gates": {}}, {"gates": dict.fromkeys(GateName)}])
def test_a_fleet_without_gates_has_none(snapshot: dict[str, object]) -> None:
    assert gates_of(snapshot) == frozenset()


# ── it passes, it fails ──


@pytest.mark.parametrize("gate", STOPS)
def test_one_that_stops_lets_the_step_begin_when_it_has_passed(gate: GateName) -> None:
    machine, effects = gated(WHERE[gate], gate)
    assert effects == [Gate(gate)]
    assert machine.on(Gated(gate, None)) == asks(WHERE[gate])
    assert answer_all(machine, WHERE[gate]) == [ENDS[WHERE[gate]]]


@pytest.mark.parametrize("gate", STOPS)
def test_one_that_stops_aborts_where_it_fails_and_nobody_was_asked(gate: GateName) -> None:
    machine, _ = gated(WHERE[gate], gate)
    assert machine.on(Gated(gate, PROBLEM)) == [Decide(Decision.ABORT, (Trouble(str(gate), "", PROBLEM),))]
    assert machine.on(Decided(Decision.ABORT)) == asks(State.ABORTING)


@pytest.mark.parametrize("problem", [None, PROBLEM])
@pytest.mark.parametrize("gate", RUNS_BESIDE)
def test_the_others_run_beside_the_step_and_it_ends_with_both(gate: GateName, problem: dict[str, str] | None) -> None:
    state = WHERE[gate]
    for first in ("gate", "answers"):
        machine, effects = gated(state, gate)
        assert effects == [Gate(gate), *asks(state)]
        if first == "gate":
            assert machine.on(Gated(gate, problem)) == []
            assert answer_all(machine, state) == [ENDS[state]]
        else:
            assert answer_all(machine, state) == []
            assert machine.on(Gated(gate, problem)) == [ENDS[state]]


def test_a_fleet_that_did_not_confirm_rests_once_its_gate_is_through() -> None:
    machine, _ = gated(State.FINISHING, GateName.AFTER_ACTIVATE)
    machine.on(heard("a", Step.CONFIRM))
    assert machine.on(heard("b", Step.CONFIRM, Outcome.UNKNOWN)) == []
    assert not machine.resting
    (effect,) = machine.on(Gated(GateName.AFTER_ACTIVATE, None))
    assert isinstance(effect, Rest)
    assert [trouble.frontend for trouble in effect.troubles] == ["b"]


@pytest.mark.parametrize("gate", RUNS_BESIDE)
def test_with_nobody_to_ask_the_step_still_waits_for_its_gate(gate: GateName) -> None:
    machine, effects = gated(WHERE[gate], gate, count=0)
    assert effects == [Gate(gate)]
    assert len(machine.on(Gated(gate, None))) == 1


# ── late, twice, another's ──


@pytest.mark.parametrize("problem", [None, PROBLEM])
@pytest.mark.parametrize("gate", ALL)
def test_the_end_of_a_gate_that_nobody_waits_for_changes_nothing(
    gate: GateName, problem: dict[str, str] | None
) -> None:
    machine, _ = gated(WHERE[gate], gate)
    before = copy.deepcopy(vars(machine))
    for other in ALL:
        if other is not gate:
            assert machine.on(Gated(other, problem)) == []
            assert vars(machine) == before
    machine.on(Gated(gate, None))
    before = copy.deepcopy(vars(machine))
    assert machine.on(Gated(gate, problem)) == []
    assert vars(machine) == before


@pytest.mark.parametrize("gate", STOPS)
def test_nobody_has_a_say_before_it_has_passed(gate: GateName) -> None:
    machine, _ = gated(WHERE[gate], gate)
    before = copy.deepcopy(vars(machine))
    for step in Step:
        assert machine.on(heard("a", step)) == []
        assert vars(machine) == before


# ── an abort meanwhile ──


@pytest.mark.parametrize("gates", [(), (GateName.ON_ABORT,)])
@pytest.mark.parametrize("gate", STOPS)
def test_an_abort_while_it_runs_calls_it_off(gate: GateName, gates: tuple[GateName, ...]) -> None:
    machine, _ = gated(WHERE[gate], gate, *gates)
    expected: list[Effect] = [CallOff(), *[Gate(name) for name in gates], *asks(State.ABORTING)]
    assert aborted(machine) == expected
    # What it says now is of no consequence.
    assert machine.on(Gated(gate, PROBLEM)) == []
    assert machine.on(Gated(gate, None)) == []


@pytest.mark.parametrize("gate", STOPS)
def test_an_abort_once_it_has_passed_has_nothing_to_call_off(gate: GateName) -> None:
    machine, _ = gated(WHERE[gate], gate)
    machine.on(Gated(gate, None))
    assert aborted(machine) == asks(State.ABORTING)


def test_an_abort_is_no_reason_to_end_the_command_that_tells_of_it() -> None:
    machine, _ = gated(State.ABORTING, GateName.ON_ABORT)
    assert aborted(machine) == []


@pytest.mark.parametrize("gate", STOPS)
def test_the_decision_that_stands_counts_whatever_the_gate_said(gate: GateName) -> None:
    machine, _ = gated(WHERE[gate], gate)
    machine.on(Gated(gate, PROBLEM))
    assert machine.on(Decided(None)) == [Rest()]


# ── drained meanwhile ──


@pytest.mark.parametrize("gate", STOPS)
def test_who_is_drained_while_it_runs_is_not_asked_afterwards(gate: GateName) -> None:
    machine, _ = gated(WHERE[gate], gate)
    assert machine.on(Drained(frozenset({"a"}))) == []
    assert machine.on(Gated(gate, None)) == [Ask(STEPS[WHERE[gate]], "b", 1)]


@pytest.mark.parametrize("gate", STOPS)
def test_where_all_are_drained_while_it_runs_the_deployment_is_aborted_afterwards(gate: GateName) -> None:
    machine, _ = gated(WHERE[gate], gate, count=1)
    assert machine.on(Drained(frozenset({"a"}))) == []
    (effect,) = machine.on(Gated(gate, None))
    assert isinstance(effect, Decide)
    assert effect.decision is Decision.ABORT


def test_an_abort_during_a_step_then_a_drain_waits_for_the_gate() -> None:
    machine, _ = gated(State.STAGING, GateName.ON_ABORT)
    assert aborted(machine) == [Gate(GateName.ON_ABORT), *asks(State.ABORTING)]
    assert machine.on(Drained(frozenset({"a", "b"}))) == []
    assert machine.on(Gated(GateName.ON_ABORT, None)) == [ENDS[State.ABORTING]]


# ── taken over ──


@pytest.mark.parametrize("state", [State.STAGING, State.VERIFYING, State.ARMING])
def test_who_takes_over_before_the_decision_aborts_and_runs_no_gate_that_stops(state: State) -> None:
    row = row_in(state)
    row = replace(row, plan=replace(row.plan, snapshot={"gates": {name: {"command": ["/x"]} for name in GateName}}))
    machine = Coordination(row, takes_over=True)
    (effect,) = machine.start()
    assert isinstance(effect, Decide)
    assert effect.decision is Decision.ABORT
    assert machine.on(Decided(Decision.ABORT)) == [Gate(GateName.ON_ABORT), *asks(State.ABORTING)]


@pytest.mark.parametrize("gate", RUNS_BESIDE)
def test_who_takes_over_after_the_decision_runs_the_gate_again(gate: GateName) -> None:
    assert gated(WHERE[gate], *ALL)[1] == [Gate(gate), *asks(WHERE[gate])]


def test_a_deployment_that_rested_behind_its_gate_does_not_run_it_each_time_it_goes_on() -> None:
    rested = (Trouble("confirm", "b", PROBLEM),)
    machine, effects = gated(State.FINISHING, *ALL, troubles=rested)
    assert effects == asks(State.FINISHING)
    assert answer_all(machine, State.FINISHING) == [ENDS[State.FINISHING]]


def test_one_that_rested_before_its_gate_runs_it() -> None:
    machine, _ = gated(State.ACTIVATING, *ALL, troubles=(Trouble("activate", "b", PROBLEM),))
    machine.on(heard("a", Step.ACTIVATE))
    machine.on(heard("b", Step.ACTIVATE))
    assert machine.on(Moved(State.FINISHING, True)) == [Gate(GateName.AFTER_ACTIVATE), *asks(State.FINISHING)]
