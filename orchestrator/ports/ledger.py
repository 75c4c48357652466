"""The ledger: releases, deployments, drains and builds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.domain.trail import ITSELF

if TYPE_CHECKING:
    from orchestrator.domain.build import Build
    from orchestrator.domain.deployment import Decision, Deployment, Plan, Report, State, Step, Trouble
    from orchestrator.domain.rotation import Drain


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """A release in the ledger: an app's version and the digest of its manifest."""

    app: str
    version: str
    digest: str
    files: int
    size: int
    created_at: datetime


class Clock(Protocol):
    """The time of day, for records alone: no decision depends on it."""

    def __call__(self) -> datetime:
        """Now, in UTC, with a time zone."""
        ...


class Releases(Protocol):
    """The ledger's releases."""

    def add_release(self, record: ReleaseRecord, *, actor: str = ITSELF) -> ReleaseRecord:
        """Store it, or return the one that is there with the same digest; `ConflictError` for another digest.

        `actor` is who brought it, for the trail.
        """
        ...

    def release(self, app: str, version: str) -> ReleaseRecord | None:
        """One release, or None."""
        ...

    def releases(
        self, app: str | None = None, *, before: tuple[str, str] | None = None, limit: int | None = None
    ) -> list[ReleaseRecord]:
        """All, newest first: those older than `before`, an app and a version of it; at most `limit`."""
        ...


class Deployments(Protocol):
    """The ledger's deployments: the only record of what was decided.

    What changes anything writes its entry into the trail in the same transaction. `actor` is who asked for it.
    """

    def plan(self, plan: Plan) -> Deployment:
        """Open a deployment under the fleet's next epoch; what moves no fleet, under the name of what it serves.

        `ConflictError` while another of the fleet is open, and where the fleet has moved since this was planned.
        """
        ...

    def deployment(self, number: int) -> Deployment | None:
        """One deployment, or None."""
        ...

    def decision(self, number: int) -> Decision | None:
        """What was decided, if anything was. Cheaper than the deployment's row; `UsageError` where there is none."""
        ...

    def open_deployment(self, fleet: str) -> Deployment | None:
        """The fleet's open deployment, or None."""
        ...

    def committed(self, fleet: str, *, before: int | None = None, limit: int | None = None) -> list[Deployment]:
        """The fleet's committed deployments, newest epoch first: below epoch `before`, at most `limit`.

        Readmissions and healing are none of them: they move no fleet.
        """
        ...

    def readmissions(self, fleet: str, epoch: int) -> list[Deployment]:
        """The readmissions to what the fleet serves at `epoch`, newest first."""
        ...

    def history(
        self,
        fleet: str | None,
        limit: int,
        *,
        before: int | None = None,
        environments: Collection[str] | None = None,
    ) -> list[Deployment]:
        """Deployments, newest first: below number `before`, of these environments alone."""
        ...

    def unfinished(self) -> list[Deployment]:
        """Every open deployment of every fleet."""
        ...

    def move(self, number: int, before: State, after: State) -> tuple[State, bool]:
        """Move the row by compare-and-set. Returns the state that stands, and whether this call moved it.

        The same write that ends a readmission lifts the drains that end with it.
        """
        ...

    def prepare(self, number: int) -> tuple[State, bool]:
        """From verifying to prepared where the row says hold, else to arming; by compare-and-set."""
        ...

    def release_hold(self, number: int, *, actor: str = ITSELF) -> bool:
        """Let a held deployment go on: clears hold and its times. False when it is decided already."""
        ...

    def decide(
        self, number: int, decision: Decision, troubles: Sequence[Trouble], *, actor: str = ITSELF
    ) -> Decision | None:
        """Write the decision, durably, if there is none and the state allows it. Returns the one that stands."""
        ...

    def note_troubles(self, number: int, troubles: Sequence[Trouble]) -> None:
        """Keep why the deployment is still open. Replaces what was noted before."""
        ...

    def record_skew(self, number: int, seconds: float) -> None:
        """Keep the measured skew."""
        ...

    def record(self, number: int, reports: Iterable[Report]) -> None:
        """Keep reports, each with the time at which it was recorded."""
        ...

    def reported(self, number: int, step: Step, attempt: int) -> frozenset[str]:
        """The frontends of which a report of this step and attempt was recorded."""
        ...

    def reports(self, number: int, after: int = 0) -> list[tuple[int, Report]]:
        """The reports in the order in which they were recorded, each with its sequence number, from `after` on."""
        ...

    # ── rotation ──

    def drains(self, fleet: str | None = None) -> list[Drain]:
        """The drains that are not lifted, of one fleet or of all."""
        ...

    def drain(self, number: int) -> Drain | None:
        """One drain, lifted or not, or None."""
        ...

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
        """Say that a frontend is to be out of rotation; the drain that is not lifted yet, where there is one.

        `remaining` are those of which another one must be left without a drain, confirmed or not; else `ConflictError`.
        `anew` lifts that one and begins another, with a higher number: what still wants to end the old one can't.
        """
        ...

    def confirm_drain(self, number: int, by: str) -> None:
        """Say that the frontend is out of rotation, as `by` has confirmed."""
        ...

    def doubt_drain(self, number: int, problem: Mapping[str, str]) -> None:
        """Keep why nobody could confirm it."""
        ...


class Ledger(Releases, Deployments, Protocol):
    """The SQL database."""


class Builds(Protocol):
    """The ledger's builds: which installed apps are in the field."""

    def builds(self, environment: str | None = None, app: str | None = None, *, retired: bool = False) -> list[Build]:
        """Builds, oldest first; with `retired` also those that nobody has any more."""
        ...

    def add_build(self, build: Build) -> Build:
        """Record a build. The same again is no change; `ConflictError` where its id is another build's."""
        ...

    def retire_build(self, environment: str, app: str, name: str, *, actor: str = ITSELF) -> Build:
        """Say that nobody has it any more. `UsageError` where it is not known."""
        ...
