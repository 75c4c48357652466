"""The ledger over SQLAlchemy: every write that decides anything is one compare-and-set."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Select,
    case,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from orchestrator.adapters.ledger.database import Database
from orchestrator.adapters.ledger.failures import DuplicateError
from orchestrator.adapters.ledger.rows import (
    deployment_of,
    drain_of,
    placements_of,
    plan_columns,
    release_columns,
    release_record,
    report_columns,
    report_of,
    trouble_column,
)
from orchestrator.adapters.ledger.tables import UtcDateTime, deployments, drains, releases, reports
from orchestrator.domain.activation import NOTHING, ActivationName
from orchestrator.domain.deployment import (
    MOVES,
    Decision,
    Deployment,
    Kind,
    Plan,
    Report,
    State,
    Trouble,
    decided_state,
    may_decide,
    overtaken,
)
from orchestrator.domain.errors import ConflictError, HeldError, UsageError
from orchestrator.domain.rotation import Drain, last_in_rotation
from orchestrator.ports import Clock, ReleaseRecord

#: The largest number that the databases can hold.
MAX_NUMBER = 2**63 - 1


def new_nonce() -> str:
    """64 random bits as 16 hex digits: the part of an activation's name that nobody can guess."""
    return secrets.token_hex(8)


class SqlLedger:
    """`orchestrator.ports.Ledger` on an engine of `engine.open_engine`. Safe to share between threads.

    `Database.writing` names the errors of every write. An `UnansweredError` says that nobody knows whether it was
    written: the caller reads what stands, or writes again, which a compare-and-set bears.
    """

    def __init__(self, engine: Engine, clock: Clock, nonce: Callable[[], str] = new_nonce) -> None:
        self._database = Database(engine)
        self._clock = clock
        self._nonce = nonce

    # ── releases ──

    def add_release(self, record: ReleaseRecord) -> ReleaseRecord:
        """Store a release; the same content again is no change; other content under its version is refused."""
        try:
            with self._database.writing() as connection:
                connection.execute(insert(releases).values(release_columns(record)))
        except DuplicateError:
            found = self.release(record.app, record.version)
            if found is None:
                raise
        else:
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
        found = self._releases(select(releases).where(releases.c.app == app, releases.c.version == version))
        return found[0] if found else None

    def releases(
        self, app: str | None = None, *, before: tuple[str, str] | None = None, limit: int | None = None
    ) -> list[ReleaseRecord]:
        """All releases, or those of one app, newest first: those older than release `before`, at most `limit`."""
        query = select(releases).order_by(releases.c.id.desc()).limit(limit)
        if before is not None:
            last = select(releases.c.id).where(releases.c.app == before[0], releases.c.version == before[1])
            query = query.where(releases.c.id < last.scalar_subquery())
        return self._releases(query if app is None else query.where(releases.c.app == app))

    # ── deployments ──

    def plan(self, plan: Plan) -> Deployment:
        """One transaction: nothing open, the next epoch, the row. The database's unique indexes guard both.

        Raises `ConflictError` while another deployment of the fleet is open, and where the releases of apps that
        `plan.changes` does not name are not those that were committed last. A readmission's name is that of what the
        fleet serves.
        """
        try:
            with self._database.writing() as connection:
                name = self._new_name(connection, plan)
                columns = plan_columns(plan, name, self._clock())
                number = connection.scalar(insert(deployments).values(columns).returning(deployments.c.id))
                # With this row in place no other deployment of the fleet is open, and none can be before the end of
                # the transaction: what was committed last stays so.
                _refuse_outdated(connection, plan)
                _refuse_overtaken(connection, plan, number)
                return deployment_of(connection.execute(_one(number)).mappings().one())
        except DuplicateError as error:
            raise _held(plan.fleet, self.open_deployment(plan.fleet)) from error

    def _new_name(self, connection: Connection, plan: Plan) -> ActivationName:
        if plan.kind is not Kind.READMIT:
            return ActivationName(_newest(connection, plan.fleet).epoch + 1, self._nonce())
        last = _committed(select(deployments.c.epoch, deployments.c.nonce), plan.fleet).limit(1)
        row = connection.execute(last).one_or_none()
        if row is None:
            raise ConflictError(f"{plan.fleet} serves nothing yet", remedy="deploy to it first")
        return ActivationName(*row)

    def deployment(self, number: int) -> Deployment | None:
        """One deployment, or None."""
        found = self._deployments(_one(number)) if 0 < number <= MAX_NUMBER else []
        return found[0] if found else None

    def open_deployment(self, fleet: str) -> Deployment | None:
        """The fleet's open deployment, or None."""
        query = select(deployments).where(deployments.c.fleet == fleet, deployments.c.ended_at.is_(None))
        found = self._deployments(query)
        return found[0] if found else None

    def committed(self, fleet: str, *, before: int | None = None, limit: int | None = None) -> list[Deployment]:
        """The fleet's committed deployments, newest epoch first: below epoch `before`, at most `limit`."""
        query = _committed(select(deployments), fleet).limit(limit)
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
            # Not LIKE, to which "Test" and "test" are the same in SQLite.
            of = [func.substr(deployments.c.fleet, 1, len(each) + 1) == f"{each}/" for each in environments]
            query = query.where(or_(false(), *of))
        return self._deployments(query if fleet is None else query.where(deployments.c.fleet == fleet))

    def unfinished(self) -> list[Deployment]:
        """Every open deployment."""
        return self._deployments(select(deployments).where(deployments.c.ended_at.is_(None)).order_by(deployments.c.id))

    def move(self, number: int, before: State, after: State) -> tuple[State, bool]:
        """Compare-and-set on the state; ending it also frees the fleet. `ValueError` for a move that is not one."""
        if after not in MOVES[before]:
            raise ValueError(f"no deployment moves from {before} to {after} without a decision")
        values: dict[str, Any] = {"state": after.value}
        if after.ended:
            values["ended_at"] = self._clock()
        if after is not State.DONE:
            return self._compare_and_set(number, [deployments.c.state == before.value], values)
        with self._database.writing() as connection:
            guards = [deployments.c.id == number, deployments.c.state == before.value]
            done = update(deployments).where(*guards).values(**values, troubles=[])
            moved = connection.execute(done).rowcount == 1
            ends = _standing(connection, number, deployments.c.readmits)
            if moved and ends:
                lifted = drains.c.id.in_(ends.values()), drains.c.lifted_at.is_(None)
                connection.execute(update(drains).where(*lifted).values(lifted_at=self._clock()))
            return State(_standing(connection, number, deployments.c.state)), moved

    def prepare(self, number: int) -> tuple[State, bool]:
        """To prepared or arming, as the row's hold says at the moment of the write."""
        after = case((deployments.c.hold, State.PREPARED.value), else_=State.ARMING.value)
        return self._compare_and_set(number, [deployments.c.state == State.VERIFYING.value], {"state": after})

    def release_hold(self, number: int) -> bool:
        """Clear the hold of a deployment that nothing is decided about."""
        values = {"hold": False, "due_at": None, "expires_at": None}
        return self._compare_and_set(number, [deployments.c.decision.is_(None)], values)[1]

    def decide(self, number: int, decision: Decision, troubles: Sequence[Trouble]) -> Decision | None:
        """The one write that commits or aborts (docs/protocol.md, "The steps"). Returns what stands afterwards."""
        states = [state.value for state in State if may_decide(state, decision)]
        guards = [deployments.c.decision.is_(None), deployments.c.state.in_(states)]
        values = {
            "decision": decision.value,
            "state": decided_state(decision).value,
            "decided_at": self._clock(),
            "troubles": trouble_column(troubles),
        }
        with self._database.writing() as connection:
            connection.execute(update(deployments).where(deployments.c.id == number, *guards).values(values))
            stands = _standing(connection, number, deployments.c.decision)
        return None if stands is None else Decision(stands)

    def note_troubles(self, number: int, troubles: Sequence[Trouble]) -> None:
        """Keep why it is still open. Why it was aborted came with the decision, and stays."""
        guards = [deployments.c.ended_at.is_(None), deployments.c.decision.is_distinct_from(Decision.ABORT.value)]
        self._compare_and_set(number, guards, {"troubles": trouble_column(troubles)})

    def record_skew(self, number: int, seconds: float) -> None:
        """Keep the first skew that was measured: a later attempt does not flip anybody again."""
        self._compare_and_set(number, [deployments.c.skew.is_(None)], {"skew": seconds})

    # ── reports ──

    def record(self, number: int, answers: Iterable[Report]) -> None:
        """Keep reports, in one transaction."""
        now = self._clock()
        rows = [report_columns(number, report, now) for report in answers]
        if not rows:
            return
        with self._database.writing() as connection:
            # One writer of a deployment's reports at a time. Sequence numbers are drawn before the commit: without
            # this lock a later number could be seen first, and whoever reads "after" it would miss the earlier one.
            # SQLite has one writer anyway.
            lock = select(deployments.c.id).where(deployments.c.id == number).with_for_update(key_share=True)
            if connection.scalar(lock) is None:
                raise _nowhere(number)
            connection.execute(insert(reports), rows)

    def reports(self, number: int, after: int = 0) -> list[tuple[int, Report]]:
        """Reports with their sequence numbers, oldest first."""
        query = select(reports).where(reports.c.deployment == number, reports.c.id > after).order_by(reports.c.id)
        with self._database.reading() as connection:
            return [(row["id"], report_of(row)) for row in connection.execute(query).mappings()]

    # ── rotation ──

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
        with self._database.writing() as connection:
            _wait_for_drains_of(connection, fleet)
            row = connection.execute(select(drains).where(*standing)).mappings().one_or_none()
            if row is not None and not anew:
                return drain_of(row)
            if remaining is not None:
                _refuse_last(connection, fleet, frontend, remaining)
            if row is not None:
                connection.execute(update(drains).where(*standing).values(lifted_at=self._clock()))
            name = _newest(connection, fleet)
            columns = {
                "fleet": fleet,
                "frontend": frontend,
                "epoch": name.epoch,
                "nonce": name.nonce,
                "actor": actor,
                "reason": reason[:1000],
                "snapshot": dict(snapshot),
                "created_at": self._clock(),
                "confirmed_by": "",
                "problem": {},
            }
            return drain_of(connection.execute(insert(drains).values(columns).returning(drains)).mappings().one())

    def confirm_drain(self, number: int, by: str) -> None:
        """Out of rotation; the first confirmation's time stays."""
        now = func.coalesce(drains.c.confirmed_at, literal(self._clock(), UtcDateTime()))
        self._change_drain(number, {"confirmed_by": by[:1000], "confirmed_at": now, "problem": {}})

    def doubt_drain(self, number: int, problem: Mapping[str, str]) -> None:
        """Why nobody could confirm it."""
        self._change_drain(number, {"problem": dict(problem)})

    # ── below ──

    def _drains(self, query: Select[Any]) -> list[Drain]:
        with self._database.reading() as connection:
            return [drain_of(row) for row in connection.execute(query).mappings()]

    def _change_drain(self, number: int, values: Mapping[str, Any]) -> None:
        with self._database.writing() as connection:
            connection.execute(update(drains).where(drains.c.id == number, drains.c.lifted_at.is_(None)).values(values))

    def _compare_and_set(
        self, number: int, guards: Sequence[ColumnElement[bool]], values: Mapping[str, Any]
    ) -> tuple[State, bool]:
        with self._database.writing() as connection:
            changed = connection.execute(update(deployments).where(deployments.c.id == number, *guards).values(values))
            state = State(_standing(connection, number, deployments.c.state))
        return state, changed.rowcount == 1

    def _releases(self, query: Select[Any]) -> list[ReleaseRecord]:
        with self._database.reading() as connection:
            return [release_record(row) for row in connection.execute(query).mappings()]

    def _deployments(self, query: Select[Any]) -> list[Deployment]:
        with self._database.reading() as connection:
            return [deployment_of(row) for row in connection.execute(query).mappings()]


