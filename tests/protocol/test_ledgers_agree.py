"""The ledger in memory and the real one answer alike, in every state that a deployment can be in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from orchestrator.domain.deployment import (
    MOVES,
    Decision,
    Deployment,
    Healing,
    Kind,
    Outcome,
    Plan,
    Report,
    State,
    Step,
    Trouble,
)
from orchestrator.domain.errors import ConflictError, UsageError
from orchestrator.ports import Deployments
from tests.protocol.conftest import MakeLedger
from tests.protocol.simulation.explorer import drive
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.plans import FLEET, plan
from tests.protocol.simulation.scenario import LOSSES, UNANSWERED, Scenario, What
from tests.protocol.simulation.world import World

TROUBLE = Trouble("verify", "a", {"what": "no"})

Write = Callable[[Deployments, int], object]


def moving(before: State, after: State) -> Write:
    return lambda ledger, number: ledger.move(number, before, after)


#: Everything that can be written about a deployment.
WRITES: dict[str, Write] = {
    **{f"{before} to {after}": moving(before, after) for before in State for after in sorted(MOVES[before])},
    "prepare": lambda ledger, number: ledger.prepare(number),
    "release hold": lambda ledger, number: ledger.release_hold(number),
    "commit": lambda ledger, number: ledger.decide(number, Decision.COMMIT, []),
    "abort": lambda ledger, number: ledger.decide(number, Decision.ABORT, [TROUBLE]),
    "note troubles": lambda ledger, number: ledger.note_troubles(number, [TROUBLE]),
    "forget troubles": lambda ledger, number: ledger.note_troubles(number, []),
    "skew": lambda ledger, number: ledger.record_skew(number, 0.25),
    "other skew": lambda ledger, number: ledger.record_skew(number, 0.5),
}


def reachable(*, hold: bool) -> list[tuple[str, ...]]:
    """For each different row that writes lead to, the shortest way there."""
    ways: dict[object, tuple[str, ...]] = {}
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        way = waiting.pop(0)
        row = row_after(way, hold=hold)
        key = (row.state, row.decision, row.plan.hold, bool(row.troubles))
        if key not in ways:
            ways[key] = way
            waiting += [(*way, name) for name in WRITES]
    return list(ways.values())


def row_after(way: tuple[str, ...], *, hold: bool) -> Deployment:
    """The row to which this was done."""
    ledger = MemoryLedger()
    return standing(ledger, written(ledger, way, hold=hold, fleet="test/web"))


def tries(way: tuple[str, ...], *, hold: bool) -> Iterator[list[str]]:
    """All writes in groups: those of a group can be tried on one row, because at most the last of them changes it."""
    row = row_after(way, hold=hold)
    changing = [name for name in WRITES if row_after((*way, name), hold=hold) != row]
    yield [name for name in WRITES if name not in changing]
    yield from ([name] for name in changing)


def written(ledger: Deployments, way: tuple[str, ...], *, hold: bool, fleet: str) -> int:
    """The number of a new deployment to which this was done."""
    number = ledger.plan(plan(2, hold=hold, fleet=fleet)).id
    for name in way:
        WRITES[name](ledger, number)
    return number


def standing(ledger: Deployments, number: int) -> Deployment:
    row = ledger.deployment(number)
    assert row is not None
    return row


@pytest.mark.parametrize("hold", [False, True])
def test_every_write_in_every_state_does_the_same(make_sql_ledger: MakeLedger, hold: bool) -> None:
    memory, sql = MemoryLedger(), make_sql_ledger()
    states = set()
    for index, way in enumerate(reachable(hold=hold)):
        for group, names in enumerate(tries(way, hold=hold)):
            number = written(memory, way, hold=hold, fleet=f"test/{index}-{group}")
            assert written(sql, way, hold=hold, fleet=f"test/{index}-{group}") == number
            states.add(standing(memory, number).state)
            for name in names:
                assert WRITES[name](memory, number) == WRITES[name](sql, number), (way, name)
                assert standing(memory, number) == standing(sql, number), (way, name)
    assert states == set(State)


def test_the_next_epoch_is_planned_when_the_last_has_ended(ledger: Deployments) -> None:
    first = ledger.plan(plan(2))
    with pytest.raises(ConflictError):
        ledger.plan(plan(2))
    other = ledger.plan(plan(1, fleet="test/other"))
    assert (first.epoch, other.epoch) == (1, 1)
    assert ledger.open_deployment("test/web") == first
    assert ledger.unfinished() == [first, other]
    ledger.decide(first.id, Decision.ABORT, [])
    ledger.move(first.id, State.ABORTING, State.ABORTED)
    assert ledger.open_deployment("test/web") is None
    second = ledger.plan(plan(2))
    assert second.epoch == 2
    assert [row.id for row in ledger.history("test/web", 9)] == [second.id, first.id]
    assert [row.id for row in ledger.history(None, 2)] == [second.id, other.id]
    assert ledger.committed("test/web") == []
    for before, after in pairwise((State.PLANNED, State.STAGING, State.VERIFYING)):
        ledger.move(second.id, before, after)
    ledger.prepare(second.id)
    ledger.decide(second.id, Decision.COMMIT, [])
    assert [row.id for row in ledger.committed("test/web")] == [second.id]
    assert ledger.committed("test/web", before=2) == ledger.committed("test/web", limit=0) == []
    assert [row.id for row in ledger.committed("test/web", before=3, limit=1)] == [second.id]


def test_what_is_asked_often_is_answered_without_the_row(ledger: Deployments) -> None:
    number, other = ledger.plan(plan(2)).id, ledger.plan(plan(1, fleet="test/other")).id
    for name, step, attempt in (
        ("a", Step.STAGE, 1),
        ("b", Step.STAGE, 2),
        ("b", Step.VERIFY, 1),
        ("c", Step.STAGE, 1),
    ):
        ledger.record(number, [Report(name, step, attempt, Outcome.UNKNOWN)])
    ledger.record(other, [Report("d", Step.STAGE, 1, Outcome.ACCEPTED)])
    assert ledger.reported(number, Step.STAGE, 1) == {"a", "c"}
    assert ledger.reported(number, Step.ARM, 1) == ledger.reported(99, Step.STAGE, 1) == frozenset()
    assert ledger.decision(number) is None
    ledger.decide(number, Decision.ABORT, [])
    assert (ledger.decision(number), ledger.decision(other)) == (Decision.ABORT, None)
    for nowhere in (0, 99, 2**70):
        with pytest.raises(UsageError):
            ledger.decision(nowhere)


def test_reports_come_back_in_order_with_the_time_of_their_recording(ledger: Deployments) -> None:
    number, other = ledger.plan(plan(2)).id, ledger.plan(plan(1, fleet="test/other")).id
    reports = [Report(name, Step.STAGE, 1, Outcome.ACCEPTED, detail={"bytes": 3}) for name in ("b", "a")]
    ledger.record(number, reports[:1])
    ledger.record(other, [Report("a", Step.STAGE, 1, Outcome.UNKNOWN)])
    ledger.record(number, reports[1:])
    found = ledger.reports(number)
    assert [report.frontend for _, report in found] == ["b", "a"]
    assert all(report.at is not None for _, report in found)
    assert [report.frontend for _, report in ledger.reports(number, found[0][0])] == ["a"]


def test_what_does_not_exist_is_said_not_to_exist(ledger: Deployments) -> None:
    assert ledger.deployment(7) is None
    assert ledger.reports(7) == []
    for name in ("prepare", "release hold", "commit", "abort", "note troubles", "skew", "planned to staging"):
        with pytest.raises(UsageError):
            WRITES[name](ledger, 7)
    with pytest.raises(UsageError):
        ledger.record(7, [Report("a", Step.STAGE, 1, Outcome.ACCEPTED)])


def test_a_move_that_only_a_decision_makes_is_none(ledger: Deployments) -> None:
    number = ledger.plan(plan(2)).id
    for before in State:
        for after in set(State) - MOVES[before]:
            with pytest.raises(ValueError, match="without a decision"):
                ledger.move(number, before, after)


# ── rotation ──

#: Everything that can be written about drains and readmissions of one fleet with frontends a and b; what it says.
ROTATION: dict[str, Callable[[Deployments], object]] = {
    "drain a": lambda ledger: ledger.add_drain(FLEET, "a", {"n": 1}, "ann", "why"),
    "drain b": lambda ledger: ledger.add_drain(FLEET, "b", {}, "bob", ""),
    "drain a anew": lambda ledger: ledger.add_drain(FLEET, "a", {}, "eve", "", anew=True),
    "confirm 1": lambda ledger: ledger.confirm_drain(1, "haproxy"),
    "confirm 2": lambda ledger: ledger.confirm_drain(2, "haproxy"),
    "doubt 1": lambda ledger: ledger.doubt_drain(1, {"what": "no"}),
    "doubt 9": lambda ledger: ledger.doubt_drain(9, {"what": "no"}),
    "confirm 9": lambda ledger: ledger.confirm_drain(9, "haproxy"),
    "deploy": lambda ledger: whole(ledger, plan(2)),
    "plan a deployment": lambda ledger: refused(lambda: ledger.plan(plan(2))),
    "readmit": lambda ledger: refused(lambda: whole(ledger, readmission(a=1))),
    "plan a readmission": lambda ledger: refused(lambda: ledger.plan(readmission(a=1, b=2))),
    "heal": lambda ledger: refused(lambda: whole(ledger, HEALING)),
    "plan to heal": lambda ledger: refused(lambda: ledger.plan(HEALING)),
    "abort": lambda ledger: [gone(ledger, row.id) for row in ledger.unfinished()],
    "finish": lambda ledger: [finished(ledger, row.id) for row in ledger.unfinished()],
}


HEALING: Plan = replace(plan(2), kind=Kind.HEAL, changes={}, healing=Healing(1, 9))


def readmission(**readmits: int) -> Plan:
    return replace(plan(2), kind=Kind.READMIT, changes={}, frontends=tuple(readmits), readmits=readmits)


def refused(act: Callable[[], object]) -> object:
    """What it returns; that it is refused, however that is said."""
    try:
        return act()
    except ConflictError:
        return ConflictError


def finished(ledger: Deployments, number: int) -> Deployment:
    for before, after in pairwise((State.PLANNED, State.STAGING, State.VERIFYING)):
        ledger.move(number, before, after)
    ledger.prepare(number)
    ledger.decide(number, Decision.COMMIT, [])
    for before, after in pairwise((State.ACTIVATING, State.FINISHING, State.DONE)):
        ledger.move(number, before, after)
    return standing(ledger, number)


def whole(ledger: Deployments, what: Plan) -> object:
    return refused(lambda: finished(ledger, ledger.plan(what).id))


def gone(ledger: Deployments, number: int) -> Deployment:
    ledger.decide(number, Decision.ABORT, [])
    ledger.move(number, State.ABORTING, State.ABORTED)
    return standing(ledger, number)


def plain(found: object) -> str:
    """But for the nonces: a real ledger has used one up where a plan was refused."""
    return re.sub(r"nonce='[0-9a-f]{16}'", "nonce", repr(found))


def told(ledger: Deployments) -> str:
    """All that can be read of it."""
    return plain(
        (
            ledger.drains(),
            ledger.drains(FLEET),
            [ledger.drain(number) for number in range(6)],
            ledger.committed(FLEET),
            [ledger.readmissions(FLEET, epoch) for epoch in range(4)],
            ledger.history(None, 99),
            ledger.open_deployment(FLEET),
        )
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(ROTATION)), max_size=12))
@example(["deploy", "drain a", "drain b", "confirm 1", "plan a readmission", "drain a anew", "finish", "doubt 1"])
@example(["deploy", "drain a", "readmit", "drain a", "confirm 2", "deploy", "readmit", "plan a readmission", "abort"])
@example(
    ["heal", "deploy", "plan a deployment", "abort", "heal", "plan to heal", "deploy", "drain a", "abort", "deploy"]
)
@example(["plan a readmission", "drain a", "drain a", "drain a anew", "confirm 1", "confirm 2", "confirm 2", "deploy"])
def test_drains_and_readmissions_go_the_same_way_on_both(make_sql_ledger: MakeLedger, way: list[str]) -> None:
    memory, sql = MemoryLedger(), make_sql_ledger()
    for name in way:
        assert plain(ROTATION[name](memory)) == plain(ROTATION[name](sql)), (way, name)
        assert told(memory) == told(sql), (way, name)


SCENARIOS = [
    Scenario(2, faults=2, kinds=LOSSES),
    Scenario(3, coordinators=2, aborts=1, faults=1, kinds=LOSSES | UNANSWERED | {What.CRASH}),
    Scenario(2, hold=True, continues=2, aborts=1, faults=1, kinds=frozenset({What.TAMPER, What.LOSE})),
    Scenario(2, deployments=2, faults=2, kinds=LOSSES | {What.REFUSE, What.STAND_DOWN}),
]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("seed", range(6))
def test_the_same_seed_goes_the_same_way_on_both(make_sql_ledger: MakeLedger, scenario: Scenario, seed: int) -> None:
    memory, sql = World(scenario, MemoryLedger()), World(scenario, make_sql_ledger())
    assert drive(memory, Random(seed).choice) == drive(sql, Random(seed).choice)
    assert memory.ledger.history(None, 9) == sql.ledger.history(None, 9)
    assert [frontend.key for frontend in memory.frontends.values()] == [f.key for f in sql.frontends.values()]
