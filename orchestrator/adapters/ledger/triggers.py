"""The ledger's triggers: what hooks have set off, each delivery once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, delete, insert, null, select, update

from orchestrator.adapters.ledger.database import LedgerPart
from orchestrator.adapters.ledger.failures import DuplicateError
from orchestrator.adapters.ledger.tables import triggers
from orchestrator.adapters.ledger.trail import append
from orchestrator.domain.trail import Action
from orchestrator.domain.trigger import Claim, Trigger


class SqlTriggers(LedgerPart):
    """`orchestrator.ports.Triggers` on an engine of `engine.open_engine`. Safe to share between threads."""

    def claim(self, claim: Claim) -> Trigger | None:
        """The row, and the trail's entry, in one transaction; None where it is claimed already."""
        now = self._clock()
        columns: dict[str, Any] = {
            "hook": claim.hook,
            "name": claim.name,
            "request": dict(claim.request),
            "created_at": now,
        }
        if claim.result is not None:
            columns |= {"result": dict(claim.result), "ended_at": now}
        try:
            with self._database.writing() as connection:
                row = connection.execute(insert(triggers).values(columns).returning(triggers)).mappings().one()
                action = Action("trigger.fired", claim.hook, claim.fleet, detail={"name": claim.name, **claim.detail})
                append(connection, action, now)
        except DuplicateError:
            return None
        return _trigger(row)

    def release(self, number: int, fleet: str, problem: Mapping[str, str]) -> None:
        """As if it had not been claimed; the trail says why."""
        with self._database.writing() as connection:
            unanswered = (triggers.c.id == number, triggers.c.ended_at.is_(None))
            row = connection.execute(delete(triggers).where(*unanswered).returning(triggers)).mappings().one_or_none()
            if row is not None:
                detail = {"name": row["name"], "problem": dict(problem)}
                append(connection, Action("trigger.refused", row["hook"], fleet, detail=detail), self._clock())

    def begin(self, number: int) -> bool:
        """Whether this call began it: what is begun twice would deploy twice."""
        begun = {"begun": self._clock().isoformat()}
        fresh = (triggers.c.id == number, triggers.c.result.is_(null()), triggers.c.ended_at.is_(None))
        with self._database.writing() as connection:
            return connection.execute(update(triggers).where(*fresh).values(result=begun)).rowcount == 1

    def deployed(self, number: int, deployment: int) -> bool:
        """Which deployment it set off; False where another one has set that off."""
        others = select(triggers.c.id).where(triggers.c.deployment == deployment, triggers.c.id != number).exists()
        mine = update(triggers).where(triggers.c.id == number, ~others)
        with self._database.writing() as connection:
            return connection.execute(mine.values(deployment=deployment)).rowcount == 1

    def end(self, number: int, result: Mapping[str, Any], deployment: int | None = None) -> None:
        """Nothing more is to be done. What has ended stays as it is."""
        values: dict[str, Any] = {"result": dict(result), "ended_at": self._clock()}
        if deployment is not None:
            values["deployment"] = deployment
        unended = (triggers.c.id == number, triggers.c.ended_at.is_(None))
        with self._database.writing() as connection:
            connection.execute(update(triggers).where(*unended).values(values))

    def trigger(self, hook: str, name: str) -> Trigger | None:
        """One of them, or None."""
        query = select(triggers).where(triggers.c.hook == hook, triggers.c.name == name)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else _trigger(row)

    def unended(self, hook: str) -> list[Trigger]:
        """Those of a hook for which something is still to be done, oldest first."""
        query = select(triggers).where(triggers.c.hook == hook, triggers.c.ended_at.is_(None)).order_by(triggers.c.id)
        with self._database.reading() as connection:
            return [_trigger(row) for row in connection.execute(query).mappings()]


def _trigger(row: RowMapping) -> Trigger:
    return Trigger(
        row["id"],
        row["hook"],
        row["name"],
        row["request"],
        row["created_at"],
        row["deployment"],
        row["result"],
        row["ended_at"],
    )
