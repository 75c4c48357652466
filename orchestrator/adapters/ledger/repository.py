"""The ledger over SQLAlchemy: every write that decides anything is one compare-and-set."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Select,
    case,
    func,
    insert,
    or_,
    select,
    update,
)

from orchestrator.adapters.ledger.actions import DEPLOYMENT, came_to, deployment_action, drain_action, planned
from orchestrator.adapters.ledger.drains import SqlDrains, lift_drains
from orchestrator.adapters.ledger.failures import DuplicateError
from orchestrator.adapters.ledger.holders import held_by_deployment
from orchestrator.adapters.ledger.known import KnownRows
from orchestrator.adapters.ledger.queries import (
    MAX_NUMBER,
    committed,
    deployment_row,
    newest,
    nowhere,
    of_environments,
    standing,
)
from orchestrator.adapters.ledger.releases import SqlReleases
from orchestrator.adapters.ledger.reports import SqlReports
from orchestrator.adapters.ledger.rows import deployment_of, placements_of, plan_columns, trouble_column
from orchestrator.adapters.ledger.tables import deployments, trail
from orchestrator.adapters.ledger.trail import append
from orchestrator.domain.activation import ActivationName
from orchestrator.domain.deployment import (
    MOVES,
    Decision,
    Deployment,
    Kind,
    Plan,
    State,
    Trouble,
    decided_state,
    may_decide,
    overtaken,
)
from orchestrator.domain.errors import ConflictError
from orchestrator.domain.trail import ITSELF, Action
from orchestrator.ports import Clock


def new_nonce() -> str:
    """64 random bits as 16 hex digits: the part of an activation's name that nobody can guess."""
    return secrets.token_hex(8)


