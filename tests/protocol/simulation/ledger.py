"""A ledger in memory, with the compare-and-sets of `orchestrator.adapters.ledger.repository`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.domain.activation import NOTHING, ActivationName
from orchestrator.domain.deployment import (
    MOVES,
    Decision,
    Deployment,
    Kind,
    Plan,
    Report,
    State,
    Step,
    Trouble,
    decided_state,
    may_decide,
    overtaken,
)
from orchestrator.domain.errors import ConflictError, UsageError
from orchestrator.domain.rotation import Drain, last_in_rotation
from orchestrator.domain.trail import ITSELF

#: A time of day that never goes on.
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryLedger:
    """`orchestrator.ports.Deployments`. Every call is one transaction; it is used from one thread at a time."""

    def __init__(self, clock: Callable[[], datetime] = lambda: MOMENT) -> None:
        self._clock = clock
        self._rows: dict[int, Deployment] = {}
        self._reports: list[tuple[int, Report]] = []
        self._drains: dict[int, Drain] = {}

    # ── reading ──

    def deployment(self, number: int) -> Deployment | None:
        """One deployment, or None."""
        return self._rows.get(number)

    def decision(self, number: int) -> Decision | None:
        """What was decided, if anything was."""
        return self._row(number).decision

    def open_deployment(self, fleet: str) -> Deployment | None:
        """The fleet's open deployment, or None."""
        return next((row for row in self.unfinished() if row.plan.fleet == fleet), None)

    def committed(self, fleet: str, *, before: int | None = None, limit: int | None = None) -> list[Deployment]:
        """The fleet's committed deployments, newest epoch first: below epoch `before`, at most `limit`."""
        rows = [
            row
            for row in self.history(fleet, len(self._rows))
            if row.decision is Decision.COMMIT and row.plan.kind.moves
        ]
        return [row for row in rows if before is None or row.epoch < before][:limit]

    def readmissions(self, fleet: str, epoch: int) -> list[Deployment]:
        """The readmissions to what the fleet serves at `epoch`, newest first."""
        rows = self.history(fleet, len(self._rows))
        return [row for row in rows if row.plan.kind is Kind.READMIT and row.epoch == epoch]

    def history(
        self,
        fleet: str | None,
        limit: int,
        *,
        before: int | None = None,
        environments: Collection[str] | None = None,
    ) -> list[Deployment]:
        """Deployments, newest first. Nothing that is simulated turns pages."""
        assert before is None and environments is None
        rows = [row for row in reversed(self._rows.values()) if fleet in (None, row.plan.fleet)]
        return rows[:limit]

    def unfinished(self) -> list[Deployment]:
        """Every open deployment."""
        return [row for row in self._rows.values() if row.ended_at is None]

    # ── writing ──

    def plan(self, plan: Plan) -> Deployment:
        """Open a deployment. The nonce is the number: nothing here is to be guessed."""
        if self.open_deployment(plan.fleet) is not None:
            raise ConflictError(f"a deployment of {plan.fleet} is open")
        number = len(self._rows) + 1
        newest = max((row.id for row in self._rows.values() if row.plan.fleet == plan.fleet), default=0)
        if plan.after not in (None, newest):
            raise overtaken(plan.fleet, newest)
        if not plan.kind.moves:
            last = self.committed(plan.fleet, limit=1)
            if not last:
                raise ConflictError(f"{plan.fleet} serves nothing yet")
            name = last[0].name
        else:
            name = ActivationName(self._newest(plan.fleet).epoch + 1, f"{number:016x}")
        self._rows[number] = Deployment(number, plan, name, State.PLANNED, None, self._clock())
        return self._rows[number]

    def move(self, number: int, before: State, after: State) -> tuple[State, bool]:
        """Compare-and-set on the state."""
        if after not in MOVES[before]:
            raise ValueError(f"no deployment moves from {before} to {after} without a decision")
        values: dict[str, Any] = {"state": after}
        if after.ended:
            values["ended_at"] = self._clock()
        if after is State.DONE:
            values["troubles"] = ()
        state, moved = self._compare_and_set(number, lambda row: row.state is before, **values)
        if moved and after is State.DONE:
            for ends in self._row(number).plan.readmits.values():
                self._change_drain(ends, lifted_at=self._clock())
        return state, moved

    def prepare(self, number: int) -> tuple[State, bool]:
        """From verifying to prepared where the row says hold, else to arming."""
        after = State.PREPARED if self._row(number).plan.hold else State.ARMING
        return self._compare_and_set(number, lambda row: row.state is State.VERIFYING, state=after)

    def release_hold(self, number: int, *, actor: str = ITSELF) -> bool:
        """Clear the hold of a deployment that nothing is decided about."""
        del actor  # no trail here
        plan = replace(self._row(number).plan, hold=False, due_at=None, expires_at=None)
        return self._compare_and_set(number, lambda row: row.decision is None, plan=plan)[1]

    def decide(
        self, number: int, decision: Decision, troubles: Sequence[Trouble], *, actor: str = ITSELF
    ) -> Decision | None:
        """Write the decision if there is none and the state allows it. Returns the one that stands."""
        del actor  # no trail here
        self._compare_and_set(
            number,
            lambda row: row.decision is None and may_decide(row.state, decision),
            decision=decision,
            state=decided_state(decision),
            decided_at=self._clock(),
            troubles=tuple(troubles),
        )
        return self._rows[number].decision

    def note_troubles(self, number: int, troubles: Sequence[Trouble]) -> None:
        """Keep why it is still open. Why it was aborted stays."""

        def open_still(row: Deployment) -> bool:
            return row.ended_at is None and row.decision is not Decision.ABORT

        self._compare_and_set(number, open_still, troubles=tuple(troubles))

    def record_skew(self, number: int, seconds: float) -> None:
        """Keep the first that was measured."""
        self._compare_and_set(number, lambda row: row.skew is None, skew=seconds)

    # ── reports ──

    def record(self, number: int, reports: Iterable[Report]) -> None:
        """Keep reports."""
        self._row(number)
        self._reports += [(number, replace(report, at=self._clock())) for report in reports]

    def reported(self, number: int, step: Step, attempt: int) -> frozenset[str]:
        """Who has reported on this asking."""
        asking = (step, attempt)
        return frozenset(r.frontend for of, r in self._reports if of == number and (r.step, r.attempt) == asking)

    def reports(self, number: int, after: int = 0) -> list[tuple[int, Report]]:
        """Reports with their sequence numbers, oldest first."""
        numbered = enumerate(self._reports, 1)
        return [(sequence, report) for sequence, (of, report) in numbered if of == number and sequence > after]

    # ── rotation ──

    def drains(self, fleet: str | None = None) -> list[Drain]:
        """The drains that are not lifted, oldest first."""
        return [d for d in self._drains.values() if d.lifted_at is None and fleet in (None, d.fleet)]

    def drain(self, number: int) -> Drain | None:
        """One drain, lifted or not, or None."""
        return self._drains.get(number)

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
        out = {drain.frontend: drain for drain in self.drains(fleet)}
        if frontend in out and not anew:
            return out[frontend]
        if remaining is not None and set(remaining) <= {frontend, *out}:
            raise last_in_rotation(fleet, frontend)
        if frontend in out:
            self._change_drain(out[frontend].number, lifted_at=self._clock())
        number = len(self._drains) + 1
        name = self._newest(fleet)
        self._drains[number] = Drain(number, fleet, frontend, name, actor, reason, snapshot, self._clock())
        return self._drains[number]

    def confirm_drain(self, number: int, by: str) -> None:
        """Out of rotation; the first confirmation's time stays."""
        drain = self._drains.get(number)
        at = (drain and drain.confirmed_at) or self._clock()
        self._change_drain(number, by=by, confirmed_at=at, problem={})

    def doubt_drain(self, number: int, problem: Mapping[str, str]) -> None:
        """Why nobody could confirm it."""
        self._change_drain(number, problem=dict(problem))

    # ── below ──

    def _newest(self, fleet: str) -> ActivationName:
        rows = [row for row in self._rows.values() if row.plan.fleet == fleet]
        return max((row.name for row in rows), default=NOTHING)

    def _change_drain(self, number: int, **values: Any) -> None:
        drain = self._drains.get(number)
        if drain is not None and drain.lifted_at is None:
            self._drains[number] = replace(drain, **values)

    def _row(self, number: int) -> Deployment:
        if number not in self._rows:
            raise UsageError(f"there is no deployment {number}")
        return self._rows[number]

    def _compare_and_set(self, number: int, guard: Callable[[Deployment], bool], **values: Any) -> tuple[State, bool]:
        row = self._row(number)
        allowed = self._allows(guard(row))
        if allowed:
            row = self._rows[number] = replace(row, **values)
        return row.state, allowed

    def _allows(self, compared: bool) -> bool:
        """Whether a write goes through, given what its comparison said."""
        return compared

    # ── for the explorer ──

    def fork(self) -> MemoryLedger:
        """A copy that goes its own way."""
        twin = type(self)(self._clock)
        twin._rows = dict(self._rows)
        twin._reports = list(self._reports)
        twin._drains = dict(self._drains)
        return twin

    def key(self) -> Hashable:
        """What can make a difference to anybody, as a value."""
        rows = self._rows.values()
        standing = tuple((row.state, row.decision, row.plan.hold, bool(row.troubles)) for row in rows)
        return standing, tuple((d.frontend, d.confirmed, d.lifted_at) for d in self._drains.values())
