"""Drains and readmissions in the ledger, on both databases: numbers that grow, one drain at a time, ended as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from orchestrator.adapters.ledger.database import Database
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.domain.activation import NOTHING
from orchestrator.domain.deployment import Decision, Deployment, Kind, Plan, State
from orchestrator.domain.errors import ConflictError, LockstepError
from orchestrator.domain.rotation import Drain
from orchestrator.ports import Ledger
from tests.integration.ledgers import FLEET, WAY, Callers, Ticks, advance, plan, reach, standing

SNAPSHOT = {"name": "web", "policy": {"max_drained": 1}, "none": None}
CROWD = 6


@pytest.fixture(params=Callers)
def callers(request: pytest.FixtureRequest) -> Callers:
    """The kind of callers."""
    kind: Callers = request.param
    return kind


def drained(ledger: Ledger, frontend: str = "f1", fleet: str = FLEET, *, anew: bool = False) -> Drain:
    return ledger.add_drain(fleet, frontend, SNAPSHOT, "ada", "new disk", anew=anew)


def found(ledger: Ledger, number: int) -> Drain:
    drain = ledger.drain(number)
    assert drain is not None
    return drain


def committed(ledger: Ledger, version: str = "1") -> Deployment:
    made = ledger.plan(plan(changes={"ToDo": version}))
    advance(ledger, made.id, State.DONE)
    return standing(ledger, made.id)


def readmission(fleet: str = FLEET, version: str = "1", **readmits: int) -> Plan:
    like = plan(fleet, {"ToDo": version})
    return replace(like, kind=Kind.READMIT, changes={}, frontends=tuple(readmits), readmits=readmits)


# ── drains ──


def test_a_drain_comes_back_as_it_was_made(ledger: Ledger) -> None:
    assert ledger.drains() == []
    made = drained(ledger)
    assert (made.fleet, made.frontend, made.name, made.actor, made.reason) == (FLEET, "f1", NOTHING, "ada", "new disk")
    assert (made.snapshot, made.by, made.confirmed_at, made.lifted_at, made.problem) == (SNAPSHOT, "", None, None, {})
    assert not made.confirmed
    assert found(ledger, made.number) == made
    assert ledger.drains() == ledger.drains(FLEET) == [made]


def test_a_drain_has_the_name_of_the_fleet_s_newest_deployment_whatever_became_of_it(ledger: Ledger) -> None:
    committed(ledger)
    second = ledger.plan(plan())
    assert drained(ledger).name == second.name
    reach(ledger, second.id, State.ABORTED)
    assert drained(ledger, "f2").name == second.name
    assert drained(ledger, "f1", "Production/other").name == NOTHING


def test_a_frontend_that_is_to_be_out_is_so_once(ledger: Ledger) -> None:
    first = drained(ledger)
    again = ledger.add_drain(FLEET, "f1", {}, "bob", "again")
    assert again == first
    assert drained(ledger, "f2").number > first.number
    assert drained(ledger, "f1", "Production/other").number > first.number


def test_drains_are_listed_oldest_first_of_all_fleets_or_one(ledger: Ledger) -> None:
    one, two = drained(ledger, "f2"), drained(ledger, "f1", "Production/other")
    three = drained(ledger, "f1")
    assert ledger.drains() == [one, two, three]
    assert ledger.drains(FLEET) == [one, three]
    assert ledger.drains("Production/nothing") == []


def test_anew_ends_the_one_that_stands_and_begins_one_with_a_higher_number(ledger: Ledger) -> None:
    first = drained(ledger)
    ledger.confirm_drain(first.number, "haproxy")
    second = drained(ledger, anew=True)
    assert second.number > first.number
    assert not second.confirmed
    assert ledger.drains(FLEET) == [second]
    assert found(ledger, first.number).lifted_at is not None
    # Where none stands it is a drain like any other.
    assert drained(ledger, "f2", anew=True).number > second.number


def test_a_confirmation_s_first_time_stays_and_its_last_word(ledger: Ledger) -> None:
    number = drained(ledger).number
    ledger.doubt_drain(number, {"what": "nobody answers"})
    assert found(ledger, number).problem == {"what": "nobody answers"}
    assert not found(ledger, number).confirmed
    ledger.confirm_drain(number, "haproxy a")
    first = found(ledger, number)
    assert (first.by, first.confirmed, first.problem) == ("haproxy a", True, {})
    ledger.confirm_drain(number, "haproxy b")
    second = found(ledger, number)
    assert (second.by, second.confirmed_at) == ("haproxy b", first.confirmed_at)


def test_a_doubt_takes_no_confirmation_away(ledger: Ledger) -> None:
    number = drained(ledger).number
    ledger.confirm_drain(number, "haproxy")
    ledger.doubt_drain(number, {"what": "no"})
    assert found(ledger, number).confirmed
    ledger.doubt_drain(number, {})
    assert found(ledger, number).problem == {}


def test_what_is_lifted_is_neither_confirmed_nor_doubted(ledger: Ledger) -> None:
    """Whoever was asked to drain may be late."""
    first = drained(ledger)
    drained(ledger, anew=True)
    lifted = found(ledger, first.number)
    ledger.confirm_drain(first.number, "haproxy")
    ledger.doubt_drain(first.number, {"what": "no"})
    assert found(ledger, first.number) == lifted


def test_a_number_that_no_drain_has_finds_none_and_changes_none(ledger: Ledger) -> None:
    made = drained(ledger)
    for number in (-1, 0, made.number + 1, 2**31, 2**63 - 1, 2**63, 10**40):
        assert ledger.drain(number) is None
    ledger.confirm_drain(made.number + 1, "haproxy")
    ledger.doubt_drain(made.number + 1, {"what": "no"})
    assert ledger.drains() == [made]


def test_words_that_are_too_long_are_cut_on_both_databases(ledger: Ledger) -> None:
    made = ledger.add_drain(FLEET, "f1", {}, "ada", "x" * 5000)
    ledger.confirm_drain(made.number, "y" * 5000)
    assert (made.reason, found(ledger, made.number).by) == ("x" * 1000, "y" * 1000)


def test_many_who_drain_the_same_frontend_at_once_get_the_same_drain(ledger: Ledger, callers: Callers) -> None:
    for frontend in (f"f{number}" for number in range(8)):
        outcomes = callers.at_once([lambda name=frontend: drained(ledger, name)] * CROWD)  # type: ignore[misc]
        assert outcomes == [found(ledger, ledger.drains(FLEET)[-1].number)] * CROWD
    assert len(ledger.drains(FLEET)) == 8


def test_of_many_who_drain_anew_at_once_one_stands_and_no_number_comes_twice(ledger: Ledger, callers: Callers) -> None:
    before = drained(ledger)
    outcomes = callers.at_once([lambda: drained(ledger, anew=True)] * CROWD)
    (stands,) = ledger.drains(FLEET)
    numbers = [outcome.number for outcome in outcomes if isinstance(outcome, Drain)]
    assert len(numbers) == CROWD
    assert max(numbers) == stands.number
    assert min(numbers) > before.number


def test_a_number_is_never_given_again(ledger_engine: Engine) -> None:
    """It is a fencing token: a frontend that has seen it must never meet it as another drain's."""
    ledger = SqlLedger(ledger_engine, Ticks())
    numbers = [drained(ledger, anew=True).number for _ in range(3)]
    with Database(ledger_engine).writing() as connection:
        connection.exec_driver_sql("DELETE FROM drains")
    assert drained(ledger).number > max(numbers)


