"""The ledger over SQLAlchemy: every write that decides anything is one compare-and-set."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, RowMapping, case, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from orchestrator.adapters.ledger.tables import deployments, releases, reports
from orchestrator.domain.activation import ActivationName, Placement
from orchestrator.domain.deployment import (
    Decision,
    Deployment,
    Kind,
    Outcome,
    Plan,
    Report,
    State,
    Step,
    Trouble,
    decided_state,
    may_decide,
)
from orchestrator.domain.errors import ConflictError
from orchestrator.ports import Clock, ReleaseRecord


def new_nonce() -> str:
    """64 random bits as 16 hex digits: the part of an activation's name that nobody can guess."""
    return secrets.token_hex(8)


class SqlLedger:
    """`orchestrator.ports.Ledger` on an engine of `engine.open_engine`. Safe to share between threads."""

    def __init__(self, engine: Engine, clock: Clock, nonce: Callable[[], str] = new_nonce) -> None:
        self._engine = engine
        self._write = engine.execution_options(lockstep_write=True)
        self._clock = clock
        self._nonce = nonce

    # ── releases ──

    def add_release(self, record: ReleaseRecord) -> ReleaseRecord:
        """Store a release; the same content again is no change; other content under its version is refused."""
        with self._write.begin() as connection:
            found = _release(connection, record.app, record.version)
            if found is None:
                connection.execute(insert(releases).values(**_columns(record)))
                return record
        if found.digest != record.digest:
            raise ConflictError(
                f"{record.app} {record.version} exists with other content",
                expected=f"digest {found.digest}",
                found=f"digest {record.digest}",
                remedy="a version is never changed: build this content under a new version",
            )
        return found

    def release(self, app: str, version: str) -> ReleaseRecord | None:
        """One release, or None."""
        with self._engine.connect() as connection:
            return _release(connection, app, version)

    def releases(self, app: str | None = None) -> list[ReleaseRecord]:
        """All releases, or those of one app, newest first."""
        query = select(releases).order_by(releases.c.id.desc())
        if app is not None:
            query = query.where(releases.c.app == app)
        with self._engine.connect() as connection:
            return [_release_record(row) for row in connection.execute(query).mappings()]

    # ── deployments ──

    def plan(self, plan: Plan) -> Deployment:
        """One transaction: nothing open, the next epoch, the row. The database's unique indexes guard both."""
        try:
            with self._write.begin() as connection:
                last = connection.scalar(select(func.max(deployments.c.epoch)).where(deployments.c.fleet == plan.fleet))
                name = ActivationName((last or 0) + 1, self._nonce())
                made = connection.execute(insert(deployments).values(**_plan_columns(plan, name, self._clock())))
                number = made.inserted_primary_key
                assert number is not None
                return _deployment(_row(connection, number[0]))
        except IntegrityError as error:
            holder = self.open_deployment(plan.fleet)
            raise _held(plan.fleet, holder) from error

    def deployment(self, number: int) -> Deployment | None:
        """One deployment, or None."""
        return self._one(select(deployments).where(deployments.c.id == number))

    def open_deployment(self, fleet: str) -> Deployment | None:
        """The fleet's open deployment, or None."""
        return self._one(select(deployments).where(deployments.c.fleet == fleet, deployments.c.ended_at.is_(None)))

    def committed(self, fleet: str) -> list[Deployment]:
        """The fleet's committed deployments, newest epoch first."""
        rows = select(deployments).where(deployments.c.fleet == fleet, deployments.c.decision == Decision.COMMIT.value)
        return self._many(rows.order_by(deployments.c.epoch.desc()))

    def history(self, fleet: str | None, limit: int) -> list[Deployment]:
        """Deployments of a fleet, or of all, newest first."""
        query = select(deployments).order_by(deployments.c.id.desc()).limit(limit)
        return self._many(query if fleet is None else query.where(deployments.c.fleet == fleet))

    def unfinished(self) -> list[Deployment]:
        """Every open deployment."""
        return self._many(select(deployments).where(deployments.c.ended_at.is_(None)).order_by(deployments.c.id))

    def move(self, number: int, before: State, after: State) -> tuple[State, bool]:
        """Compare-and-set on the state; ending it also frees the fleet."""
        values: dict[str, Any] = {"state": after.value}
        if after.ended:
            values["ended_at"] = self._clock()
        if after is State.DONE:
            values["troubles"] = []
        return self._compare_and_set(number, [deployments.c.state == before.value], values)

    def prepare(self, number: int) -> tuple[State, bool]:
        """To prepared or arming, as the row's hold says at the moment of the write."""
        after = case((deployments.c.hold, State.PREPARED.value), else_=State.ARMING.value)
        return self._compare_and_set(number, [deployments.c.state == State.VERIFYING.value], {"state": after})

    def release_hold(self, number: int) -> bool:
        """Clear the hold of a deployment that nothing is decided about."""
        values = {"hold": False, "due_at": None, "expires_at": None}
        return self._compare_and_set(number, [deployments.c.decision.is_(None)], values)[1]

    def decide(self, number: int, decision: Decision, troubles: Sequence[Trouble]) -> Decision | None:
        """The one write that commits or aborts (docs/protocol.md, "Commit"). Returns what stands afterwards."""
        states = [state.value for state in State if may_decide(state, decision)]
        with self._write.begin() as connection:
            connection.execute(
                update(deployments)
                .where(
                    deployments.c.id == number,
                    deployments.c.decision.is_(None),
                    deployments.c.state.in_(states),
                )
                .values(
                    decision=decision.value,
                    state=decided_state(decision).value,
                    decided_at=self._clock(),
                    troubles=[trouble.as_dict() for trouble in troubles],
                )
            )
            stands = connection.scalar(select(deployments.c.decision).where(deployments.c.id == number))
        return None if stands is None else Decision(stands)

    def note_troubles(self, number: int, troubles: Sequence[Trouble]) -> None:
        """Keep why it is still open."""
        noted = [trouble.as_dict() for trouble in troubles]
        self._compare_and_set(number, [deployments.c.ended_at.is_(None)], {"troubles": noted})

    def record_skew(self, number: int, seconds: float) -> None:
        """Keep the first skew that was measured: a later attempt does not flip anybody again."""
        self._compare_and_set(number, [deployments.c.skew.is_(None)], {"skew": seconds})

    # ── reports ──

    def record(self, number: int, answers: Iterable[Report]) -> None:
        """Keep reports, in one transaction."""
        now = self._clock()
        rows = [
            {
                "deployment": number,
                "frontend": r.frontend,
                "step": r.step.value,
                "attempt": r.attempt,
                "outcome": r.outcome.value,
                "detail": dict(r.detail),
                "problem": dict(r.problem),
                "at": now,
            }
            for r in answers
        ]
        if rows:
            with self._write.begin() as connection:
                connection.execute(insert(reports), rows)

    def reports(self, number: int, after: int = 0) -> list[tuple[int, Report]]:
        """Reports with their sequence numbers, oldest first."""
        query = select(reports).where(reports.c.deployment == number, reports.c.id > after).order_by(reports.c.id)
        with self._engine.connect() as connection:
            return [(row["id"], _report(row)) for row in connection.execute(query).mappings()]

    # ── below ──

    def _compare_and_set(self, number: int, guards: Sequence[Any], values: Mapping[str, Any]) -> tuple[State, bool]:
        with self._write.begin() as connection:
            changed = connection.execute(update(deployments).where(deployments.c.id == number, *guards).values(values))
            state = connection.execute(select(deployments.c.state).where(deployments.c.id == number)).scalar_one()
        return State(state), changed.rowcount == 1

    def _one(self, query: Any) -> Deployment | None:
        found = self._many(query)
        return found[0] if found else None

    def _many(self, query: Any) -> list[Deployment]:
        with self._engine.connect() as connection:
            return [_deployment(row) for row in connection.execute(query).mappings()]


def _held(fleet: str, holder: Deployment | None) -> ConflictError:
    if holder is None:
        return ConflictError(f"another deployment of {fleet} was planned at this moment", remedy="try again")
    return ConflictError(
        f"deployment {holder.id} of {fleet} is open",
        expected="no open deployment of the fleet",
        found=f"{holder.state}, by {holder.plan.actor}, since {holder.created_at:%Y-%m-%d %H:%M:%S} UTC",
        remedy=f"watch it: lockstep deployments show {holder.id}; or end it: lockstep abort {holder.id}",
    )


def _release(connection: Connection, app: str, version: str) -> ReleaseRecord | None:
    query = select(releases).where(releases.c.app == app, releases.c.version == version)
    row = connection.execute(query).mappings().first()
    return None if row is None else _release_record(row)


def _release_record(row: RowMapping) -> ReleaseRecord:
    return ReleaseRecord(row["app"], row["version"], row["digest"], row["files"], row["size"], row["created_at"])


def _columns(record: ReleaseRecord) -> dict[str, Any]:
    return {
        "app": record.app,
        "version": record.version,
        "digest": record.digest,
        "files": record.files,
        "size": record.size,
        "created_at": record.created_at,
    }


def _plan_columns(plan: Plan, name: ActivationName, now: datetime) -> dict[str, Any]:
    return {
        "fleet": plan.fleet,
        "epoch": name.epoch,
        "nonce": name.nonce,
        "kind": plan.kind.value,
        "state": State.PLANNED.value,
        "changes": dict(plan.changes),
        "placements": [[p.app, p.mount, p.version, p.digest] for p in plan.placements],
        "frontends": list(plan.frontends),
        "snapshot": dict(plan.snapshot),
        "actor": plan.actor,
        "hold": plan.hold,
        "due_at": plan.due_at,
        "expires_at": plan.expires_at,
        "created_at": now,
        "troubles": [],
    }


def _row(connection: Connection, number: int) -> RowMapping:
    return connection.execute(select(deployments).where(deployments.c.id == number)).mappings().one()


def _deployment(row: RowMapping) -> Deployment:
    plan = Plan(
        fleet=row["fleet"],
        kind=Kind(row["kind"]),
        changes=row["changes"],
        placements=tuple(Placement(*placement) for placement in row["placements"]),
        frontends=tuple(row["frontends"]),
        snapshot=row["snapshot"],
        actor=row["actor"],
        hold=row["hold"],
        due_at=row["due_at"],
        expires_at=row["expires_at"],
    )
    return Deployment(
        id=row["id"],
        plan=plan,
        name=ActivationName(row["epoch"], row["nonce"]),
        state=State(row["state"]),
        decision=None if row["decision"] is None else Decision(row["decision"]),
        created_at=row["created_at"],
        decided_at=row["decided_at"],
        ended_at=row["ended_at"],
        troubles=tuple(Trouble(t["step"], t["frontend"], t["problem"]) for t in row["troubles"]),
        skew=row["skew"],
    )


def _report(row: RowMapping) -> Report:
    return Report(
        row["frontend"],
        Step(row["step"]),
        row["attempt"],
        Outcome(row["outcome"]),
        row["detail"],
        row["problem"],
        row["at"],
    )
