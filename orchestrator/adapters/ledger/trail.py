"""The ledger's trail: entries are appended in the transaction of the change that they tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, insert, select, text

from orchestrator.adapters.ledger.database import Database
from orchestrator.adapters.ledger.tables import trail
from orchestrator.domain.trail import Action, Entry, following
from orchestrator.ports import Clock

#: The key of PostgreSQL's advisory lock under which the trail grows. Any number would do; migrations have another.
TRAIL_LOCK = 7021958
#: How many entries a page of `SqlTrail.all` has.
PAGE = 500


def append(connection: Connection, action: Action, now: datetime) -> Entry:
    """Add what the transaction does. To be called last in it: others wait from here to its end.

    One at a time, so that numbers have no gap and whoever reads "after" one never misses an earlier one.
    SQLite has one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": TRAIL_LOCK})
    row = connection.execute(select(trail).order_by(trail.c.id.desc()).limit(1)).mappings().one_or_none()
    entry = following(None if row is None else entry_of(row), action, now)
    columns: dict[str, Any] = {
        "id": entry.number,
        "at": entry.at,
        "action": action.name,
        "actor": action.actor,
        "fleet": action.fleet,
        "deployment": action.deployment,
        "detail": dict(action.detail),
        "previous": entry.previous,
        "digest": entry.digest,
    }
    connection.execute(insert(trail).values(columns))
    return entry


def entry_of(row: RowMapping) -> Entry:
    """An entry from its row."""
    action = Action(row["action"], row["actor"], row["fleet"], row["deployment"], row["detail"])
    return Entry(row["id"], row["at"], action, row["previous"], row["digest"])


class SqlTrail:
    """`orchestrator.ports.Trail` on an engine of `engine.open_engine`. Safe to share between threads."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._database = Database(engine)
        self._clock = clock

    def add(self, action: Action) -> Entry:
        """Add what changed nothing else in the ledger."""
        with self._database.writing() as connection:
            return append(connection, action, self._clock())

    def entries(self, after: int = 0, limit: int = PAGE) -> Sequence[Entry]:
        """Entries in their order, from the one behind number `after` on, at most `limit`."""
        query = select(trail).where(trail.c.id > after).order_by(trail.c.id).limit(limit)
        with self._database.reading() as connection:
            return [entry_of(row) for row in connection.execute(query).mappings()]

    def last(self) -> Entry | None:
        """The newest entry."""
        with self._database.reading() as connection:
            query = select(trail).order_by(trail.c.id.desc()).limit(1)
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else entry_of(row)

    def all(self) -> Iterator[Entry]:
        """Every entry, read page by page."""
        after = 0
        while page := self.entries(after):
            yield from page
            after = page[-1].number