def _one(number: int | None) -> Select[Any]:
    return select(deployments).where(deployments.c.id == number)


def _committed(query: Select[Any], fleet: str) -> Select[Any]:
    mine = query.where(
        deployments.c.fleet == fleet,
        deployments.c.decision == Decision.COMMIT.value,
        deployments.c.kind != Kind.READMIT.value,
    )
    return mine.order_by(deployments.c.epoch.desc())


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


def _newest(connection: Connection, fleet: str) -> ActivationName:
    """The activation of the fleet's newest deployment, whatever became of it."""
    query = select(deployments.c.epoch, deployments.c.nonce).where(deployments.c.fleet == fleet)
    row = connection.execute(query.order_by(deployments.c.epoch.desc()).limit(1)).one_or_none()
    return NOTHING if row is None else ActivationName(*row)


def _standing(connection: Connection, number: int, column: ColumnElement[Any]) -> Any:
    """A column of the row as it stands; `UsageError` where there is no such deployment."""
    row = connection.execute(select(column).where(deployments.c.id == number)).one_or_none()
    if row is None:
        raise _nowhere(number)
    return row[0]


def _refuse_outdated(connection: Connection, plan: Plan) -> None:
    last = connection.scalar(_committed(select(deployments.c.placements), plan.fleet).limit(1))
    planned = {p.app: p for p in plan.placements if p.app not in plan.changes}
    for stands in placements_of(last or ()):
        found = planned.get(stands.app)
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
    newest = select(func.max(deployments.c.id)).where(deployments.c.fleet == plan.fleet, deployments.c.id != number)
    found = connection.scalar(newest) or 0
    if plan.after is not None and found != plan.after:
        raise overtaken(plan.fleet, found)


def _held(fleet: str, holder: Deployment | None) -> ConflictError:
    if holder is None:
        return ConflictError(f"another deployment of {fleet} was planned at this moment", remedy="try again")
    # What is committed can't be ended, only carried out.
    way = f"or end it: lockstep abort {holder.id}"
    if holder.decision is not None:
        way = f"or have it carried on now: lockstep continue {holder.id}"
    return HeldError(
        f"deployment {holder.id} of {fleet} is open",
        {
            "deployment": holder.id,
            "state": str(holder.state),
            "actor": holder.plan.actor,
            "since": holder.created_at.isoformat(timespec="milliseconds"),
        },
        expected="no open deployment of the fleet",
        found=f"{holder.state}, by {holder.plan.actor}, since {holder.created_at:%Y-%m-%d %H:%M:%S} UTC",
        remedy=f"wait for it: the same command with --wait; watch it: lockstep deployments show {holder.id}; {way}",
    )


def _nowhere(number: int) -> UsageError:
    return UsageError(f"there is no deployment {number}", remedy="see: lockstep history")
