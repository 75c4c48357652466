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
from orchestrator.adapters.inventory import select_fleet
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import deploying
from orchestrator.cli.progress import outcome
from orchestrator.domain.deployment import Decision, Deployment, Outcome, State, Step
from orchestrator.services.deployments import Schedule, last_committed
from orchestrator.services.lookup import found
from orchestrator.settings import Settings
from tests.integration.operator import Operator, tree, wait_until
from tests.partitions.network import PREFIX, Network

FRONTENDS = 3
#: Whom the tests cut off, and who keeps the others waiting meanwhile.
CUT, SLOW, SLOWEST = "fe1", "fe2", "fe3"
#: The releases that the deployments change between.
FIRST = ("1.1.0", "1.2.0")


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

    def __init__(self, operator: Operator, network: Network) -> None:
        self.operator = operator
        self.network = network
        self.lab = operator.lab
        self._lockstep = Lockstep(Settings.read(operator.environment))
        self.ledger = self._lockstep.ledger
        self._built = 0

    def new_version(self, size: int = 20_000) -> str:
        """Build a release whose files, of `size` bytes each, nobody has."""
        self._built += 1
        version = f"1.{self._built}.0"
        self.operator.builds(version, tree(version, size=size))
        return version

    def begins(self, version: str = "", *, hold: bool = False) -> int:
        """Begin a deployment, of the release of the two first ones that is not served now; its number."""
        fleet = select_fleet(self._lockstep.inventory(), "web")
        last = last_committed(self.ledger, fleet.key)
        served = {placement.version for placement in last.plan.placements} if last else set()
        wanted = version or next(each for each in FIRST if each not in served)
        return deploying(self._lockstep).deploy(fleet, {"ToDo": wanted}, Schedule(hold), "operator").id

    def goes_on(self, number: int) -> None:
        """Continue a held deployment."""
        deploying(self._lockstep).proceed(number, "operator")

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
        return (self.lab.frontend(frontend).root / "current").readlink().name

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
            yield self._come_to(point, held)

    def _come_to(self, point: Point, held: ExitStack) -> int:
        """Let a deployment come to the point. It goes on when `held` ends."""
        if point is Point.STAGING:
            new = self.new_version()
            held.enter_context(self._locked(CUT))
            number = self.begins(new)
            wait_until(lambda: bool(self._commands(CUT, "receive")))
            return number
        number = self.begins(hold=True)
        wait_until(lambda: self.row(number).state is State.PREPARED)
        if point is Point.HELD:
            held.callback(self.goes_on, number)
            return number
        late, armed = {
            Point.ARMING: (CUT, (SLOW, SLOWEST)),
            Point.ARMED: (SLOW, (CUT, SLOWEST)),
            Point.TOLD: (SLOW, (CUT, SLOWEST)),
            Point.ANSWERED: (SLOWEST, (CUT, SLOW)),
        }[point]
        lock = held.enter_context(ExitStack())
        lock.enter_context(self._locked(late))
        self.goes_on(number)
        wait_until(lambda: self.accepted(number, Step.ARM, *armed))
        if point in (Point.ARMING, Point.ARMED):
            return number
        halted = CUT if point is Point.TOLD else SLOW
        held.enter_context(self._halted(halted))
        lock.close()
        wait_until(lambda: self._told(number, halted))
        return number

    def _told(self, number: int, halted: str) -> bool:
        """Whether all have the word, and all but the one that stands still have answered it."""
        row = self.row(number)
        others = {CUT, SLOW, SLOWEST} - {halted}
        return (row.decision, row.state) == (Decision.COMMIT, State.ACTIVATING) and self.accepted(
            number, Step.ACTIVATE, *others
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
    with (
        Network(FRONTENDS) as network,
        network.fleet.inside(),
        Lab.up(directory / "lab", FRONTENDS, network=PREFIX) as lab,
        ExitStack() as running,
    ):
        operator = Operator(directory, lab, cold=True)
        with network.workers.inside():
            running.enter_context(operator.standalone())
        made = Site(operator, network)
        assert (made.new_version(), made.new_version()) == FIRST
        assert made.ends(made.begins()).state is State.DONE
        yield made


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def _argv(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
