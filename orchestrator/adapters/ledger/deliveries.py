"""The ledger's outbox: how far each receiver has been told of the trail, and what it is still to be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, insert, select, update

from orchestrator.adapters.ledger.database import LedgerPart
from orchestrator.adapters.ledger.failures import DuplicateError
from orchestrator.adapters.ledger.tables import deliveries, receivers, trail
from orchestrator.adapters.ledger.trail import append, entry_of, unreadable
from orchestrator.domain.delivery import Delivery
from orchestrator.domain.trail import Action
from orchestrator.ports import Position

_END = select(func.coalesce(func.max(trail.c.id), 0)).scalar_subquery()
_WAITS = deliveries.c.due_at.is_not(None)
_FIRST_DUE = (
    select(deliveries.c.due_at)
    .where(deliveries.c.receiver == receivers.c.name, _WAITS)
    .order_by(deliveries.c.entry)
    .limit(1)
    .scalar_subquery()
)


class SqlDeliveries(LedgerPart):
    """`orchestrator.ports.Deliveries` on an engine of `engine.open_engine`. Safe to share between threads."""

    def positions(self) -> Mapping[str, Position]:
        """Every receiver that was ever begun, by its name."""
        query = select(receivers, _END.label("last"), _FIRST_DUE.label("due_at"))
        with self._database.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return {row["name"]: Position(row["name"], row["position"], row["last"], row["due_at"]) for row in rows}

    def begin(self, receiver: str) -> None:
        """Tell a receiver what happens from now on."""
        try:
            with self._database.writing() as connection:
                connection.execute(insert(receivers).values(name=receiver, position=_END))
        except DuplicateError:
            # Another worker was first. It stays where that one put it.
            return

    def make_out(self, receiver: str, position: int, until: int, entries: Sequence[int], patience: timedelta) -> bool:
        """Deliveries and position in one transaction; by compare-and-set of the position."""
        now = self._clock()
        there = update(receivers).where(receivers.c.name == receiver, receivers.c.position == position)
        with self._database.writing() as connection:
            if connection.execute(there.values(position=until)).rowcount != 1:
                return False
            if entries:
                connection.execute(insert(deliveries), [_new(receiver, entry, now, patience) for entry in entries])
        return True

    def first(self, receiver: str) -> Delivery | None:
        """The first of those that wait, due or not."""
        query = _told().where(deliveries.c.receiver == receiver, _WAITS).order_by(deliveries.c.entry).limit(1)
        return next(iter(self._read(query)), None)

    def claim(self, delivery: Delivery, until: datetime) -> Delivery | None:
        """By compare-and-set of the time at which it is due, which is `until` from then on."""
        values = {"due_at": until, "attempts": deliveries.c.attempts + 1}
        with self._database.writing() as connection:
            if not _changed(connection, delivery, values):
                return None
            row = connection.execute(_told().where(deliveries.c.id == delivery.number)).mappings().one()
            return _delivery(row)

    def settle(self, claimed: Delivery, after: Delivery) -> bool:
        """By compare-and-set of the claim."""
        values = {
            "due_at": after.due_at,
            "delivered_at": after.delivered_at,
            "status": after.status,
            "problem": dict(after.problem),
        }
        with self._database.writing() as connection:
            return _changed(connection, claimed, values)

    def delivery(self, number: int) -> Delivery | None:
        """One delivery, or None."""
        return next(iter(self._read(_told().where(deliveries.c.id == number))), None)

    def deliveries(
        self, receiver: str | None = None, *, failed: bool = False, before: int | None = None, limit: int = 50
    ) -> list[Delivery]:
        """Deliveries, newest first: below number `before`."""
        query = _told().order_by(deliveries.c.id.desc()).limit(limit)
        if receiver is not None:
            query = query.where(deliveries.c.receiver == receiver)
        if before is not None:
            query = query.where(deliveries.c.id < before)
        if failed:
            query = query.where(deliveries.c.due_at.is_(None), deliveries.c.delivered_at.is_(None))
        return self._read(query)

    def repeat(self, chosen: Mapping[int, timedelta], actor: str) -> None:
        """Make them due now; what came of them before is kept until the next attempt."""
        now = self._clock()
        with self._database.writing() as connection:
            for number, patience in chosen.items():
                mine = update(deliveries).where(deliveries.c.id == number)
                values = {"due_at": now, "delivered_at": None, "attempts": 0, "gives_up_at": now + patience}
                connection.execute(mine.values(values))
            append(connection, Action("delivery.repeated", actor, detail={"deliveries": sorted(chosen)}), now)

    def _read(self, query: Select[Any]) -> list[Delivery]:
        try:
            with self._database.reading() as connection:
                return [_delivery(row) for row in connection.execute(query).mappings()]
        except ValueError as error:
            raise unreadable() from error


def _told() -> Select[Any]:
    """Deliveries with their entries, whose columns have names of their own."""
    entry = [column.label(f"trail_{column.name}") for column in trail.c]
    return select(deliveries, *entry).join(trail, trail.c.id == deliveries.c.entry)


def _new(receiver: str, entry: int, now: datetime, patience: timedelta) -> dict[str, Any]:
    return {
        "receiver": receiver,
        "entry": entry,
        "created_at": now,
        "gives_up_at": now + patience,
        "attempts": 0,
        "due_at": now,
        "problem": {},
    }


def _changed(connection: Connection, delivery: Delivery, values: Mapping[str, Any]) -> bool:
    """Whether it was as it was seen, and is changed now."""
    seen = update(deliveries).where(deliveries.c.id == delivery.number, deliveries.c.due_at == delivery.due_at)
    return connection.execute(seen.values(dict(values))).rowcount == 1


def _delivery(row: RowMapping) -> Delivery:
    entry: Any = {column.name: row[f"trail_{column.name}"] for column in trail.c}
    return Delivery(
        row["id"],
        row["receiver"],
        entry_of(entry),
        row["created_at"],
        row["gives_up_at"],
        row["attempts"],
        row["due_at"],
        row["delivered_at"],
        row["status"],
        row["problem"],
    )
