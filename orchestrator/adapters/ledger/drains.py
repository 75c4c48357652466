"""The ledger's drains: which frontends are out of rotation."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, insert, select, update

from orchestrator.adapters.ledger.actions import DRAIN, drain_action
from orchestrator.adapters.ledger.database import LedgerPart
from orchestrator.adapters.ledger.queries import MAX_NUMBER, newest
from orchestrator.adapters.ledger.rows import drain_of
from orchestrator.adapters.ledger.tables import drains
from orchestrator.adapters.ledger.trail import append
from orchestrator.domain.rotation import Drain, last_in_rotation


class SqlDrains(LedgerPart):
    """The rotation of `orchestrator.ports.Deployments`."""

    def drains(self, fleet: str | None = None) -> list[Drain]:
        """The drains that are not lifted, oldest first."""
        query = select(drains).where(drains.c.lifted_at.is_(None)).order_by(drains.c.id)
        return self._drains(query if fleet is None else query.where(drains.c.fleet == fleet))

    def drain(self, number: int) -> Drain | None:
        """One drain, lifted or not, or None."""
        found = self._drains(select(drains).where(drains.c.id == number)) if 0 < number <= MAX_NUMBER else []
        return found[0] if found else None

    def add_drain(
        self,
        fleet: str,
        frontend: str,
        snapshot: Mapping[str, Any],
        actor: str,
        reason: str,
        *,
        remaining: Collection[str] | None = None,
        anew: bool = False,
    ) -> Drain:
        """The drain that stands, or a new one; with `anew` always a new one. `ConflictError` where none remains."""
        standing = (drains.c.fleet == fleet, drains.c.frontend == frontend, drains.c.lifted_at.is_(None))
        now = self._clock()
        with self._database.writing() as connection:
            _wait_for_drains_of(connection, fleet)
            row = connection.execute(select(drains).where(*standing)).mappings().one_or_none()
            if row is not None and not anew:
                return drain_of(row)
            if remaining is not None:
                _refuse_last(connection, fleet, frontend, remaining)
            more = {} if row is None else {"instead": row["id"]}
            if row is not None:
                connection.execute(update(drains).where(*standing).values(lifted_at=now))
            name = newest(connection, fleet)
            columns = {
                "fleet": fleet,
                "frontend": frontend,
                "epoch": name.epoch,
                "nonce": name.nonce,
                "actor": actor,
                "reason": reason[:1000],
                "snapshot": dict(snapshot),
                "created_at": now,
                "confirmed_by": "",
                "problem": {},
            }
            made = connection.execute(insert(drains).values(columns).returning(drains)).mappings().one()
            append(connection, drain_action("rotation.draining", made, actor, reason=made["reason"], **more), now)
            return drain_of(made)

    def confirm_drain(self, number: int, by: str) -> None:
        """Out of rotation; the first confirmation's time stays. The same again is no change."""
        now, by = self._clock(), by[:1000]
        with self._database.writing() as connection:
            row = _standing(connection, number)
            if row is None or (row["confirmed_at"] is not None and row["confirmed_by"] == by and not row["problem"]):
                return
            values: dict[str, Any] = {"confirmed_by": by, "confirmed_at": row["confirmed_at"] or now, "problem": {}}
            connection.execute(update(drains).where(drains.c.id == number).values(values))
            append(connection, drain_action("rotation.drained", row, by=by), now)

    def doubt_drain(self, number: int, problem: Mapping[str, str]) -> None:
        """Why nobody could confirm it. The trail tells a doubt, not that it is gone."""
        now = self._clock()
        with self._database.writing() as connection:
            row = _standing(connection, number)
            if row is None or row["problem"] == dict(problem):
                return
            connection.execute(update(drains).where(drains.c.id == number).values(problem=dict(problem)))
            if problem:
                append(connection, drain_action("rotation.doubted", row, problem=dict(problem)), now)

    def _drains(self, query: Select[Any]) -> list[Drain]:
        with self._database.reading() as connection:
            return [drain_of(row) for row in connection.execute(query).mappings()]


def lift_drains(connection: Connection, numbers: Collection[int], now: datetime) -> list[RowMapping]:
    """End those of the drains that stand. Returns the rows that it changed, oldest first."""
    if not numbers:
        return []
    lift = update(drains).where(drains.c.id.in_(numbers), drains.c.lifted_at.is_(None)).values(lifted_at=now)
    return sorted(connection.execute(lift.returning(*DRAIN)).mappings(), key=lambda row: int(row["id"]))


def _standing(connection: Connection, number: int) -> RowMapping | None:
    """The drain's row, held to the end of the transaction; None where it is lifted, or there is none."""
    mine = select(drains).where(drains.c.id == number, drains.c.lifted_at.is_(None))
    return connection.execute(mine.with_for_update()).mappings().one_or_none()


def _wait_for_drains_of(connection: Connection, fleet: str) -> None:
    """One at a time: two who drain different frontends would both see that somebody is left.

    SQLite lets one writer begin at a time; PostgreSQL needs a lock, which ends with the transaction.
    """
    if connection.dialect.name == "postgresql":
        key = func.hashtextextended(f"lockstep/drains/{fleet}", 0)
        connection.execute(select(func.pg_advisory_xact_lock(key)))


def _refuse_last(connection: Connection, fleet: str, frontend: str, remaining: Collection[str]) -> None:
    out = select(drains.c.frontend).where(drains.c.fleet == fleet, drains.c.lifted_at.is_(None))
    if set(remaining) <= {frontend, *connection.scalars(out)}:
        raise last_in_rotation(fleet, frontend)
