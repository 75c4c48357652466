"""The ledger's plans of LifeTime's API. Each write is a compare-and-set, and leaves an entry in the trail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, insert, null, select, update

from orchestrator.adapters.ledger.database import LedgerPart
from orchestrator.adapters.ledger.tables import lifetime_plans as plans
from orchestrator.adapters.ledger.trail import append
from orchestrator.domain.lifetime.plan import DeploymentPlan, Operation
from orchestrator.domain.trail import ITSELF, Action

_SAVED = plans.c.started_at.is_(None)
#: Started, and nobody has said yet what came of it.
_STARTING = (plans.c.started_at.is_not(None), plans.c.deployment.is_(None), plans.c.problem.is_(null()))


class SqlLifetimePlans(LedgerPart):
    """`orchestrator.ports.LifetimePlans` on an engine of `engine.open_engine`. Safe to share between threads."""

    def add_plan(self, plan: DeploymentPlan) -> None:
        """Record a new plan."""
        columns = {
            "key": plan.key,
            "created_at": plan.created_at,
            "created_by": plan.created_by,
            "started_by": "",
            "aborted_by": "",
            **_content(plan),
        }
        with self._database.writing() as connection:
            connection.execute(insert(plans).values(columns))
            self._tell(connection, "plan.saved", plan, plan.created_by)

    def plan(self, key: str) -> DeploymentPlan | None:
        """One plan, or None."""
        with self._database.reading() as connection:
            row = connection.execute(select(plans).where(plans.c.key == key)).mappings().one_or_none()
        return None if row is None else _plan(row)

    def plans(self, since: datetime, until: datetime | None, targets: Sequence[str]) -> list[DeploymentPlan]:
        """The plans for these environments that were created in that time, newest first."""
        wanted = [plans.c.created_at >= since, plans.c.target.in_(targets)]
        if until is not None:
            wanted.append(plans.c.created_at < until)
        query = select(plans).where(*wanted).order_by(plans.c.id.desc())
        with self._database.reading() as connection:
            return [_plan(row) for row in connection.execute(query).mappings()]

    def change_plan(self, plan: DeploymentPlan) -> bool:
        """Put another content in its place; False where it is not saved any more."""
        return self._set(plan, [_SAVED], _content(plan), "plan.changed", plan.saved_by)

    def delete_plan(self, plan: DeploymentPlan, actor: str) -> bool:
        """Remove it; False where it is not saved any more."""
        with self._database.writing() as connection:
            gone = connection.execute(delete(plans).where(plans.c.key == plan.key, _SAVED)).rowcount == 1
            if gone:
                self._tell(connection, "plan.deleted", plan, actor)
        return gone

    def start_plan(self, plan: DeploymentPlan, actor: str) -> DeploymentPlan | None:
        """Say that it is started now; None where it is not saved any more, or was changed. Of several one does."""
        begun = replace(plan, started_at=self._clock(), started_by=actor)
        values = {"started_at": begun.started_at, "started_by": actor}
        same = [_SAVED, plans.c.saved_at == plan.saved_at, plans.c.target == plan.target]
        return begun if self._set(plan, same, values, "plan.started", actor) else None

    def unstart_plan(self, plan: DeploymentPlan, problem: Mapping[str, str]) -> bool:
        """It could not be started and is saved as before; False where something came of it after all."""
        values = {"started_at": None, "started_by": ""}
        return self._set(plan, _STARTING, values, "plan.refused", plan.started_by, {"problem": dict(problem)})

    def bind_plan(self, plan: DeploymentPlan, deployment: int) -> bool:
        """Say which deployment it became; False where that is known already, or the deployment is another plan's."""
        others = select(plans.c.id).where(plans.c.deployment == deployment).exists()
        guards = [*_STARTING, ~others]
        return self._set(plan, guards, {"deployment": deployment}, "plan.bound", plan.started_by, number=deployment)

    def fail_plan(self, plan: DeploymentPlan, problem: Mapping[str, str]) -> bool:
        """Say that it was started and got no deployment; False where it did, or that was said already."""
        found = dict(problem)
        return self._set(plan, _STARTING, {"problem": found}, "plan.failed", ITSELF, {"problem": found})

    def note_abort(self, plan: DeploymentPlan, actor: str) -> bool:
        """Keep who aborted it first."""
        values = {"aborted_at": self._clock(), "aborted_by": actor}
        first = plans.c.aborted_at.is_(None)
        return self._set(plan, [first], values, "plan.aborted", actor, number=plan.deployment)

    def _set(
        self,
        plan: DeploymentPlan,
        guards: Sequence[ColumnElement[bool]],
        values: Mapping[str, Any],
        action: str,
        actor: str,
        detail: Mapping[str, Any] | None = None,
        number: int | None = None,
    ) -> bool:
        with self._database.writing() as connection:
            changed = connection.execute(update(plans).where(plans.c.key == plan.key, *guards).values(**values))
            done = changed.rowcount == 1
            if done:
                self._tell(connection, action, plan, actor, detail, number)
        return done

    def _tell(
        self,
        connection: Connection,
        action: str,
        plan: DeploymentPlan,
        actor: str,
        detail: Mapping[str, Any] | None = None,
        number: int | None = None,
    ) -> None:
        said = {"plan": plan.key, "changes": plan.changes, **(detail or {})}
        append(connection, Action(action, actor, plan.fleet, number, said), self._clock())


def _content(plan: DeploymentPlan) -> dict[str, Any]:
    """What a change of a plan replaces."""
    operations = [{"app": each.app, "version": each.version} for each in plan.operations]
    return {
        "source": plan.source,
        "target": plan.target,
        "notes": plan.notes,
        "operations": {"fleet": plan.fleet, "apps": operations},
        "saved_at": plan.saved_at,
        "saved_by": plan.saved_by,
    }


def _plan(row: RowMapping) -> DeploymentPlan:
    operations = row["operations"]
    return DeploymentPlan(
        key=row["key"],
        source=row["source"],
        target=row["target"],
        fleet=operations["fleet"],
        notes=row["notes"],
        operations=tuple(Operation(each["app"], each["version"]) for each in operations["apps"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        saved_at=row["saved_at"],
        saved_by=row["saved_by"],
        started_at=row["started_at"],
        started_by=row["started_by"],
        aborted_at=row["aborted_at"],
        aborted_by=row["aborted_by"],
        deployment=row["deployment"],
        problem=row["problem"] or {},
    )