# ── readmissions ──


def test_a_readmission_has_the_name_of_what_the_fleet_serves(ledger: Ledger) -> None:
    first = committed(ledger)
    reach(ledger, ledger.plan(plan()).id, State.ABORTED)
    drain = drained(ledger)
    made = ledger.plan(readmission(f1=drain.number))
    assert (made.name, made.plan.kind, made.plan.readmits) == (first.name, Kind.READMIT, {"f1": drain.number})
    assert standing(ledger, made.id) == made
    assert ledger.open_deployment(FLEET) == made
    assert standing(ledger, first.id).plan.readmits == {}


def test_a_fleet_that_serves_nothing_has_nothing_to_come_back_to(ledger: Ledger) -> None:
    with pytest.raises(ConflictError, match="serves nothing yet"):
        ledger.plan(readmission(f1=1))
    assert ledger.unfinished() == []


def test_a_readmission_and_a_deployment_exclude_each_other(ledger: Ledger) -> None:
    committed(ledger)
    held = ledger.plan(plan())
    with pytest.raises(ConflictError, match=f"deployment {held.id} of {FLEET} is open"):
        ledger.plan(readmission(f1=1))
    reach(ledger, held.id, State.ABORTED)
    back = ledger.plan(readmission(f1=1))
    for other in (plan(), readmission(f2=2)):
        with pytest.raises(ConflictError, match=f"deployment {back.id} of {FLEET} is open"):
            ledger.plan(other)


