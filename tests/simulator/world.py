"""The world of one run: a ledger, a broker, a load balancer, frontends, processes, and what may happen next.

`World.options` are the things that can happen next, `World.take` lets one of them happen and then holds the laws
against what stands. Time is the number of things that happened; only the lookouts' patience hangs on it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from inventory.model import Fleet
from inventory.model import Frontend as Server
from orchestrator.domain.activation import Activation, ActivationName
from orchestrator.domain.deployment import State
from orchestrator.ports import Ledger
from tests.protocol.simulation.frontend import Answer
from tests.simulator.actors import Actor, Process, Running
from tests.simulator.gates import EVERYWHERE, Book
from tests.simulator.laws import Judge
from tests.simulator.ports import WRITES, Broken, Broker, SteppedDispatch, SteppedLeases, SteppedLedger
from tests.simulator.releases import EPOCH, ManifestsAlone, fleet
from tests.simulator.rules import Rules
from tests.simulator.streams import Stream
from tests.simulator.worker import Worker

#: How long a thing takes that happens, and how long nothing happens before a lookout looks again, in seconds.
MOMENT_SECONDS = 0.02
LOOK_SECONDS = 0.5


class What(StrEnum):
    """What can happen next. From `CRASH` on: what goes wrong."""

    RUN = "run"
    ARRIVE = "arrives"
    REPLY = "answer arrives"
    TAKE = "take"
    LOOK = "look"
    #: A lookout looks, again and again, in one go, until it finds something to lead.
    FIND = "find"
    #: The coordinator has heard nothing for a while, and looks at the row.
    SILENCE = "silence"
    #: Nobody waits any longer for an answer.
    GIVE_UP = "give up"
    CRASH = "crash"
    LAPSE = "lapse"
    BREAK = "break"
    #: A command arrives again, maybe much later.
    REPEAT = "repeat"
    #: A process is stopped, or what is in a channel is on its way, for long.
    SLEEP = "sleep"
    REBOOT = "reboot"
    CUT = "cut"
    HEAL = "heal"
    STAND_DOWN = "stand down"
    TAMPER = "tamper"
    BROKER_EMPTIED = "broker emptied"
    BROKER_DOWN = "broker down"
    BROKER_UP = "broker up"
    UNWRITTEN = "unwritten, unanswered"
    WRITTEN = "written, unanswered"


FAULTS = frozenset(list(What)[list(What).index(What.CRASH) :])


class Option(NamedTuple):
    """One thing that can happen, and to what."""

    what: What
    subject: Any = None

    def __str__(self) -> str:
        subject = self.subject
        if isinstance(subject, Actor):
            return f"{self.what} {subject.name}: {subject.does}"
        if isinstance(subject, Stream):
            label = subject.to_frontend[0].label if subject.to_frontend else ""
            return f"{self.what} {subject.frontend.name} #{subject.number} {label}".rstrip()
        return f"{self.what} {getattr(subject, 'name', subject)}"


@dataclass
class Size:
    """How large a world is: its frontends, its workers, and how many of them its policy may drain."""

    frontends: int
    workers: int = 2
    max_drained: int = 0
    #: What may go wrong, and how often, all together.
    faults: frozenset[What] = frozenset()
    budget: int = 0
    rules: Rules = field(default_factory=Rules)
    #: Whether its states will be compared.
    compared: bool = False
    #: What the commands of its gates say, where it has any.
    gates: Book | None = None


class World:
    """See the module. Its parts are open to whoever wants to look at them."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self.rules = size.rules
        self.now = 0.0
        self.running = Running()
        self.fleet: Fleet = fleet(size.frontends, size.max_drained)
        if size.gates is not None:
            self.fleet = self.fleet.model_copy(update={"gates": EVERYWHERE})
        self.ledger = self.rules.ledger(lambda: self.now)
        self.artifacts = ManifestsAlone()
        self.broker = Broker()
        self.frontends = {server.name: self.rules.frontend(server.name) for server in self.fleet.frontends}
        #: The frontends that the load balancer uses, while their health answers are good.
        self.ready = set(self.frontends)
        self.streams: list[Stream] = []
        self.opened = 0
        self.owners: dict[int, Process] = {}
        self.workers: list[Worker] = []
        self.operators: list[Process] = []
        #: How long whatever falls asleep next will sleep, in seconds.
        self.nap = 0.0
        self.left = self.left_at_calm = size.budget
        #: How many leases have lapsed whose holders go on.
        self.lapsed = 0
        #: Grows with everything that a client could notice.
        self.changes = 0
        self.judge = Judge(self)
        for _ in range(size.workers):
            self.start_worker()

    # ── what processes do ──

    def ledger_of(self) -> Ledger:
        """The ledger, as whoever runs sees it."""
        return SteppedLedger.of(self.ledger, self.running)

    def dispatch(self) -> SteppedDispatch:
        """The broker's queue."""
        return SteppedDispatch(self.broker, self.running)

    def leases(self, process: Process) -> SteppedLeases:
        """The broker's leases."""
        return SteppedLeases(self.broker, process, self.running)

    def begin(self, process: Process, name: str, act: Callable[[], object]) -> None:
        """A new thread of a process. It comes as far as its first word to anybody."""
        self.resume(process.begin(name, act))

    def open(self, process: Process, frontend: str) -> Stream:
        """A channel to a frontend. It breaks when its process ends."""
        self.opened += 1
        stream = Stream(self.opened, self.frontends[frontend])
        self.streams.append(stream)
        self.owners[stream.number] = process
        return stream

    def hear(self, stream: Stream) -> Answer:
        """Wait for the answer; raises what the real transport raises."""
        actor = self.running.now
        stream.listener = actor
        actor.pause(f"hear of {stream.frontend.name}", lambda: stream.answered)
        actor.learns(stream.heard)
        return stream.answer()

    def balance(self, frontend: str, *, ready: bool) -> None:
        """Have the load balancer use a frontend, or not."""
        self.running.now.pause(f"{'use' if ready else 'take out'} {frontend}")
        if ready:
            self.ready.add(frontend)
        else:
            self.ready.discard(frontend)
        self.changes += 1

    def clock(self) -> datetime:
        """The time of day."""
        return EPOCH + timedelta(seconds=self.now)

    def server(self, frontend: str) -> Server:
        """A frontend as the inventory has it."""
        found = self.fleet.frontend(frontend)
        assert found is not None
        return found

    def activation(self, name: ActivationName) -> Activation:
        """What a deployment brings."""
        return next(row.activation for row in self.ledger.history(None, 1000) if row.name == name)

    def start_worker(self) -> Worker:
        """One more worker."""
        worker = Worker(self, f"worker {len(self.workers) + 1}")
        self.workers.append(worker)
        return worker

    # ── what can happen ──

    def options(self) -> list[Option]:
        """What can happen next, in an order that hangs on nothing but what has happened."""
        return self.regular() + (self.faults() if self.left > 0 else [])

    def regular(self) -> list[Option]:
        """What goes on by itself."""
        self.streams = [stream for stream in self.streams if not stream.spent]
        return list(self._regular())

    def faults(self) -> list[Option]:
        """What may go wrong."""
        return [option for option in self._faults() if option.what in self.size.faults]

    def _processes(self) -> Iterator[Process]:
        yield from (worker.process for worker in self.workers if worker.process.alive)
        yield from self.operators

    def _regular(self) -> Iterator[Option]:
        for process in self._processes():
            if process.sleeps_until > self.now:
                continue
            for actor in process.actors:
                if actor.ready():
                    yield Option(What.RUN, actor)
        for stream in self.streams:
            if stream.sleeps_until > self.now:
                continue
            if stream.to_frontend and not stream.frontend.cut:
                yield Option(What.ARRIVE, stream)
            if stream.to_worker and not stream.frontend.cut:
                yield Option(What.REPLY, stream)
        for message in dict.fromkeys(self.broker.messages):
            yield Option(What.TAKE, message)

    def rare(self) -> Iterator[Option]:
        """What happens after a while in which nothing else does, or just so."""
        for worker in self.workers:
            if worker.process.alive and worker.looks and worker.process.sleeps_until <= self.now:
                yield Option(What.LOOK, worker)
        for process in self._processes():
            for actor in process.actors:
                if actor.does == "listen" and not actor.ready() and process.sleeps_until <= self.now:
                    yield Option(What.SILENCE, actor)
        for stream in self.streams:
            if not stream.answered:
                yield Option(What.GIVE_UP, stream)

    def _faults(self) -> Iterator[Option]:
        for worker in self.workers:
            if worker.process.alive:
                yield Option(What.CRASH, worker)
        for process in self._processes():
            if not process.idle:
                yield Option(What.SLEEP, process)
        for name in self.broker.leases:
            yield Option(What.LAPSE, name)
        for stream in self.streams:
            if not stream.broken:
                yield Option(What.BREAK, stream)
            if stream.to_frontend or stream.to_worker:
                yield Option(What.SLEEP, stream)
            if stream.to_repeat() is not None:
                yield Option(What.REPEAT, stream)
        for frontend in self.frontends.values():
            yield Option(What.REBOOT, frontend)
            yield Option(What.HEAL if frontend.cut else What.CUT, frontend)
            if frontend.armed:
                yield Option(What.STAND_DOWN, frontend)
            row = self.ledger.open_deployment(self.fleet.key)
            # What is served already, as in a readmission, nobody looks at again before an audit.
            staged = row is not None and frontend.current < row.name and frontend.whole(row.name)
            if row is not None and staged and row.state in (State.STAGING, State.PREPARED):
                yield Option(What.TAMPER, frontend)
        yield Option(What.BROKER_EMPTIED)
        yield Option(What.BROKER_UP if self.broker.down else What.BROKER_DOWN)
        for process in self._processes():
            for actor in process.actors:
                if actor.does in WRITES:
                    yield Option(What.UNWRITTEN, actor)
                    yield Option(What.WRITTEN, actor)

    # ── what happens ──

    def take(self, option: Option) -> None:
        """Let it happen. Raises `ViolationError` where a law is broken by it."""
        self.now += MOMENT_SECONDS
        if option.what in FAULTS:
            self.left -= 1
        writes, changes = self.ledger.writes, self.changes
        self._happen(option.what, option.subject)
        if writes != self.ledger.writes or changes != self.changes:
            self.judge.look()

    def _happen(self, what: What, subject: Any) -> None:
        match what:
            case What.RUN | What.SILENCE:
                self.resume(subject)
            case What.WRITTEN | What.UNWRITTEN:
                self.resume(subject, Broken(written=what is What.WRITTEN))
            case What.ARRIVE:
                subject.arrive()
                self.changes += 1
            case What.REPLY:
                subject.reply_arrives()
                self.resume(subject.listener)
            case What.TAKE:
                self.broker.messages.remove(subject)
                self._next_worker().does(*subject)
            case What.LOOK:
                self.now += LOOK_SECONDS
                subject.look()
            case What.FIND:
                subject.find()
            case What.GIVE_UP:
                subject.close()
            case What.LAPSE:
                self.lapsed += 1
                del self.broker.leases[subject]
            case _:
                self._go_wrong(what, subject)

    def _go_wrong(self, what: What, subject: Any) -> None:
        match what:
            case What.CRASH:
                self._crash(subject)
            case What.BREAK:
                subject.cut()
            case What.REPEAT:
                self.opened += 1
                again = Stream(self.opened, subject.frontend)
                again.ask(subject.to_repeat())
                again.close()
                again.sleeps_until = self.now + self.nap
                self.streams.append(again)
            case What.SLEEP:
                subject.sleeps_until = self.now + self.nap
                if isinstance(subject, Process):
                    # It renews nothing.
                    self.broker.forget(subject)
            case What.REBOOT:
                for stream in self.streams:
                    if stream.frontend is subject:
                        stream.cut()
                subject.reboot()
                self.changes += 1
            case What.CUT | What.HEAL:
                subject.cut = what is What.CUT
            case What.STAND_DOWN:
                subject.stand_down()
            case What.TAMPER:
                row = self.ledger.open_deployment(self.fleet.key)
                assert row is not None
                subject.tamper(row.name)
            case What.BROKER_EMPTIED:
                self.broker.empty()
            case _:
                self.broker.down = what is What.BROKER_DOWN

    def resume(self, actor: Actor, said: object = None) -> None:
        """Let it run until it stops again."""
        before, self.running.actor = self.running.actor, actor
        actor.resume(said)
        self.running.actor = before
        if actor.over:
            actor.process.forget_ended()

    def _crash(self, worker: Worker) -> None:
        """It is started again, as its supervisor would."""
        process = worker.process
        for stream in self.streams:
            if self.owners.get(stream.number) is process:
                stream.close()
        process.kill()
        self.broker.forget(process)
        self.start_worker()

    def _next_worker(self) -> Worker:
        alive = [worker for worker in self.workers if worker.process.alive]
        return alive[len(self.broker.messages) % len(alive)]

    # ── for the drivers ──

    def calm(self) -> None:
        """From now on nothing goes wrong, and what was wrong is put right."""
        self.left_at_calm, self.left = self.left, 0
        for stream in self.streams:
            stream.sleeps_until = 0.0
        for process in self._processes():
            process.sleeps_until = 0.0
        self.broker.down = False
        for frontend in self.frontends.values():
            frontend.cut = False

    def operator(self, name: str, act: Callable[[Process], object]) -> None:
        """Somebody at a terminal."""
        process = Process(name, remembers=self.size.compared)
        self.operators.append(process)
        process.begin("commands", partial(act, process))

    def end(self) -> None:
        """Nobody needs it any more."""
        for process in [worker.process for worker in self.workers] + self.operators:
            process.kill()

    @property
    def state(self) -> Hashable:
        """Everything that can make a difference from here on, as a value."""
        return (
            self.ledger.key(),
            tuple(frontend.state for frontend in self.frontends.values()),
            frozenset(self.ready),
            self.broker.state,
            tuple(sorted(hash(stream.state) for stream in self.streams)),
            tuple(tuple(sorted((a.learned, a.does) for a in process.actors)) for process in self._processes()),
            self.left,
        )
