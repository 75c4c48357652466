"""What an operator reads when the ledger fails: what, where and what to do, and never a password."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, text

from orchestrator.adapters.ledger.engine import open_engine, upgrade
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.domain.deployment import Decision, Outcome, Report, Step
from orchestrator.domain.errors import ConflictError, LockstepError, UnansweredError
from tests.integration.ledgers import Callers, Ticks, plan, standing
from tests.integration.postgres import Postgres

#: Debian's account for nobody in particular.
NOBODY = 65534


def failing(url: str) -> LockstepError:
    """What opening, upgrading and reading a ledger says; it has to fail."""
    with pytest.raises(LockstepError) as failed:
        engine = open_engine(url)
        try:
            upgrade(engine)
        finally:
            engine.dispose()
    problem = failed.value.problem
    assert problem.what
    assert problem.where
    assert problem.remedy or problem.expected
    assert "secret" not in str(failed.value)
    assert not isinstance(failed.value, UnansweredError)
    return failed.value


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ledger.sqlite",
        "mysql://root:secret@/ledger",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:///ledger.sqlite",
        "sqlite:////tmp/ledger.sqlite?mode=memory&uri=true",
        "sqlite+aiosqlite:////tmp/ledger.sqlite",
        "sqlite://user:secret@//tmp/ledger.sqlite",
        "sqlite://host//tmp/ledger.sqlite",
        "postgresql://lockstep:secret@127.0.0.1:many/ledger",
    ],
)
def test_a_url_that_is_not_a_ledger_s_is_refused(url: str) -> None:
    assert failing(url).problem.where == "LOCKSTEP_LEDGER_URL"


# ── SQLite ──


def test_a_missing_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "var" / "lockstep" / "ledger.sqlite"
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    assert [place.stat().st_mode & 0o777 for place in (path.parent, path.parent.parent)] == [0o700, 0o700]


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    open_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}").dispose()
    assert tmp_path.stat().st_mode & 0o777 == 0o750


def test_a_place_where_nothing_can_be_made_is_named() -> None:
    assert failing("sqlite:////proc/lockstep/ledger.sqlite").problem.where == "/proc/lockstep"
    assert "unable to open" in failing("sqlite:////proc/ledger.sqlite").problem.found
    assert "unable to open" in failing("sqlite:////proc/version/ledger.sqlite").problem.found


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_text("not a database, " * 100)
    assert "not a ledger" in failing(f"sqlite:///{path}").problem.what
    assert path.read_text() == "not a database, " * 100


@pytest.fixture
def open_to_nobody() -> Iterator[Path]:
    """A directory that everybody may enter: pytest's own are closed to others."""
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def without_rights(call: Callable[[], None]) -> LockstepError:
    """Run `call` in a process that has no more rights than anybody; it has to fail."""

    def run() -> None:
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        call()

    [outcome] = Callers.PROCESSES.at_once([run])
    assert isinstance(outcome, LockstepError)
    return outcome


@pytest.mark.parametrize("existing", ["nothing", "ledger"])
def test_a_directory_that_can_not_be_written_is_named(open_to_nobody: Path, existing: str) -> None:
    path = open_to_nobody / "ledger.sqlite"
    url = f"sqlite:///{path}"
    if existing == "ledger":
        engine = open_engine(url)
        upgrade(engine)
        engine.dispose()
    open_to_nobody.chmod(0o555)

    def plan_one() -> None:
        engine = open_engine(url)
        upgrade(engine)
        SqlLedger(engine, Ticks()).plan(plan())

    problem = without_rights(plan_one).problem
    assert problem.where == url
    assert problem.remedy


# ── PostgreSQL ──


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path: Path) -> None:
    nowhere = f"host={tmp_path}&password=secret"
    problem = failing(f"postgresql://lockstep:secret@/ledger?{nowhere}").problem
    assert problem.what == "the ledger can't be reached"
    assert problem.where == "postgresql+psycopg://lockstep:***@/ledger"
    assert str(tmp_path) in problem.found


def test_a_database_that_is_not_there_is_named(postgres: Postgres) -> None:
    problem = failing(postgres.url("nowhere").replace("lockstep@", "lockstep:secret@")).problem
    assert problem.what == "the ledger can't be reached"
    assert 'database "nowhere" does not exist' in problem.found


