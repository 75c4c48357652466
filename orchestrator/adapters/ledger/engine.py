"""Opening the ledger's database: SQLite embedded by default, PostgreSQL by URL."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, OperationalError

from orchestrator.domain.errors import LockstepError

#: How long a writer waits for another one, in seconds. Writes take milliseconds.
BUSY_SECONDS = 30


def open_engine(url: str) -> Engine:
    """An engine for `url` (``sqlite:////path`` or ``postgresql://…``). Raises `LockstepError` for other databases."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise LockstepError(
            "the ledger's URL can't be read",
            where="LOCKSTEP_LEDGER_URL",
            expected="sqlite:////absolute/path.sqlite or postgresql://user@address/database",
        ) from error
    match parsed.get_backend_name():
        case "sqlite":
            engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS})
            event.listen(engine, "connect", _sqlite_connect)
            event.listen(engine, "begin", _sqlite_begin)
            return engine
        case "postgresql":
            # A decision counts only when it is durable, whatever the server's default is.
            options = "-c synchronous_commit=on"
            parsed = parsed.set(drivername="postgresql+psycopg")
            return create_engine(parsed, pool_pre_ping=True, connect_args={"options": options})
        case other:
            raise LockstepError("not a database for the ledger", expected="sqlite or postgresql", found=other)


def _sqlite_connect(connection: Any, record: object) -> None:
    """Durable commits (FULL), readers beside one writer (WAL), and transactions that Python does not meddle with."""
    del record
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _sqlite_begin(connection: Connection) -> None:
    # IMMEDIATE: a transaction that reads and then writes must hold the writer's place from the start.
    write = connection.get_execution_options().get("lockstep_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def upgrade(engine: Engine) -> None:
    """Bring the schema to this version's. Safe to call from several processes at once."""
    config = _config()
    with _one_at_a_time(engine), engine.connect() as connection:
        config.attributes["connection"] = connection
        if connection.dialect.name == "postgresql":
            # Released with the session: a second migrator waits here, then finds nothing to do.
            connection.exec_driver_sql("SELECT pg_advisory_lock(7021957)")
        command.upgrade(config, "head")
        connection.commit()


def revision(engine: Engine) -> tuple[str | None, str | None]:
    """The schema's revision in the database, and the one that this version wants."""
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision(), wanted
    except OperationalError as error:
        raise LockstepError(
            "the ledger can't be reached",
            where=engine.url.render_as_string(hide_password=True),
            found=str(error.orig).strip(),
            remedy="start the database, or correct LOCKSTEP_LEDGER_URL",
        ) from error


@contextmanager
def _one_at_a_time(engine: Engine) -> Iterator[None]:
    path = engine.url.database
    if engine.dialect.name != "sqlite" or not path or path == ":memory:":
        yield
        return
    with Path(f"{path}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
