"""The ledger for several machines: a PostgreSQL database, through psycopg."""

from __future__ import annotations

from sqlalchemy import URL, Connection, Engine, create_engine, event

from orchestrator.adapters.ledger.database import WRITES
from orchestrator.adapters.ledger.tables import as_json
from orchestrator.domain.errors import LockstepError

#: How the client notices, within half a minute, that the server is gone (libpq's names, seconds; the last one is in
#: milliseconds), and that it speaks to a primary. What the ledger's URL says takes precedence.
CONNECTION = {
    "application_name": "lockstep",
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
    "target_session_attrs": "read-write",
}

#: How every transaction that writes begins: one message to the server. It depends on nothing that the server, the
#: role, the URL or a connection pooler may have set. A commit is durable before it is answered; a writer does not
#: wait for ever for a row that another one holds; and one whose machine has vanished holds no row for long.
BEGIN = """
BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL synchronous_commit = on;
SET LOCAL lock_timeout = '30s';
SET LOCAL idle_in_transaction_session_timeout = '30s'
"""


def open_postgresql(url: URL) -> Engine:
    """An engine for ``postgresql://user@address/database``. Nothing is connected yet."""
    settings = {name: value for name, value in CONNECTION.items() if name not in url.query}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args=settings,
        hide_parameters=True,
        # Reads are single statements and need no transaction: the ping and the query are all that is sent, and a poll
        # takes 0.40 ms on a Unix socket instead of 0.47. What writes begins with `BEGIN`, in 1.20 ms instead of 1.35
        # with a message for each setting.
        isolation_level="AUTOCOMMIT",
        json_serializer=as_json,
        pool_pre_ping=True,
    )
    event.listen(engine, "begin", _begin)
    return engine


def check_durability(connection: Connection, place: str) -> None:
    """Raise `LockstepError` where the server was told to forget in a crash what it has committed."""
    if connection.exec_driver_sql("SHOW fsync").scalar_one() != "on":
        raise LockstepError(
            "the ledger's server may lose decisions in a crash",
            where=place,
            expected="fsync = on",
            found="fsync = off",
            remedy="set fsync = on in postgresql.conf and reload the server",
        )


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get(WRITES):
        connection.exec_driver_sql(BEGIN)
