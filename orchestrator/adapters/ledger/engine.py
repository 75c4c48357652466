"""Opening the ledger's database, and bringing its schema up to date."""

from __future__ import annotations

import atexit
import os
import weakref
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, make_url, text
from sqlalchemy.exc import ArgumentError

from orchestrator.adapters.ledger.database import Database
from orchestrator.adapters.ledger.postgresql import check_durability, open_postgresql
from orchestrator.adapters.ledger.sqlite import open_sqlite
from orchestrator.adapters.ledger.tables import REVISION
from orchestrator.domain.errors import LockstepError

#: The key of PostgreSQL's advisory lock under which one process migrates and others wait. Any number would do.
MIGRATION_LOCK = 7021957
MIGRATIONS = Path(__file__).parent / "migrations"


def open_engine(url: str) -> Engine:
    """An engine for `url` (``sqlite:////path`` or ``postgresql://…``), for many threads and for forked processes.

    Raises `LockstepError` for other databases.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise LockstepError(
            "the ledger's URL can't be read",
            where="LOCKSTEP_LEDGER_URL",
            expected="sqlite:////absolute/path.sqlite or postgresql://user@address/database",
        ) from error
    match parsed.get_backend_name():
        case "sqlite":
            engine = open_sqlite(parsed)
        case "postgresql" | "postgres":
            engine = open_postgresql(parsed)
        case other:
            raise LockstepError(
                "not a database for the ledger",
                where="LOCKSTEP_LEDGER_URL",
                expected="sqlite or postgresql",
                found=other,
            )
    _close_in_time(engine)
    return engine


def upgrade(engine: Engine) -> None:
    """Bring the schema to this version's. Safe to call from several processes at once, and cheap where it is there.

    Raises `LockstepError` where a newer version wrote the schema, or where the database can't keep a decision.
    """
    database = Database(engine)
    if revision(engine) != REVISION:
        with database.writing() as connection:
            _migrate(connection, database.place)
    if engine.dialect.name == "postgresql":
        with database.reading() as connection:
            check_durability(connection, database.place)


def revision(engine: Engine) -> str | None:
    """The schema's revision in the database, None where it is empty."""
    with Database(engine).reading() as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _migrate(connection: Connection, place: str) -> None:
    # Imported where it is needed: it takes 0.1 s, which every command would pay.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    if connection.dialect.name == "postgresql":
        # Held to the end of the transaction. SQLite's transaction is the lock.
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    found = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise LockstepError(
            "a newer Lockstep wrote the ledger's schema",
            where=place,
            expected=f"revision {REVISION} or older",
            found=f"revision {found}",
            remedy="install the version of Lockstep that wrote it, or a newer one, on every machine",
        )
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _close_in_time(engine: Engine) -> None:
    """Close idle connections when the process ends, and let a child process have connections of its own.

    The last to close a file of SQLite's brings into it what its log holds, and removes the log. At the end of a process
    that would be left to Python's collector, which may not look any more.

    A socket that two processes share mixes their answers up, and SQLite takes a parent's locks for the child's own.
    So idle connections are closed before the fork; the child forgets what the parent's threads hold, and opens others.
    """
    reference = weakref.ref(engine)

    def close_idle() -> None:
        if (mine := reference()) is not None:
            mine.dispose()

    def forget() -> None:
        if (mine := reference()) is not None:
            mine.dispose(close=False)

    atexit.register(close_idle)
    os.register_at_fork(before=close_idle, after_in_child=forget)
