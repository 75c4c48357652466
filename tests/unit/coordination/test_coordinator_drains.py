"""The coordinator and the ledger's drains: the policy's room, who is out, and readmissions that end them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.domain.deployment import Decision, Deployment, Kind, Outcome, Report, State, Step
from orchestrator.domain.effects import Ask
from orchestrator.services.coordinator import Coordinator, Inbox, max_drained
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.plans import FLEET, plan
from tests.unit.coordination.rows import report
from tests.unit.coordination.scripted import ScriptedFleet, accepted

FOREVER = 3600.0
DRAIN = {"policy": {"unreachable": "drain", "max_drained": 1}}


@pytest.mark.parametrize(
    ("snapshot", "room"),
    [
        ({}, 0),
        ({"policy": None}, 0),
        ({"policy": {}}, 0),
        ({"policy": {"unreachable": "abort", "max_drained": 3}}, 0),
        ({"policy": {"unreachable": "drain"}}, 0),
        ({"policy": {"unreachable": "drain", "max_drained": 3}}, 3),
    ],
)
def test_the_policy_of_the_plan_says_how_many_may_be_drained(snapshot: Mapping[str, object], room: int) -> None:
    assert max_drained(snapshot) == room


def planned(ledger: MemoryLedger, count: int = 3, snapshot: Mapping[str, Any] = DRAIN) -> Deployment:
    return ledger.plan(replace(plan(count), snapshot=snapshot))


def out(ledger: MemoryLedger, frontend: str, *, confirmed: bool = True) -> int:
    drain = ledger.add_drain(FLEET, frontend, {}, "ann", "")
    if confirmed:
        ledger.confirm_drain(drain.number, "haproxy")
    return drain.number


def silent(name: str, step: Step) -> Callable[[Ask], Report | None]:
    """One that nobody can reach at this step."""

    def answer(ask: Ask) -> Report | None:
        if (ask.frontend, ask.step) == (name, step):
            return report(name, step, Outcome.UNKNOWN, ask.attempt)
        return accepted(ask)

    return answer


def run(ledger: MemoryLedger, fleet: ScriptedFleet, number: int, *, takes_over: bool = False) -> Deployment:
    return Coordinator(ledger, fleet, number, takes_over=takes_over, inbox=Inbox(FOREVER)).run()


def asked(fleet: ScriptedFleet, step: Step) -> set[str]:
    """Who was asked for this step."""
    groups = [call for call in fleet.calls if isinstance(call, list)]
    return {name for group in groups for wanted, name, _ in group if wanted is step}


@pytest.mark.parametrize("step", [Step.STAGE, Step.VERIFY, Step.ARM, Step.ACTIVATE, Step.CONFIRM])
def test_the_others_go_on_without_one_that_is_gone_where_the_policy_has_room(step: Step) -> None:
    ledger, fleet = MemoryLedger(), ScriptedFleet(silent("b", step))
    row = run(ledger, fleet, planned(ledger).id)
    assert (row.state, row.troubles) == (State.DONE, ())
    assert asked(fleet, Step.DRAIN) == {"b"}
    assert asked(fleet, Step.CONFIRM) - {"b"} == {"a", "c"}


@pytest.mark.parametrize("snapshot", [{}, {"policy": {"unreachable": "abort", "max_drained": 1}}])
def test_without_such_a_policy_it_is_aborted_and_nobody_drained(snapshot: Mapping[str, Any]) -> None:
    ledger, fleet = MemoryLedger(), ScriptedFleet(silent("b", Step.STAGE))
    row = run(ledger, fleet, planned(ledger, snapshot=snapshot).id)
    assert row.state is State.ABORTED
    assert asked(fleet, Step.DRAIN) == set()


def test_who_is_out_already_takes_up_the_policy_s_room() -> None:
    ledger, fleet = MemoryLedger(), ScriptedFleet(silent("b", Step.STAGE))
    number = planned(ledger).id
    out(ledger, "a")
    row = run(ledger, fleet, number)
    assert row.state is State.ABORTED
    assert asked(fleet, Step.STAGE) == {"b", "c"}
    assert asked(fleet, Step.DRAIN) == set()


def test_a_drain_that_nobody_has_confirmed_leaves_its_frontend_in() -> None:
    ledger, fleet = MemoryLedger(), ScriptedFleet()
    number = planned(ledger).id
    out(ledger, "a", confirmed=False)
    run(ledger, fleet, number)
    assert asked(fleet, Step.ACTIVATE) == {"a", "b", "c"}


def test_one_that_an_operator_drains_meanwhile_is_waited_for_no_more() -> None:
    ledger = MemoryLedger()
    number = planned(ledger, snapshot={}).id

    def answer(ask: Ask) -> Report | None:
        if (ask.frontend, ask.step) != ("b", Step.ARM):
            return accepted(ask)
        # It says nothing for as long as anybody waits.
        out(ledger, "b")
        return None

    row = Coordinator(ledger, ScriptedFleet(answer), number, inbox=Inbox(0.001)).run()
    assert (row.state, row.decision) == (State.DONE, Decision.COMMIT)


def test_the_skew_is_that_of_the_frontends_in_rotation() -> None:
    ledger = MemoryLedger()
    number = planned(ledger, snapshot={}).id
    clocks = {"a": 10.0, "c": 10.25}

    def answer(ask: Ask) -> Report | None:
        if ask.step is not Step.ACTIVATE:
            return accepted(ask)
        return report(ask.frontend, ask.step, detail={"at": clocks[ask.frontend]})

    out(ledger, "b")
    assert run(ledger, ScriptedFleet(answer), number).skew == pytest.approx(0.25)


# ── readmissions ──


def committed(ledger: MemoryLedger) -> None:
    assert run(ledger, ScriptedFleet(), planned(ledger).id).state is State.DONE


def readmission(ledger: MemoryLedger, **readmits: int) -> int:
    return ledger.plan(replace(plan(0), kind=Kind.READMIT, frontends=tuple(readmits), readmits=readmits)).id


def test_a_readmission_ends_the_drains_that_it_names_and_no_other() -> None:
    ledger, fleet = MemoryLedger(), ScriptedFleet()
    committed(ledger)
    a, b = out(ledger, "a"), out(ledger, "b")
    row = run(ledger, fleet, readmission(ledger, a=a))
    assert row.state is State.DONE
    assert [drain.number for drain in ledger.drains(FLEET)] == [b]
    steps = (Step.STAGE, Step.VERIFY, Step.READMIT, Step.CONFIRM)
    assert fleet.calls == [[(step, "a", 1)] for step in steps]


def test_a_readmission_that_fails_leaves_the_drain() -> None:
    ledger = MemoryLedger()
    committed(ledger)
    number = out(ledger, "a")
    row = run(ledger, ScriptedFleet(silent("a", Step.VERIFY)), readmission(ledger, a=number))
    assert row.state is State.ABORTED
    assert [drain.number for drain in ledger.drains(FLEET)] == [number]


def test_a_readmission_that_nobody_leads_is_aborted_by_who_takes_over() -> None:
    ledger, fleet = MemoryLedger(), ScriptedFleet()
    committed(ledger)
    number = readmission(ledger, a=out(ledger, "a"))
    ledger.move(number, State.PLANNED, State.STAGING)
    assert run(ledger, fleet, number, takes_over=True).state is State.ABORTED
    assert fleet.calls == []


def test_one_that_is_drained_anew_while_it_is_readmitted_stays_out() -> None:
    ledger = MemoryLedger()
    committed(ledger)
    number = readmission(ledger, a=out(ledger, "a"), b=out(ledger, "b"))
    anew: list[int] = []

    def answer(ask: Ask) -> Report | None:
        if (ask.frontend, ask.step) != ("b", Step.READMIT):
            return accepted(ask)
        if anew:
            # The next time it says nothing.
            return None
        anew.append(ledger.add_drain(FLEET, "b", {}, "bob", "", anew=True).number)
        ledger.confirm_drain(anew[0], "haproxy")
        return report("b", Step.READMIT, Outcome.REFUSED, ask.attempt)

    row = Coordinator(ledger, ScriptedFleet(answer), number, inbox=Inbox(0.001)).run()
    assert (row.state, row.troubles) == (State.DONE, ())
    assert [drain.number for drain in ledger.drains(FLEET)] == anew
