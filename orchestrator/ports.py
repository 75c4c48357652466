"""What the services need of the world. The adapters, the workers and the tests' simulated fleet provide it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Protocol

from orchestrator.domain.coordination import Ask
from orchestrator.domain.deployment import Decision, Deployment, Plan, Report, State, Trouble
from orchestrator.domain.release import Content, Manifest


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

    def add_release(self, record: ReleaseRecord) -> ReleaseRecord:
        """Store it, or return the one that is there with the same digest; `ConflictError` for another digest."""
        ...

    def release(self, app: str, version: str) -> ReleaseRecord | None:
        """One release, or None."""
        ...

    def releases(self, app: str | None = None) -> list[ReleaseRecord]:
        """All, newest first."""
        ...


class Deployments(Protocol):
    """The ledger's deployments: the only record of what was decided."""

    def plan(self, plan: Plan) -> Deployment:
        """Open a deployment under the fleet's next epoch; `ConflictError` while another of the fleet is open."""
        ...

    def deployment(self, number: int) -> Deployment | None:
        """One deployment, or None."""
        ...

    def open_deployment(self, fleet: str) -> Deployment | None:
        """The fleet's open deployment, or None."""
        ...

    def committed(self, fleet: str, *, before: int | None = None, limit: int | None = None) -> list[Deployment]:
        """The fleet's committed deployments, newest epoch first: below epoch `before`, at most `limit`."""
        ...

    def history(self, fleet: str | None, limit: int) -> list[Deployment]:
        """Deployments, newest first."""
        ...

    def unfinished(self) -> list[Deployment]:
        """Every open deployment of every fleet."""
        ...

    def move(self, number: int, before: State, after: State) -> tuple[State, bool]:
        """Move the row by compare-and-set. Returns the state that stands, and whether this call moved it."""
        ...

    def prepare(self, number: int) -> tuple[State, bool]:
        """From verifying to prepared where the row says hold, else to arming; by compare-and-set."""
        ...

    def release_hold(self, number: int) -> bool:
        """Let a held deployment go on: clears hold and its times. False when it is decided already."""
        ...

    def decide(self, number: int, decision: Decision, troubles: Sequence[Trouble]) -> Decision | None:
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

    def reports(self, number: int, after: int = 0) -> list[tuple[int, Report]]:
        """The reports in the order in which they were recorded, each with its sequence number, from `after` on."""
        ...


class Ledger(Releases, Deployments, Protocol):
    """The SQL database."""


class Fleet(Protocol):
    """The frontends of one deployment, as the coordinator reaches them.

    `ask` never blocks: each answer, or the end of an asking's time, comes through `deliver`, from any thread, exactly
    once for each asking. Asking to arm opens a conversation that stays open; asking to activate sends the one word
    there, or goes its own way where there is none.
    """

    def ask(self, asks: Sequence[Ask], deliver: Callable[[Report], None]) -> None:
        """Begin these askings, side by side."""
        ...

    def close(self) -> None:
        """End what is still open: armed frontends hear nothing more, and so stay on what they serve."""
        ...


class Intake(Protocol):
    """Content on its way into the artifact store: nothing of it can be found there before `commit`."""

    def add(self, chunks: Iterable[bytes]) -> Content:
        """Take in one file's bytes in one pass, and say what they are."""
        ...

    def commit(self, manifest: Manifest) -> None:
        """Store, durably, what the manifest names, then the manifest. `ReleaseError` where content is missing."""
        ...


class Artifacts(Protocol):
    """The store of releases' content, by SHA-256; manifests by their digest. Nothing in it ever changes."""

    def intake(self) -> AbstractContextManager[Intake]:
        """Take in a new release. Leaving it without `commit` leaves nothing behind."""
        ...

    def add(self, sha256: str, chunks: Iterable[bytes]) -> None:
        """Store an object, whole or not at all; `ReleaseError` where its bytes have another hash."""
        ...

    def has(self, sha256: str) -> bool:
        """Whether the object is there."""
        ...

    def open(self, sha256: str) -> BinaryIO:
        """An object's bytes; `ReleaseError` where it is not there."""
        ...

    def add_manifest(self, manifest: Manifest) -> None:
        """Store a manifest, after all its objects."""
        ...

    def manifest(self, digest: str) -> Manifest:
        """Read a manifest back and check its digest; `ReleaseError` where it is not there or not itself."""
        ...


class Dispatch(Protocol):
    """Hands work to workers, by id."""

    def coordinate(self, number: int) -> None:
        """Have some worker coordinate the deployment. `LockstepError` when nobody can be asked."""
        ...

    def step(self, number: int, ask: Ask) -> None:
        """Have some worker do one step (stage or verify) of one frontend; its report goes to the ledger."""
        ...