def test_a_server_that_loses_what_it_commits_is_refused(postgres: Postgres) -> None:
    url = postgres.empty_database()
    try:
        with postgres.connect() as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            postgres.reload(connection, "fsync", "off")
        assert "may lose decisions" in failing(url).problem.what
    finally:
        with postgres.connect() as connection:
            connection.execute("ALTER SYSTEM RESET fsync")
            postgres.reload(connection, "fsync", "on")
    engine = open_engine(url)
    upgrade(engine)
    engine.dispose()


def test_a_session_that_the_server_ended_is_replaced(postgres: Postgres) -> None:
    engine = open_engine(postgres.empty_database())
    upgrade(engine)
    ledger = SqlLedger(engine, Ticks())
    number = ledger.plan(plan()).id
    with postgres.connect() as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert ledger.decide(number, Decision.ABORT, []) is Decision.ABORT
    engine.dispose()


def test_a_session_that_ends_before_the_commit_has_written_nothing(postgres: Postgres) -> None:
    engine = open_engine(postgres.empty_database())
    upgrade(engine)
    ledger = SqlLedger(engine, Ticks())
    number = ledger.plan(plan()).id

    @event.listens_for(engine, "before_cursor_execute")
    def end_session(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith("UPDATE"):
            with postgres.connect() as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE state LIKE 'idle in%'"
                )

    with pytest.raises(LockstepError, match="can't be reached") as failed:
        ledger.decide(number, Decision.ABORT, [])
    assert not isinstance(failed.value, UnansweredError)
    assert standing(ledger, number).decision is None
    engine.dispose()


# ── both ──


def test_a_ledger_without_tables_says_so(ledger_url: str) -> None:
    engine = open_engine(ledger_url)
    ledger = SqlLedger(engine, Ticks())
    with pytest.raises(LockstepError, match="no tables of this version"):
        ledger.unfinished()
    with pytest.raises(LockstepError, match="no tables of this version"):
        ledger.plan(plan())
    engine.dispose()


def test_a_writer_that_waits_in_vain_is_told_that_the_ledger_is_busy(ledger_engine: Engine) -> None:
    ledger = SqlLedger(ledger_engine, Ticks())
    number = ledger.plan(plan()).id
    sqlite = ledger_engine.dialect.name == "sqlite"
    ledger_engine.dispose()

    # The ledger waits for half a minute; a test does not.
    if sqlite:

        @event.listens_for(ledger_engine, "connect")
        def wait_shortly(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute("PRAGMA busy_timeout = 50")
    else:

        @event.listens_for(ledger_engine, "begin")
        def wait_briefly(connection: Connection) -> None:
            connection.exec_driver_sql("SET lock_timeout = 50")

    with ledger_engine.connect() as holder:
        if sqlite:
            holder.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            holder.exec_driver_sql("BEGIN")
            holder.execute(text("UPDATE deployments SET hold = hold"))
        with pytest.raises(ConflictError, match="the ledger is busy, nothing was written"):
            ledger.decide(number, Decision.ABORT, [])
        assert standing(ledger, number).decision is None
        holder.exec_driver_sql("ROLLBACK")
    assert ledger.decide(number, Decision.ABORT, []) is Decision.ABORT


def test_no_error_tells_a_nonce(ledger_engine: Engine) -> None:
    ledger = SqlLedger(ledger_engine, Ticks(), nonce=lambda: "feedfacefeedface")
    with ledger_engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE deployments DROP COLUMN snapshot")
    with pytest.raises(LockstepError, match="no tables of this version") as failed:
        ledger.plan(plan())
    chain: BaseException | None = failed.value
    while chain is not None:
        assert "feedface" not in str(chain)
        chain = chain.__cause__


def test_one_report_that_is_refused_keeps_the_others_out(ledger: SqlLedger) -> None:
    number = ledger.plan(plan()).id
    good = Report("f1", Step.ARM, 1, Outcome.ACCEPTED)
    bad = Report("f1", Step.ARM, 2**200, Outcome.ACCEPTED)
    with pytest.raises(LockstepError, match="nothing was written"):
        ledger.record(number, [good, bad])
    assert ledger.reports(number) == []