def test_a_readmission_moves_no_fleet_and_takes_no_epoch(ledger: Ledger) -> None:
    first = committed(ledger)
    back = [ledger.plan(readmission(f1=1)).id]
    advance(ledger, back[0], State.DONE)
    back.append(ledger.plan(readmission(f1=2)).id)
    advance(ledger, back[1], State.DONE)
    assert ledger.committed(FLEET) == [first]
    assert [row.id for row in ledger.readmissions(FLEET, first.epoch)] == back[::-1]
    assert [row.id for row in ledger.history(FLEET, 10)] == [*back[::-1], first.id]
    second = committed(ledger, "2")
    assert second.epoch == first.epoch + 1
    assert ledger.readmissions(FLEET, second.epoch) == []
    assert len(ledger.readmissions(FLEET, first.epoch)) == 2
    assert ledger.readmissions("Production/other", first.epoch) == []


def test_the_write_that_ends_a_readmission_lifts_its_drains_and_no_other(ledger: Ledger) -> None:
    committed(ledger)
    mine, other = drained(ledger, "f1"), drained(ledger, "f2")
    elsewhere = drained(ledger, "f1", "Production/other")
    number = ledger.plan(readmission(f1=mine.number)).id
    for state in WAY[1:-1]:
        advance_to(ledger, number, state)
        if state is not State.FINISHING:
            assert ledger.move(number, State.FINISHING, State.DONE) == (state, False)
        assert [drain.number for drain in ledger.drains()] == [mine.number, other.number, elsewhere.number]
    assert ledger.move(number, State.FINISHING, State.DONE) == (State.DONE, True)
    assert ledger.drains() == [other, elsewhere]
    lifted = found(ledger, mine.number).lifted_at
    assert lifted is not None
    # Whoever comes second changes nothing.
    assert ledger.move(number, State.FINISHING, State.DONE) == (State.DONE, False)
    assert found(ledger, mine.number).lifted_at == lifted


def advance_to(ledger: Ledger, number: int, state: State) -> None:
    """One step further."""
    if state is State.ACTIVATING:
        assert ledger.decide(number, Decision.COMMIT, []) is Decision.COMMIT
    else:
        assert ledger.move(number, WAY[WAY.index(state) - 1], state) == (state, True) or state is State.ARMING


def test_a_readmission_that_is_aborted_lifts_nothing(ledger: Ledger) -> None:
    committed(ledger)
    drain = drained(ledger)
    reach(ledger, ledger.plan(readmission(f1=drain.number)).id, State.ABORTED)
    assert ledger.drains() == [drain]


def test_a_drain_that_began_anew_outlives_the_readmission_of_the_old_one(ledger: Ledger) -> None:
    committed(ledger)
    old = drained(ledger)
    number = ledger.plan(readmission(f1=old.number)).id
    anew = drained(ledger, anew=True)
    ended = found(ledger, old.number).lifted_at
    advance(ledger, number, State.DONE)
    assert ledger.drains() == [anew]
    assert found(ledger, old.number).lifted_at == ended


