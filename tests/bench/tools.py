"""How a tool deploys in a lab: Lockstep and the peers behind one face, so that one instrument fits all."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.lab import Lab
from deploy.lab.blueprint import Frontend
from deploy.lab.servers import Recipe
from deploy.nginx.recipe import render
from tests.bench import processes
from tests.bench.contained import Contained
from tests.bench.figures import CHANGED, FULL, LOCKSTEP, UNCHANGED
from tests.bench.peers.peer import Peer, Site
from tests.bench.release import Release
from tests.bench.site import plain
from tests.integration.operator import Operator, Running


@dataclass(frozen=True, slots=True)
class Deployed:
    """Seconds it took, CPU seconds of the controller's processes, and the skew that the tool itself reports in ms."""

    wall: float
    cpu: float
    reported_skew: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One deployment: what it is called, the release that is wanted, and the one that is served until then."""

    name: str
    release: Release
    previous: Release | None


class Fleet(Protocol):
    """A tool that can deploy to a lab."""

    def deploy(self, step: Step) -> Deployed:
        """Deploy it; raises where the tool fails."""
        ...

    def served(self, frontend: Frontend) -> Path:
        """The directory from which this frontend serves the app."""
        ...

    def memory(self) -> int | None:
        """What the tool's workers hold now, in kB; None where it has none."""
        ...

    def build(self, release: Release) -> float | None:
        """Make the release known; the seconds it took, or None where the tool needs no such thing."""
        ...


class Tool(Protocol):
    """Lockstep, or a peer."""

    name: str
    recipe: Recipe

    def steps(self, first: Release, second: Release) -> list[Step]:
        """What is measured of it, in this order."""
        ...

    def fleet(self, lab: Lab, scratch: Path) -> AbstractContextManager[Fleet]:
        """A context with a `Fleet`."""
        ...


class PeerTool:
    """A peer, each deployment of which is one command."""

    def __init__(self, peer: Peer) -> None:
        self.name = peer.name
        self.recipe: Recipe = plain
        self._peer = peer

    def steps(self, first: Release, second: Release) -> list[Step]:
        return [Step(FULL, first, None), Step(CHANGED, second, first)]

    @contextmanager
    def fleet(self, lab: Lab, scratch: Path) -> Iterator[Fleet]:
        with ExitStack() as stack:
            yield PeerFleet(self._peer, Site(lab, scratch), stack)


class PeerFleet:
    """A lab to which a peer deploys."""

    def __init__(self, peer: Peer, site: Site, stack: ExitStack) -> None:
        self._peer, self._site, self._stack = peer, site, stack

    def deploy(self, step: Step) -> Deployed:
        # Every deployment begins cold: what the last one left running, such as ssh's masters, is ended first.
        self._stack.close()
        command = self._peer.command(self._site, step.release, step.previous)
        contained = Contained(command, self._site.scratch / f"{step.name}.log")
        self._stack.callback(contained.close)
        ran = contained.run()
        return Deployed(ran.wall, ran.cpu)

    def served(self, frontend: Frontend) -> Path:
        return frontend.root / "current"

    def memory(self) -> int | None:
        return None

    def build(self, release: Release) -> float | None:
        return None


class LockstepTool:
    """`lockstep standalone`, and commands typed beside it."""

    def __init__(self) -> None:
        self.name = LOCKSTEP
        self.recipe: Recipe = render

    def steps(self, first: Release, second: Release) -> list[Step]:
        # The last goes back to the first release: a new epoch and activation, all of whose objects are there.
        return [Step(FULL, first, None), Step(CHANGED, second, first), Step(UNCHANGED, first, second)]

    @contextmanager
    def fleet(self, lab: Lab, scratch: Path) -> Iterator[Fleet]:
        operator = Operator(scratch, lab)
        with operator.running("standalone", "--no-server", until="ready") as process:
            yield LockstepFleet(operator, process)


class LockstepFleet:
    """A lab to which Lockstep deploys."""

    def __init__(self, operator: Operator, process: Running) -> None:
        self._operator = operator
        self._standalone = process.pid
        # Looked for once: memory is asked for often.
        family = processes.family([process.pid], processes.processes())
        self._workers = [pid for pid in family if "workers.app" in processes.words_of(pid)]

    def deploy(self, step: Step) -> Deployed:
        before = self._used()
        began = time.monotonic()
        said = self._operator.types("deploy", "web", f"ToDo={step.release.version}", "--json")
        wall = time.monotonic() - began
        if said.code != 0:
            raise RuntimeError(f"lockstep deploy: exit {said.code}\n{said.output}\n{said.messages}")
        return Deployed(wall, self._used() - before, said.document["skew_ms"])

    def served(self, frontend: Frontend) -> Path:
        return frontend.root / "current" / "ToDo"

    def memory(self) -> int | None:
        return sum(map(processes.resident, self._workers))

    def build(self, release: Release) -> float | None:
        began = time.monotonic()
        words = (str(release.tree), "--app", "ToDo", "--version", release.version)
        said = self._operator.types("release", "build", *words)
        if said.code != 0:
            raise RuntimeError(f"lockstep release build: exit {said.code}\n{said.messages}")
        return time.monotonic() - began

    def _used(self) -> float:
        """CPU seconds of broker and worker, and of the commands that were typed."""
        typed = resource.getrusage(resource.RUSAGE_CHILDREN)
        return processes.used([self._standalone]) + typed.ru_utime + typed.ru_stime
