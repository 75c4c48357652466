"""What does the work: frontends, the artifact store, workers, gates, and who leads what."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

# For annotations alone: to make the classes of what every port speaks of takes 50 ms, and no command needs them all.
if TYPE_CHECKING:
    from orchestrator.domain.adoption.errand import Errand as AdoptionErrand
    from orchestrator.domain.adoption.errand import Taken
    from orchestrator.domain.adoption.site import Site
    from orchestrator.domain.batch import Batch
    from orchestrator.domain.deployment import Report
    from orchestrator.domain.effects import Ask, GateName
    from orchestrator.domain.errors import Problem
    from orchestrator.domain.release import Content, Manifest
    from orchestrator.ota.doctor.look import Errand, Look, Unseen


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


@dataclass(frozen=True, slots=True)
class GateRun:
    """How a gate's command ended: it passed where there is no problem. `exit` is None where it did not exit itself."""

    name: GateName
    seconds: float
    exit: int | None
    problem: Problem | None


class Gates(Protocol):
    """Runs the commands of one deployment's gates, one at a time."""

    def run(
        self,
        name: GateName,
        command: Sequence[str],
        seconds: float,
        environment: Mapping[str, str],
        deliver: Callable[[GateRun], None],
    ) -> None:
        """Begin to run a command, which may take so many seconds. Never blocks.

        How it ended comes through `deliver`, from any thread, once, soon after its time is over at the latest.
        """
        ...

    def call_off(self) -> GateRun | None:
        """End what runs, wait for its end, a few seconds at most, and say how it was: it is not delivered any more.

        None where nothing runs.
        """
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

    def step(self, number: int, batch: Batch) -> None:
        """Have some worker do one step (stage or verify) of these frontends; their reports go to the ledger."""
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


class Adoptions(Protocol):
    """Sites of other tools on the frontends, by workers, as `Looks`: they read them, and make releases of them."""

    def send(
        self, errands: Sequence[AdoptionErrand], seconds: float, heard: Callable[[int], None]
    ) -> Mapping[str, Site | Taken | Problem]:
        """Send workers, side by side, and wait for at most `seconds`; `heard` is told how many have answered.

        Every frontend is in the answer: a problem where it could not be done, or nobody said so in time.
        """
        ...

    def put(self, errand: AdoptionErrand, brought: Site | Taken | Problem) -> None:
        """What a worker brought. `UnansweredError` where it may not have been taken."""
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


def audit_of(number: int) -> str:
    """The name of the lease that whoever runs an audit holds."""
    return f"audit/{number}"


def work_on(number: int, batch: Batch) -> str:
    """The name of the lease that a worker holds while it works on a batch, or on what is left of it."""
    return f"step/{number}/{batch.name}/{batch.step}/{batch.attempt}"
