"""The ledger's trail: entries are appended in the transaction of the change that they tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, insert, select, text

from orchestrator.adapters.ledger.database import LedgerPart
from orchestrator.adapters.ledger.tables import trail
from orchestrator.domain.trail import Action, Entry, UnreadableError, following

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
    # No more of the last one than the next one needs: one that somebody damaged must not stop the ledger.
    last = select(trail.c.id, trail.c.digest).order_by(trail.c.id.desc()).limit(1)
    row = connection.execute(last).one_or_none()
    entry = following(action, now) if row is None else following(action, now, row.id, row.digest)
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
    """An entry from its row. `ValueError` where it can't be one."""
    if not isinstance(row["detail"], dict):
        raise ValueError("the detail is no JSON object")  # noqa: TRY004 (a value of the database, as a wrong time is)
    action = Action(row["action"], row["actor"], row["fleet"], row["deployment"], row["detail"])
    return Entry(row["id"], row["at"], action, row["previous"], row["digest"])


def unreadable() -> UnreadableError:
    """One of several entries is none, and nobody has looked which."""
    return UnreadableError("an entry was changed: it can't be read", remedy="lockstep trail verify")


class SqlTrail(LedgerPart):
    """`orchestrator.ports.Trail` on an engine of `engine.open_engine`. Safe to share between threads."""

    def add(self, action: Action) -> Entry:
        """Add what changed nothing else in the ledger."""
        with self._database.writing() as connection:
            return append(connection, action, self._clock())

    def entries(self, after: int = 0, limit: int = PAGE, *, fleet: str | None = None) -> Sequence[Entry]:
        """Entries in their order, from the one behind number `after` on, at most `limit`, of one fleet or all.

        `UnreadableError` where the first of them is none: those before an unreadable one are answered.
        """
        query = _of(fleet).where(trail.c.id > after).order_by(trail.c.id)
        try:
            return self._entries(query.limit(limit))
        except ValueError:
            # SQLite takes any text for a time or for JSON.
            return self._readable(query, limit)

    def newest(self, limit: int, *, fleet: str | None = None) -> Sequence[Entry]:
        """The newest entries, in their order."""
        query = _of(fleet).order_by(trail.c.id.desc()).limit(limit)
        try:
            return self._entries(query)[::-1]
        except ValueError as error:
            raise unreadable() from error

    def last(self) -> Entry | None:
        """The newest entry."""
        return next(iter(self.newest(1)), None)

    def all(self) -> Iterator[Entry]:
        """Every entry, read page by page."""
        after = 0
        while page := self.entries(after):
            yield from page
            after = page[-1].number

    def _entries(self, query: Select[Any]) -> list[Entry]:
        with self._database.reading() as connection:
            return [entry_of(row) for row in connection.execute(query).mappings()]

    def _readable(self, query: Select[Any], limit: int) -> list[Entry]:
        """Those before the first that can't be read."""
        found: list[Entry] = []
        for offset in range(limit):
            one = query.limit(1).offset(offset)
            try:
                found += self._entries(one)
            except ValueError as error:
                if found:
                    break
                with self._database.reading() as connection:
                    number = connection.scalar(one.with_only_columns(trail.c.id))
                raise UnreadableError(f"entry {number} was changed: it can't be read") from error
        return found


def _of(fleet: str | None) -> Select[Any]:
    query = select(trail)
    return query if fleet is None else query.where(trail.c.fleet == fleet)
