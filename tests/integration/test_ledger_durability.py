"""What the ledger has answered survives whatever happens next, whatever the server's settings are."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orchestrator.adapters.ledger.database import Database
from orchestrator.adapters.ledger.engine import open_engine, upgrade
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.domain.deployment import Decision, Outcome, Report, State, Step
from tests.integration.ledgers import Ticks, advance, plan, standing
from tests.integration.postgres import Postgres, running


@pytest.fixture(scope="module")
def fragile() -> Iterator[Postgres]:
    """A server that a test may crash."""
    with running() as server:
        yield server


def test_the_tests_server_forgets_what_was_committed_its_own_way(fragile: Postgres) -> None:
    """Else the next test would prove nothing."""
    with fragile.connect() as connection:
        connection.execute("CREATE TABLE forgotten (n int)")
        connection.execute("SELECT pg_switch_wal()")
        connection.execute("CHECKPOINT")
        connection.execute("INSERT INTO forgotten VALUES (1)")
        fragile.crash()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    fragile.start()
    with fragile.connect() as connection:
        assert connection.execute("SELECT count(*) FROM forgotten").fetchone() == (0,)


def test_what_was_answered_survives_the_crash_of_the_server(fragile: Postgres) -> None:
    engine = open_engine(fragile.empty_database())
    upgrade(engine)
    ledger = SqlLedger(engine, Ticks())
    undecided, committed, aborted = (ledger.plan(plan(f"Production/{name}")).id for name in ("a", "b", "c"))
    for number in (undecided, committed):
        advance(ledger, number, State.ARMING)
    ledger.record(committed, [Report("f1", Step.ARM, 1, Outcome.ACCEPTED)])
    assert ledger.decide(aborted, Decision.ABORT, []) is Decision.ABORT
    # The last write before the crash: no later one can have taken it to the disk.
    assert ledger.decide(committed, Decision.COMMIT, []) is Decision.COMMIT
    fragile.crash()
    fragile.start()
    # The pool's connections are dead, and nobody has to know.
    assert standing(ledger, committed).decision is Decision.COMMIT
    assert standing(ledger, aborted).decision is Decision.ABORT
    assert standing(ledger, undecided).state is State.ARMING
    assert len(ledger.reports(committed)) == 1
    engine.dispose()


def test_a_transaction_that_writes_depends_on_no_setting_of_the_server(postgres: Postgres) -> None:
    url = (
        postgres.empty_database()
        + "&options=-c%20synchronous_commit%3Dlocal%20-c%20default_transaction_read_only%3Doff"
    )
    engine = open_engine(url)
    wanted = {
        "synchronous_commit": "on",
        "transaction_isolation": "read committed",
        "transaction_read_only": "off",
        "lock_timeout": "30s",
        "idle_in_transaction_session_timeout": "30s",
    }
    with Database(engine).writing() as connection:
        assert {name: connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in wanted} == wanted
    with Database(engine).reading() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == "local"
    engine.dispose()


def test_every_sqlite_connection_writes_ahead_and_syncs(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    with engine.connect() as first, engine.connect() as second:
        for connection in (first, second):
            for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
                assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one() == value
    engine.dispose()


def test_a_decision_survives_the_process_that_wrote_it(ledger: SqlLedger) -> None:
    number = ledger.plan(plan()).id
    advance(ledger, number, State.ARMING)
    child = os.fork()
    if child == 0:
        try:
            ledger.decide(number, Decision.COMMIT, [])
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert standing(ledger, number).decision is Decision.COMMIT


def test_a_process_that_dies_inside_a_transaction_leaves_no_part_of_it(ledger: SqlLedger, ledger_url: str) -> None:
    number = ledger.plan(plan()).id
    child = os.fork()
    if child == 0:
        try:
            with Database(open_engine(ledger_url)).writing() as connection:
                connection.exec_driver_sql("UPDATE deployments SET hold = true")
                os.kill(os.getpid(), signal.SIGKILL)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert not standing(ledger, number).plan.hold
    assert ledger.decide(number, Decision.ABORT, []) is Decision.ABORT
