"""A lab whose workers are in a namespace of their own, and the points of a deployment at which it can be stopped."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path

from deploy.lab import Lab
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.output import Exit
from orchestrator.cli.progress import outcome
from orchestrator.domain.deployment import Decision, Deployment, Outcome, State, Step
from orchestrator.services.coordinator import found
from orchestrator.settings import Settings
from tests.integration.operator import Operator, tree, wait_until
from tests.partitions.namespaces import PREFIX, Network

FRONTENDS = 3
#: Whom the tests cut off, and who keeps the others waiting meanwhile.
CUT, SLOW, SLOWEST = "fe1", "fe2", "fe3"


class Point(StrEnum):
    """How far a deployment has come when the frontend is cut off."""

    STAGING = "while it is staged to"
    HELD = "held, before it is verified again"
    ARMING = "asked to arm, before its answer"
    ARMED = "armed, before the commit"
    TOLD = "committed, between the word and its answer"
    ANSWERED = "committed, after its answer"


class Site:
    """One lab, one operator, and the network between the workers and the frontends."""

    def __init__(self, directory: Path, network: Network, lab: Lab) -> None:
        self.network = network
        self.lab = lab
        self.operator = Operator(directory, lab)
        self.ledger = Lockstep(Settings.read(self.operator.environment)).ledger
        self._built = 0

    def new_version(self, size: int = 0) -> str:
        """Build a release that nobody has: one small file of it is new, or all files of `size` bytes each."""
        self._built += 1
        version = f"1.{self._built}.0"
        small = {"new.css": version.encode()}
        self.operator.builds(version, tree(version, size=size) if size else tree("app", changed=small))
        return version

    def begins(self, *, hold: bool = False, size: int = 0) -> int:
        """Begin a deployment of a new release; its number. With `hold`, it is held when this returns."""
        change = f"ToDo={self.new_version(size)}"
        return int(self.operator.reads("deploy", "web", change, "--hold" if hold else "--detach")["id"])

    def row(self, number: int) -> Deployment:
        """The deployment's row."""
        return found(self.ledger, number)

    def rests(self, number: int) -> Deployment:
        """The deployment's row, once it has ended or waits for a frontend after the commit."""
        wait_until(lambda: outcome(self.row(number)) is not None)
        return self.row(number)

    def ends(self, number: int) -> Deployment:
        """The deployment's row, once it has ended."""
        wait_until(lambda: self.row(number).state.ended)
        return self.row(number)

    def accepted(self, number: int, step: Step, *frontends: str) -> bool:
        """Whether these frontends have done the step, as far as the ledger knows."""
        reports = (report for _, report in self.ledger.reports(number))
        done = {report.frontend for report in reports if (report.step, report.outcome) == (step, Outcome.ACCEPTED)}
        return done >= set(frontends)

    def current(self, frontend: str) -> str:
        """The activation that the frontend's tree is at, whatever anybody can reach."""
        return Path(os.readlink(self.lab.frontend(frontend).root / "current")).name

    def drained(self) -> set[str]:
        """Who is out of rotation, according to the ledger."""
        return {drain.frontend for drain in self.ledger.drains() if drain.confirmed}

    def assert_together(self, activation: str) -> None:
        """Everybody serves this, is in rotation, and is in nobody's way for the next deployment."""
        assert set(self.operator.served().values()) == {activation}
        wait_until(lambda: set(self.lab.rotation().values()) == {"UP L7OK"})
        assert self.drained() == set()
        assert self.ledger.unfinished() == []

    def wait_for_incoming(self, frontend: str) -> None:
        """Until content arrives there, and more is on its way."""
        incoming = self.lab.frontend(frontend).root / "incoming"
        wait_until(lambda: any(path.stat().st_size for path in incoming.rglob("*") if path.is_file()))

    # ── points ──

    @contextmanager
    def stopped_at(self, point: Point) -> Iterator[int]:
        """A deployment of a new release that has come to the point, and goes on when the context ends; its number."""
        with ExitStack() as held:
            if point is Point.STAGING:
                held.enter_context(self._locked(CUT))
                number = self.begins(size=20_000)
                # It has read what is missing there, and waits with the content in its hands.
                wait_until(lambda: bool(self._commands(CUT, "receive")))
                yield number
                return
            number = self.begins(hold=True)
            if point is Point.HELD:
                yield number
                held.callback(self.goes_on, number)
                return
            late = {Point.ARMING: CUT, Point.ARMED: SLOW, Point.TOLD: SLOW, Point.ANSWERED: SLOWEST}[point]
            with self._locked(late):
                self.goes_on(number)
                if point is Point.ARMING:
                    others = (SLOW, SLOWEST)
                else:
                    others = (CUT,) if late is SLOW else (CUT, SLOW)
                wait_until(lambda: self.accepted(number, Step.ARM, *others))
                if point in (Point.ARMING, Point.ARMED):
                    yield number
                    return
                # Told, and not yet awake; or awake, and somebody else isn't.
                held.enter_context(self._halted(CUT if point is Point.TOLD else SLOW))
            wait_until(lambda: self._told(number, point))
            yield number

    def goes_on(self, number: int) -> None:
        """Continue a held deployment."""
        assert self.operator.types("continue", str(number), "--detach").code in (Exit.DONE, Exit.OPEN)

    def _told(self, number: int, point: Point) -> bool:
        row = self.row(number)
        flipped = (SLOW, SLOWEST) if point is Point.TOLD else (CUT, SLOWEST)
        return (
            row.decision is Decision.COMMIT
            and row.state is State.ACTIVATING
            and self.accepted(number, Step.ACTIVATE, *flipped)
        )

    @contextmanager
    def _locked(self, frontend: str) -> Iterator[None]:
        """Arming and receiving take the frontend's lock, verifying does not."""
        with (self.lab.frontend(frontend).root / "state" / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _halted(self, frontend: str) -> Iterator[None]:
        """The armed frontend's processes stand still: its sshd still takes the word."""
        halted = self._commands(frontend, "arm")
        assert halted
        self._signal(halted, signal.SIGSTOP)
        try:
            yield
        finally:
            self._signal(halted, signal.SIGCONT)

    def _commands(self, frontend: str, command: str) -> list[int]:
        """The processes of a command that runs on the frontend."""
        root = str(self.lab.frontend(frontend).root)
        words = [f"{root}/state/lockstep-frontend", root, command]
        return [pid for pid in _processes() if _argv(pid)[1:4] == words]

    @staticmethod
    def _signal(processes: list[int], number: signal.Signals) -> None:
        for pid in processes:
            os.kill(pid, number)


@contextmanager
def site(directory: Path) -> Iterator[Site]:
    """A site on which everybody serves a first release. The thread that asks for it is where the clients are."""
    with Network(FRONTENDS) as network, network.fleet.inside():
        with Lab.up(directory / "lab", FRONTENDS, network=PREFIX) as lab, ExitStack() as running:
            made = Site(directory, network, lab)
            with network.workers.inside():
                standalone = made.operator.standalone()
                running.enter_context(standalone)
            assert made.operator.types("deploy", "web", f"ToDo={made.new_version()}").code == 0
            yield made


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _argv(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []

