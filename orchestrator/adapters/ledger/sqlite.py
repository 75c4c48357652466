"""The embedded ledger: one SQLite file, for the processes of one machine."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from orchestrator.adapters.ledger.database import WRITES
from orchestrator.adapters.ledger.tables import as_json
from orchestrator.domain.errors import LockstepError

#: How long a writer waits for another one, in seconds. Writes take milliseconds.
BUSY_SECONDS = 30


def open_sqlite(url: URL) -> Engine:
    """An engine for ``sqlite:////absolute/path``. Makes the directory, for its owner alone, where there is none.

    Raises `LockstepError` for a path that depends on the working directory, for a database in memory and for options:
    each of them would give two processes two ledgers, or one that is lost with its process.
    """
    path = Path(url.database or "")
    plain = URL.create("sqlite", database=url.database)
    if not path.is_absolute() or url not in (plain, plain.set(drivername="sqlite+pysqlite")):
        raise LockstepError(
            "not a file that can be the ledger",
            where="LOCKSTEP_LEDGER_URL",
            expected="sqlite:////absolute/path.sqlite, without options",
            found=url.render_as_string(hide_password=True),
        )
    _make_directory(path.parent)
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS}, hide_parameters=True, json_serializer=as_json)
    event.listen(engine, "connect", _connect)
    event.listen(engine, "begin", _begin)
    return engine


def _make_directory(directory: Path) -> None:
    missing = [place for place in (directory, *directory.parents) if not place.exists()]
    try:
        for place in reversed(missing):
            place.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise LockstepError(
            "the ledger's directory can't be made",
            where=str(directory),
            found=error.strerror or str(error),
            remedy="make it, owned by the user that runs Lockstep, or correct LOCKSTEP_LEDGER_URL",
        ) from error


def _connect(connection: Any, record: object) -> None:
    """Durable commits (FULL), readers beside one writer (WAL), and transactions that Python does not meddle with."""
    del record
    connection.isolation_level = None
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _write_ahead(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.OperationalError as error:
            # Where several processes switch a new file at once, SQLite says "busy" without waiting.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            break
    if mode != "wal":
        raise LockstepError(
            "the ledger's file system can't hold it",
            expected="a local file system, on which SQLite can keep a write-ahead log",
            found=f"journal mode {mode}",
            remedy="move the ledger to a local disk, or use PostgreSQL",
        )


def _begin(connection: Connection) -> None:
    # IMMEDIATE: a transaction that reads and then writes must hold the writer's place from the start. Reads are
    # single statements, which SQLite runs in transactions of their own.
    if connection.get_execution_options().get(WRITES):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
