"""What the services need of the world. The adapters, the workers and the tests' simulated fleet provide it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO, Protocol

from orchestrator.domain.access import Grant
from orchestrator.domain.build import Build
from orchestrator.domain.coordination import Ask
from orchestrator.domain.deployment import Decision, Deployment, Plan, Report, State, Trouble
from orchestrator.domain.release import Content, Manifest
from orchestrator.domain.rotation import Drain
from orchestrator.domain.trail import ITSELF, Action, Entry
from orchestrator.ota.doctor.look import Errand, Look, Unseen


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
        """Open a deployment under the fleet's next epoch.

        `ConflictError` while another of the fleet is open, and where the fleet has moved since this was planned.
        """
        ...

    def deployment(self, number: int) -> Deployment | None:
        """One deployment, or None."""
        ...

    def open_deployment(self, fleet: str) -> Deployment | None:
        """The fleet's open deployment, or None."""
        ...

    def committed(self, fleet: str, *, before: int | None = None, limit: int | None = None) -> list[Deployment]:
        """The fleet's committed deployments, newest epoch first: below epoch `before`, at most `limit`.

        Readmissions are none of them: they move no fleet.
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


@dataclass(frozen=True, slots=True)
class Token:
    """An API token without its secret, of which the ledger keeps the SHA-256. `public` is the part that is shown."""

    public: str
    name: str
    hash: str
    grants: tuple[Grant, ...]
    actor: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class Tokens(Protocol):
    """The ledger's API tokens."""

    def add_token(self, token: Token) -> None:
        """Record a token, and that it was issued."""
        ...

    def token(self, public: str) -> Token | None:
        """One token, valid or not, or None."""
        ...

    def tokens(self) -> list[Token]:
        """All of them, oldest first."""
        ...

    def revoke_token(self, public: str, actor: str) -> Token | None:
        """Say that it is not valid any more; None where there is none. Once more is no change."""
        ...


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that its sender gave a name. `status` and `answer` are None as long as nobody has answered it."""

    digest: str
    created_at: datetime
    status: int | None = None
    answer: Mapping[str, Any] | None = None


class Requests(Protocol):
    """The ledger's requests: the same one again gets the same answer. `scope` is whose, and what for."""

    def claim(self, scope: str, name: str, digest: str) -> Claim | None:
        """Take it, durably: None. Where it was taken before, what is known of it. Drops what is old."""
        ...

    def settle(self, scope: str, name: str, status: int, answer: Mapping[str, Any]) -> None:
        """Keep its answer."""
        ...

    def drop(self, scope: str, name: str) -> None:
        """Nothing was done: it can be sent again."""
        ...


class Trail(Protocol):
    """What changed anything, in order (`orchestrator.domain.trail`)."""

    def add(self, action: Action) -> Entry:
        """Add what changed nothing else in the ledger: what did is added with the change."""
        ...

    def entries(self, after: int = 0, limit: int = 500, *, fleet: str | None = None) -> Sequence[Entry]:
        """Entries in their order, from the one behind number `after` on, of one fleet or all.

        `UnreadableError` where the first of them is none: those before an unreadable one are answered.
        """
        ...

    def newest(self, limit: int, *, fleet: str | None = None) -> Sequence[Entry]:
        """The newest entries, in their order."""
        ...

    def last(self) -> Entry | None:
        """The newest entry."""
        ...


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

    def drain(self, number: int) -> None:
        """Have some worker take a frontend out of rotation, by the number of its drain in the ledger."""
        ...

    def memory(self) -> str:
        """A mark that the broker keeps as long as it keeps messages: another one means that they are lost.

        `UnansweredError` where the broker can't be asked.
        """
        ...


class Looks(Protocol):
    """Looks at frontends' disks, by workers: the orchestrator speaks no SSH. Read-only, and no step of a deployment."""

    def look(
        self, errands: Sequence[Errand], seconds: float, heard: Callable[[int], None]
    ) -> Mapping[str, Look | Unseen]:
        """Have workers look, side by side, and wait for at most `seconds`; `heard` is told how many have answered.

        Every frontend is in the answer: `Unseen` where nobody could look, or said so in time. Nothing is raised.
        """
        ...

    def put(self, errand: Errand, seen: Look | Unseen) -> None:
        """What a worker saw. `UnansweredError` where it may not have been taken."""
        ...


class Lease(Protocol):
    """A name that is held, and kept by itself until it is released or lost."""

    def release(self) -> None:
        """Let others have it."""
        ...


class Leases(Protocol):
    """Who works on what. They make recovery fast; nothing is safe because of them.

    Every call raises `UnansweredError` where nobody can say.
    """

    def take(self, name: str) -> Lease | None:
        """Hold the lease of that name; None where somebody else does."""
        ...

    def held(self, names: Sequence[str]) -> frozenset[str]:
        """Those of the leases that somebody holds."""
        ...


def lead_of(number: int) -> str:
    """The name of the lease that the coordinator of a deployment holds."""
    return f"deployment/{number}"


def work_on(number: int, ask: Ask) -> str:
    """The name of the lease that a worker holds while it does a step."""
    return f"step/{number}/{ask.frontend}/{ask.step}/{ask.attempt}"