def test_a_deployment_lifts_no_drain(ledger: Ledger) -> None:
    drain = drained(ledger)
    committed(ledger)
    assert ledger.drains() == [drain]


@contextmanager
def read_only_drains(engine: Engine) -> Iterator[None]:
    """Whoever lifts a drain fails."""
    if engine.dialect.name == "sqlite":
        begin = (
            "CREATE TRIGGER refuse BEFORE UPDATE ON drains BEGIN SELECT RAISE(ABORT, 'no'); END",
            "DROP TRIGGER refuse",
        )
    else:
        begin = (
            "CREATE FUNCTION refuse() RETURNS trigger AS 'BEGIN RAISE EXCEPTION ''no''; END' LANGUAGE plpgsql; "
            "CREATE TRIGGER refuse BEFORE UPDATE ON drains FOR EACH ROW EXECUTE FUNCTION refuse()",
            "DROP TRIGGER refuse ON drains; DROP FUNCTION refuse()",
        )
    for position, statement in enumerate(begin):
        with Database(engine).writing() as connection:
            connection.exec_driver_sql(statement)
        if position == 0:
            yield


def test_a_readmission_whose_drains_can_not_be_lifted_has_not_ended(ledger_engine: Engine) -> None:
    """One write: a readmission that is done and a drain that stands would be two truths."""
    ledger = SqlLedger(ledger_engine, Ticks())
    committed(ledger)
    drain = drained(ledger)
    number = ledger.plan(readmission(f1=drain.number)).id
    advance(ledger, number, State.FINISHING)
    with read_only_drains(ledger_engine), pytest.raises(LockstepError, match="nothing was written"):
        ledger.move(number, State.FINISHING, State.DONE)
    assert standing(ledger, number).state is State.FINISHING
    assert ledger.drains() == [drain]
    assert ledger.move(number, State.FINISHING, State.DONE) == (State.DONE, True)
    assert ledger.drains() == []


# ── what the database itself holds to ──

COPY = "INSERT INTO {table} ({columns}) SELECT {values} FROM {table} WHERE id = {number}"


def copied(engine: Engine, table: str, number: int, **changes: str) -> None:
    """A row once more, past the ledger, with some columns of another value (in SQL)."""
    with engine.connect() as connection:
        result = connection.exec_driver_sql(f"SELECT * FROM {table} WHERE 1 = 0")
        columns = [name for name in result.keys() if name != "id"]  # noqa: SIM118
    values = [changes.get(name, name) for name in columns]
    statement = COPY.format(table=table, columns=", ".join(columns), values=", ".join(values), number=number)
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql(statement)


def test_a_frontend_has_one_drain_that_is_not_lifted_whoever_writes_the_rows(ledger_engine: Engine) -> None:
    ledger = SqlLedger(ledger_engine, Ticks())
    number = drained(ledger).number
    with pytest.raises(IntegrityError):
        copied(ledger_engine, "drains", number)
    copied(ledger_engine, "drains", number, lifted_at="created_at")
    copied(ledger_engine, "drains", number, frontend="'f2'")
    copied(ledger_engine, "drains", number, fleet="'Production/other'")
    assert [(drain.fleet, drain.frontend) for drain in ledger.drains()] == [
        (FLEET, "f1"),
        (FLEET, "f2"),
        ("Production/other", "f1"),
    ]


def test_an_epoch_is_one_deployment_s_but_for_readmissions_whoever_writes_the_rows(ledger_engine: Engine) -> None:
    ledger = SqlLedger(ledger_engine, Ticks())
    number = committed(ledger).id
    for kind in ("'deploy'", "'rollback'"):
        with pytest.raises(IntegrityError):
            copied(ledger_engine, "deployments", number, kind=kind)
    for _ in range(2):
        copied(ledger_engine, "deployments", number, kind="'readmit'")
    copied(ledger_engine, "deployments", number, epoch="epoch + 1")
    copied(ledger_engine, "deployments", number, fleet="'Production/other'")
    assert [row.epoch for row in ledger.committed(FLEET)] == [2, 1]