class SqlLedger(SqlReleases, SqlReports, SqlDrains):
    """`orchestrator.ports.Ledger` on an engine of `engine.open_engine`. Safe to share between threads.

    `Database.writing` names the errors of every write. An `UnansweredError` says that nobody knows whether it was
    written: the caller reads what stands, or writes again, which a compare-and-set bears.
    """

    def __init__(self, engine: Engine, clock: Clock, nonce: Callable[[], str] = new_nonce) -> None:
        super().__init__(engine, clock)
        self._nonce = nonce
        self._known = KnownRows()

    def plan(self, plan: Plan) -> Deployment:
        """One transaction: nothing open, the next epoch, the row. The database's unique indexes guard both.

        Raises `ConflictError` while another deployment of the fleet is open, and where the releases of apps that
        `plan.changes` does not name are not those that were committed last. What moves no fleet has the
        name of what the fleet serves.
        """
        try:
            with self._database.writing() as connection:
                name, now = self._new_name(connection, plan), self._clock()
                columns = plan_columns(plan, name, now)
                number = connection.scalar(insert(deployments).values(columns).returning(deployments.c.id))
                # With this row in place no other deployment of the fleet is open, and none can be before the end of
                # the transaction: what was committed last stays so.
                _refuse_outdated(connection, plan)
                _refuse_overtaken(connection, plan, number)
                made = deployment_of(connection.execute(deployment_row(number)).mappings().one())
                append(connection, planned(made), now)
                return made
        except DuplicateError as error:
            raise held_by_deployment(plan.fleet, self.open_deployment(plan.fleet)) from error

    def _new_name(self, connection: Connection, plan: Plan) -> ActivationName:
        if plan.kind.moves:
            return ActivationName(newest(connection, plan.fleet).epoch + 1, self._nonce())
        last = committed(select(deployments.c.epoch, deployments.c.nonce), plan.fleet).limit(1)
        row = connection.execute(last).one_or_none()
        if row is None:
            raise ConflictError(f"{plan.fleet} serves nothing yet", remedy="deploy to it first")
        return ActivationName(*row)

    def deployment(self, number: int) -> Deployment | None:
        """One deployment, or None."""
        found = self._looked_at(deployment_row(number)) if 0 < number <= MAX_NUMBER else []
        return found[0] if found else None

    def decision(self, number: int) -> Decision | None:
        """What was decided, if anything was: one column, not the row with its fleet."""
        if not 0 < number <= MAX_NUMBER:
            raise nowhere(number)
        with self._database.reading() as connection:
            found = standing(connection, number, deployments.c.decision)
        return None if found is None else Decision(found)

    def open_deployment(self, fleet: str) -> Deployment | None:
        """The fleet's open deployment, or None."""
        query = select(deployments).where(deployments.c.fleet == fleet, deployments.c.ended_at.is_(None))
        found = self._looked_at(query)
        return found[0] if found else None

    def committed(self, fleet: str, *, before: int | None = None, limit: int | None = None) -> list[Deployment]:
        """The fleet's committed deployments, newest epoch first: below epoch `before`, at most `limit`."""
        query = committed(select(deployments), fleet).limit(limit)
        return self._deployments(query if before is None else query.where(deployments.c.epoch < before))

    def readmissions(self, fleet: str, epoch: int) -> list[Deployment]:
        """The readmissions to what the fleet serves at `epoch`, newest first."""
        mine = (deployments.c.fleet == fleet, deployments.c.epoch == epoch, deployments.c.kind == Kind.READMIT.value)
        return self._deployments(select(deployments).where(*mine).order_by(deployments.c.id.desc()))

    def history(
        self,
        fleet: str | None,
        limit: int,
        *,
        before: int | None = None,
        environments: Collection[str] | None = None,
    ) -> list[Deployment]:
        """Deployments of a fleet, or of all, newest first: below number `before`, of these environments alone."""
        query = select(deployments).order_by(deployments.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(deployments.c.id < before)
        if environments is not None:
            query = query.where(of_environments(deployments.c.fleet, environments))
        return self._deployments(query if fleet is None else query.where(deployments.c.fleet == fleet))

    def unfinished(self) -> list[Deployment]:
        """Every open deployment."""
        return self._looked_at(select(deployments).where(deployments.c.ended_at.is_(None)).order_by(deployments.c.id))

    def move(self, number: int, before: State, after: State) -> tuple[State, bool]:
        """Compare-and-set on the state; ending it also frees the fleet. `ValueError` for a move that is not one."""
        if after not in MOVES[before]:
            raise ValueError(f"no deployment moves from {before} to {after} without a decision")
        now = self._clock()
        values: dict[str, Any] = {"state": after.value}
        if after.ended:
            values["ended_at"] = now
        if after is State.DONE:
            values["troubles"] = []
        with self._database.writing() as connection:
            row = _changed(connection, number, [deployments.c.state == before.value], values)
            if row is None:
                return State(standing(connection, number, deployments.c.state)), False
            if after is State.DONE:
                for drain in lift_drains(connection, (row["readmits"] or {}).values(), now):
                    append(connection, drain_action("rotation.readmitted", drain, deployment=number), now)
            append(connection, came_to(row), now)
        return after, True

    def prepare(self, number: int) -> tuple[State, bool]:
        """To prepared or arming, as the row's hold says at the moment of the write."""
        after = case((deployments.c.hold, State.PREPARED.value), else_=State.ARMING.value)
        with self._database.writing() as connection:
            row = _changed(connection, number, [deployments.c.state == State.VERIFYING.value], {"state": after})
            if row is None:
                return State(standing(connection, number, deployments.c.state)), False
            append(connection, came_to(row), self._clock())
        return State(row["state"]), True

    def release_hold(self, number: int, *, actor: str = ITSELF) -> bool:
        """Clear the hold of a deployment that nothing is decided about. One without a hold stays as it is."""
        held = or_(deployments.c.hold, deployments.c.due_at.is_not(None), deployments.c.expires_at.is_not(None))
        values = {"hold": False, "due_at": None, "expires_at": None}
        with self._database.writing() as connection:
            row = _changed(connection, number, [deployments.c.decision.is_(None), held], values)
            if row is None:
                return standing(connection, number, deployments.c.decision) is None
            append(connection, deployment_action("deployment.continued", row, actor), self._clock())
        return True

    def decide(
        self, number: int, decision: Decision, troubles: Sequence[Trouble], *, actor: str = ITSELF
    ) -> Decision | None:
        """The one write that commits or aborts (docs/protocol.md, "The steps"). Returns what stands afterwards."""
        states = [state.value for state in State if may_decide(state, decision)]
        guards = [deployments.c.decision.is_(None), deployments.c.state.in_(states)]
        now = self._clock()
        values = {
            "decision": decision.value,
            "state": decided_state(decision).value,
            "decided_at": now,
            "troubles": trouble_column(troubles),
        }
        with self._database.writing() as connection:
            row = _changed(connection, number, guards, values)
            if row is None:
                stands = standing(connection, number, deployments.c.decision)
                return None if stands is None else Decision(stands)
            append(connection, came_to(row, actor, troubles), now)
        return decision

    def note_troubles(self, number: int, troubles: Sequence[Trouble]) -> None:
        """Keep why it is still open. Why it was aborted came with the decision, and stays.

        A deployment that stays stuck for the same reasons is noted again and again: the trail tells it once.
        """
        guards = [deployments.c.ended_at.is_(None), deployments.c.decision.is_distinct_from(Decision.ABORT.value)]
        with self._database.writing() as connection:
            row = _changed(connection, number, guards, {"troubles": trouble_column(troubles)})
            if row is None:
                standing(connection, number, deployments.c.id)
                return
            stuck = deployment_action("deployment.stuck", row, troubles=troubles)
            if troubles and not _told(connection, stuck):
                append(connection, stuck, self._clock())

    def record_skew(self, number: int, seconds: float) -> None:
        """Keep the first skew that was measured: a later attempt does not flip anybody again."""
        with self._database.writing() as connection:
            if _changed(connection, number, [deployments.c.skew.is_(None)], {"skew": seconds}) is None:
                standing(connection, number, deployments.c.id)

    # ── below ──

    def _looked_at(self, query: Select[Any]) -> list[Deployment]:
        """Of queries that are asked again and again."""
        with self._database.reading() as connection:
            return [deployment_of(row) for row in self._known.read(connection, query)]

    def _deployments(self, query: Select[Any]) -> list[Deployment]:
        with self._database.reading() as connection:
            return [deployment_of(row) for row in connection.execute(query).mappings()]


def _changed(
    connection: Connection, number: int, guards: Sequence[ColumnElement[bool]], values: Mapping[str, Any]
) -> RowMapping | None:
    """The row as the compare-and-set left it; None where it changed nothing."""
    change = update(deployments).where(deployments.c.id == number, *guards).values(values)
    return connection.execute(change.returning(*DEPLOYMENT)).mappings().one_or_none()


def _told(connection: Connection, action: Action) -> bool:
    """Whether the deployment's newest entry in the trail says this already."""
    newest_entry = select(trail.c.action, trail.c.detail).where(trail.c.deployment == action.deployment)
    row = connection.execute(newest_entry.order_by(trail.c.id.desc()).limit(1)).one_or_none()
    return row is not None and (row.action, row.detail) == (action.name, action.detail)


def _refuse_outdated(connection: Connection, plan: Plan) -> None:
    last = connection.scalar(committed(select(deployments.c.placements), plan.fleet).limit(1))
    staying = {p.app: p for p in plan.placements if p.app not in plan.changes}
    for stands in placements_of(last or ()):
        found = staying.get(stands.app)
        if found is not None and (found.version, found.digest) != (stands.version, stands.digest):
            raise ConflictError(
                f"{plan.fleet} was moved by somebody else while this deployment was being planned",
                where=stands.app,
                expected=f"{stands.version}, which was committed last",
                found=f"{found.version}, though this deployment does not change {stands.app}",
                remedy="look at what the fleet serves, then deploy again",
            )


def _refuse_overtaken(connection: Connection, plan: Plan, number: int) -> None:
    """Who is in rotation follows from the rows before this one: another row may have changed it."""
    others = select(func.max(deployments.c.id)).where(deployments.c.fleet == plan.fleet, deployments.c.id != number)
    found = connection.scalar(others) or 0
    if plan.after is not None and found != plan.after:
        raise overtaken(plan.fleet, found)
