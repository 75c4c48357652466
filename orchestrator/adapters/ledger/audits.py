"""The ledger's audits: one open audit of a fleet, one row for a moment of its schedule."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, func, insert, select, update

from orchestrator.adapters.ledger.actions import audit_action
from orchestrator.adapters.ledger.failures import DuplicateError
from orchestrator.adapters.ledger.findings import SqlFindings, forget_treatments, keep_findings
from orchestrator.adapters.ledger.holders import held_by_audit, held_by_deployment
from orchestrator.adapters.ledger.queries import MAX_NUMBER, newest, of_environments
from orchestrator.adapters.ledger.rows import audit_columns, audit_of, deployment_of
from orchestrator.adapters.ledger.tables import audits, deployments, schedules
from orchestrator.adapters.ledger.trail import append
from orchestrator.domain.audit.audit import Audit, AuditPlan, Outcome
from orchestrator.domain.audit.history import History
from orchestrator.domain.errors import ConflictError, UsageError
from orchestrator.domain.trail import ITSELF, Action

_OPEN = audits.c.ended_at.is_(None)


class SqlAudits(SqlFindings):
    """`orchestrator.ports.Audits` on an engine of `engine.open_engine`. Safe to share between threads."""

    def begin_audit(self, plan: AuditPlan) -> Audit:
        """One transaction: the row, which the unique indexes guard, and no open deployment of the fleet."""
        now = self._clock()
        try:
            with self._database.writing() as connection:
                row = _inserted(connection, audit_columns(plan, now))
                # A deployment that is planned at this moment may not be seen here. It overtakes the audit then, as one
                # does that is planned later.
                _refuse_deployment(connection, plan.fleet)
                forget_treatments(connection, plan.fleet, now)
                append(connection, audit_action("audit.begun", row, plan.actor), now)
                return audit_of(row)
        except DuplicateError as error:
            raise self._refused(plan) from error

    def note_audit(self, plan: AuditPlan, outcome: Outcome, reason: str) -> Audit | None:
        """A row that has ended when it is made. `ValueError` for what was begun, or is of no schedule."""
        if outcome.begun or plan.scheduled_at is None:
            raise ValueError(f"no scheduled audit ends as {outcome} without being begun")
        now = self._clock()
        columns = audit_columns(plan, now) | {
            "outcome": outcome.value,
            "ended_at": now,
            "detail": {"reason": reason},
        }
        try:
            with self._database.writing() as connection:
                row = _inserted(connection, columns)
                append(connection, audit_action("audit.skipped", row, plan.actor), now)
                return audit_of(row)
        except DuplicateError:
            return None

    def audit(self, number: int) -> Audit | None:
        """One audit, or None."""
        found = self._audits(select(audits).where(audits.c.id == number)) if 0 < number <= MAX_NUMBER else []
        return found[0] if found else None

    def audits(
        self,
        fleet: str | None,
        limit: int,
        *,
        before: int | None = None,
        environments: Collection[str] | None = None,
    ) -> list[Audit]:
        """Audits of a fleet, or of all, newest first: below number `before`, of these environments alone."""
        query = select(audits).order_by(audits.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audits.c.id < before)
        if environments is not None:
            query = query.where(of_environments(audits.c.fleet, environments))
        return self._audits(query if fleet is None else query.where(audits.c.fleet == fleet))

    def open_audits(self) -> list[Audit]:
        """Every open audit, oldest first."""
        return self._audits(select(audits).where(_OPEN).order_by(audits.c.id))

    def last_scheduled(self, fleet: str, *, deep: bool) -> datetime | None:
        """The latest moment that has a row, or the starting point where that is later; None without one."""
        mine = (audits.c.fleet == fleet, audits.c.deep == deep)
        last = select(func.max(audits.c.scheduled_at)).where(*mine).scalar_subquery()
        query = select(schedules.c.starts_at, last).where(*_schedule(fleet, deep=deep))
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else max(moment for moment in row if moment is not None)

    def start_schedule(self, fleet: str, *, deep: bool, at: datetime) -> datetime:
        """The first call stays."""
        try:
            with self._database.writing() as connection:
                connection.execute(insert(schedules).values(fleet=fleet, deep=deep, starts_at=at))
                detail = {"deep": deep, "starts_at": at.isoformat()}
                append(connection, Action("audit.scheduled", ITSELF, fleet, detail=detail), self._clock())
                return at
        except DuplicateError:
            with self._database.reading() as connection:
                stands: datetime = connection.execute(
                    select(schedules.c.starts_at).where(*_schedule(fleet, deep=deep))
                ).scalar_one()
            return stands

    def end_audit(
        self, number: int, outcome: Outcome, detail: Mapping[str, Any], history: History | None = None
    ) -> Audit:
        """By compare-and-set of the outcome. Findings, the audit's row and the trail are one transaction."""
        now = self._clock()
        end = update(audits).where(audits.c.id == number, audits.c.outcome.is_(None))
        values = {"outcome": outcome.value, "ended_at": now, "detail": dict(detail)}
        with self._database.writing() as connection:
            row = connection.execute(end.values(values).returning(audits)).mappings().one_or_none()
            if row is None:
                return _standing(connection, number)
            told = [] if history is None else keep_findings(connection, row, history, now)
            for action in (*told, audit_action("audit.ended", row)):
                append(connection, action, now)
            return audit_of(row)

    def note_findings(self, number: int, history: History) -> None:
        """Findings and the trail are one transaction."""
        now = self._clock()
        held = select(audits).where(audits.c.id == number, audits.c.outcome.is_(None)).with_for_update()
        with self._database.writing() as connection:
            row = connection.execute(held).mappings().one_or_none()
            for action in () if row is None else keep_findings(connection, row, history, now):
                append(connection, action, now)

    def highest_epoch(self, fleet: str) -> int:
        """The highest epoch that was ever given to the fleet, 0 where there was none."""
        with self._database.reading() as connection:
            return newest(connection, fleet).epoch

    def _audits(self, query: Select[Any]) -> list[Audit]:
        with self._database.reading() as connection:
            return [audit_of(row) for row in connection.execute(query).mappings()]

    def _refused(self, plan: AuditPlan) -> ConflictError:
        """Why the indexes refuse it."""
        moment = (
            audits.c.fleet == plan.fleet,
            audits.c.deep == plan.deep,
            audits.c.scheduled_at == plan.scheduled_at,
        )
        if plan.scheduled_at is not None and (taken := self._audits(select(audits).where(*moment))):
            return ConflictError(
                f"{plan.fleet} has an audit for {plan.scheduled_at:%Y-%m-%d %H:%M:%S} UTC already",
                found=f"audit {taken[0].id}",
            )
        holders = self._audits(select(audits).where(audits.c.fleet == plan.fleet, _OPEN))
        return held_by_audit(plan.fleet, holders[0] if holders else None)


def _inserted(connection: Connection, columns: Mapping[str, Any]) -> RowMapping:
    return connection.execute(insert(audits).values(columns).returning(audits)).mappings().one()


def _refuse_deployment(connection: Connection, fleet: str) -> None:
    held = select(deployments).where(deployments.c.fleet == fleet, deployments.c.ended_at.is_(None))
    row = connection.execute(held).mappings().one_or_none()
    if row is not None:
        raise held_by_deployment(fleet, deployment_of(row))


def _standing(connection: Connection, number: int) -> Audit:
    row = connection.execute(select(audits).where(audits.c.id == number)).mappings().one_or_none()
    if row is None:
        raise UsageError(f"there is no audit {number}", remedy="see: lockstep audits list")
    return audit_of(row)


def _schedule(fleet: str, *, deep: bool) -> tuple[Any, ...]:
    return schedules.c.fleet == fleet, schedules.c.deep == deep
