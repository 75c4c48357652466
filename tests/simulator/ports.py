"""The ports of the services, each call of which is a moment at which anything else may happen first."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, cast

from orchestrator.domain.batch import Batch
from orchestrator.domain.coordination import Coordination
from orchestrator.domain.deployment import Report
from orchestrator.domain.errors import UnansweredError
from orchestrator.ports import Lease, Ledger
from orchestrator.services.coordinator import Answer, Inbox
from tests.simulator.actors import Process, Running
from tests.simulator.releases import SimulatedLedger

#: Calls of the ledger that tell nobody anything that decides.
UNHEARD = frozenset({"record", "reports", "reported", "record_skew", "release", "releases"})
#: Calls that write, and whose answer may get lost.
WRITES = frozenset({"plan", "move", "prepare", "decide", "release_hold", "add_drain", "confirm_drain"})


class Broken:
    """What a scheduler says to whoever is about to write: the ledger does not answer."""

    def __init__(self, *, written: bool) -> None:
        self.written = written


class SteppedLedger:
    """The ledger, one transaction at a time. Which calls there are, `orchestrator.ports.Ledger` says."""

    def __init__(self, ledger: SimulatedLedger, running: Running) -> None:
        self._ledger = ledger
        self._running = running

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._ledger, name)
        return call if name in UNHEARD else self._stepped(name, call)

    def _stepped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def stepped(*words: Any, **options: Any) -> Any:
            actor = self._running.now
            said = actor.pause(name)
            if isinstance(said, Broken) and not said.written:
                raise UnansweredError("the ledger does not answer")
            found = call(*words, **options)
            if name in WRITES:
                self._ledger.writes += 1
            if actor.process.remembers:
                actor.learns(self._ledger.key())
            if isinstance(said, Broken):
                raise UnansweredError("the ledger does not answer")
            return found

        return stepped

    @classmethod
    def of(cls, ledger: SimulatedLedger, running: Running) -> Ledger:
        """As the services see it."""
        return cast(Ledger, cls(ledger, running))


class Broker:
    """Redis: leases and messages, all of which may be gone at any moment."""

    def __init__(self) -> None:
        self.down = False
        self.leases: dict[str, Process] = {}
        #: Tasks, by what they are called and their number.
        self.messages: list[tuple[str, int]] = []

    def empty(self) -> None:
        """It forgets everything."""
        self.leases.clear()
        self.messages.clear()

    def forget(self, process: Process) -> None:
        """The time of a dead process's leases is over."""
        self.leases = {name: holder for name, holder in self.leases.items() if holder is not process}

    def answers(self) -> None:
        """`UnansweredError` where it is down."""
        if self.down:
            raise UnansweredError("Redis does not answer")

    @property
    def state(self) -> Hashable:
        """As a value."""
        held = tuple(sorted((name, process.name) for name, process in self.leases.items()))
        return self.down, held, tuple(self.messages)


class SteppedLeases:
    """`orchestrator.ports.Leases` of one process."""

    def __init__(self, broker: Broker, process: Process, running: Running) -> None:
        self._broker = broker
        self._process = process
        self._running = running

    def take(self, name: str) -> Lease | None:
        """Hold it, where nobody does."""
        actor = self._running.now
        actor.pause("take a lease")
        self._broker.answers()
        taken = name not in self._broker.leases
        actor.learns(taken)
        if not taken:
            return None
        self._broker.leases[name] = self._process
        return SteppedLease(self._broker, self._process, name, self._running)

    def held(self, names: Sequence[str]) -> frozenset[str]:
        """Those that somebody holds."""
        actor = self._running.now
        actor.pause("look at the leases")
        self._broker.answers()
        found = frozenset(names).intersection(self._broker.leases)
        actor.learns(found)
        return found


class SteppedLease:
    """`orchestrator.ports.Lease`."""

    def __init__(self, broker: Broker, process: Process, name: str, running: Running) -> None:
        self._broker = broker
        self._process = process
        self._name = name
        self._running = running

    def release(self) -> None:
        """Let go of it, where it is still one's own."""
        self._running.now.pause("release a lease")
        if self._broker.leases.get(self._name) is self._process:
            del self._broker.leases[self._name]


class SteppedDispatch:
    """`orchestrator.ports.Dispatch`."""

    def __init__(self, broker: Broker, running: Running) -> None:
        self._broker = broker
        self._running = running

    def coordinate(self, number: int) -> None:
        """A message."""
        self._send("coordinate", number)

    def drain(self, number: int) -> None:
        """A message."""
        self._send("drain", number)

    def step(self, number: int, batch: Batch) -> None:
        """The simulated fleet hands out no steps: what a worker does for another looks the same to the coordinator."""
        raise AssertionError(f"{batch} of {number} is not sent through the broker here")

    def memory(self) -> str:
        """As above."""
        raise AssertionError("nothing here relies on the broker's memory")

    def _send(self, task: str, number: int) -> None:
        self._running.now.pause(f"send {task}")
        self._broker.answers()
        self._broker.messages.append((task, number))


class SteppedInbox(Inbox):
    """What frontends answered. Silence is as long as the scheduler wants."""

    def __init__(self, running: Running) -> None:
        super().__init__()
        self._running = running
        self.waiting: list[Answer] = []
        self.machine: Coordination | None = None

    def put(self, answer: Answer) -> None:
        """An answer comes in."""
        self.waiting.append(answer)

    def take(self) -> list[Answer]:
        """All that are there; none where the scheduler has the look come first."""
        actor = self._running.now
        if actor.process.remembers and self.machine is not None:
            # Whoever listens knows what the machine knows, and has forgotten how it came to know it.
            actor.learned = hash(known(self.machine))
        actor.pause("listen", lambda: bool(self.waiting))
        answers, self.waiting = self.waiting, []
        reports = [answer for answer in answers if isinstance(answer, Report)]
        actor.learns(tuple((report.frontend, report.step, report.attempt, report.outcome) for report in reports))
        return answers


def known(machine: Coordination) -> Hashable:
    """All that a coordination knows, as a value."""
    return tuple(_value(value) for value in vars(machine).values())


def _value(value: object) -> Hashable:
    if isinstance(value, dict):
        return tuple(sorted((name, _value(of)) for name, of in value.items()))
    if isinstance(value, Report):
        # Not its problem: words for the operator.
        return (value.attempt, value.outcome, tuple(sorted(value.detail.get("served", {}).items())))
    hashable: Any = value
    return hash(hashable)
