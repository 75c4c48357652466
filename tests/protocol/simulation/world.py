"""One ledger, one fleet, coordinators, and the messages between them; what happens next is chosen from outside.

Nothing happens by itself, and there is no clock: `World.choices` are the things that can happen next, `World.take` lets
one of them happen and then holds the laws against what stands. A driver may choose by a list, by a seed, or take all.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

from orchestrator.domain.deployment import UNDECIDED, Decision, Deployment, Outcome, State, Step, Trouble
from orchestrator.domain.effects import Ask, Decide, Decided, Heard
from orchestrator.ports import Deployments
from tests.protocol.simulation.frontend import Answer, SimulatedFrontend, refused, silence
from tests.protocol.simulation.laws import ALL, judge, observe
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.messages import EndOfFile, Message, Reply, Request, Word, execute, told_to_flip
from tests.protocol.simulation.plans import FLEET, names, plan
from tests.protocol.simulation.process import Process
from tests.protocol.simulation.scenario import FAULTS, LOSSES, Scenario, What

TOO_LATE = silence("no answer in time")


@dataclass(frozen=True, slots=True)
class Choice:
    """Something that can happen next, and to whom: a message, a process's or a frontend's name, an asking of one's."""

    what: What
    subject: Message | tuple[str, Ask] | str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.subject}"


class World:
    """See the module. Its parts are open to whoever wants to look at them."""

    def __init__(self, scenario: Scenario, ledger: Deployments) -> None:
        self.scenario = scenario
        self.ledger = ledger
        self.frontends = {name: scenario.frontend(name) for name in names(scenario.frontends)}
        self.processes: dict[str, Process] = {}
        #: In the order in which they were sent. The network has no order of its own.
        self.messages: dict[Message, None] = {}
        #: How often each thing may still happen; faults together.
        self.left = {
            What.PLAN: scenario.deployments,
            What.START: scenario.coordinators,
            What.CONTINUE: scenario.continues,
            What.ABORT: scenario.aborts,
            What.LOSE: scenario.faults,
        }
        self._seen = observe(ledger, self.frontends)
        self.take(Choice(What.PLAN))

    @property
    def row(self) -> Deployment:
        """The newest deployment."""
        return self.ledger.history(FLEET, 1)[0]

    # ── what can happen ──

    def choices(self) -> list[Choice]:
        """What can happen next; empty where the world has come to its end.

        Not everything: of two things that make no difference to each other, one is made to wait for the other.
        """
        return [choice for choice in self._possible() if self._allowed(choice.what)]

    def _allowed(self, what: What) -> bool:
        if what in FAULTS:
            return self.left[What.LOSE] > 0 and what in self.scenario.kinds
        return self.left.get(what, 1) > 0

    def _possible(self) -> Iterator[Choice]:
        first = next((message for message in self.messages if self._at_once(message)), None)
        if first is not None:
            yield Choice(What.DELIVER, first)
            yield Choice(What.LOSE, first)
            return
        yield from self._in_the_ledger()
        # Frontends don't read the ledger, and what an answer leads to could as well have been written later: messages
        # wait for writes. But what a process writes first follows from a row that it read before.
        if any(process.todo and process.started for process in self.processes.values()):
            return
        for message in self.messages:
            yield from self._with_message(message)
        for process in self.processes.values():
            if not process.over and not process.todo:
                yield from self._in_process(process)
        for frontend in self.frontends.values():
            yield from self._on_frontend(frontend)

    def _at_once(self, message: Message) -> bool:
        """Whether it makes no difference to anything else when this message arrives."""
        if isinstance(message, EndOfFile):
            # It does to the word, and comes after it if there is one.
            return not any(isinstance(other, Word) and other.frontend == message.frontend for other in self.messages)
        if not isinstance(message, Reply):
            return False
        process = self.processes[message.process]
        # Only the last answer to a step leads on, and any may get lost while something can.
        more = message.ask in process.awaited and len(process.awaited) > 1 and not process.todo
        return process.over or (more and not (self.left[What.LOSE] and self.scenario.kinds & LOSSES))

    def _in_the_ledger(self) -> Iterator[Choice]:
        for process in self.processes.values():
            if process.todo:
                yield Choice(What.WRITE, process.name)
                if isinstance(process.todo[0], Decide):
                    yield Choice(What.WRITTEN_UNANSWERED, process.name)
                    yield Choice(What.UNWRITTEN_UNANSWERED, process.name)
            if not process.over:
                yield Choice(What.CRASH, process.name)
        row = self.row
        if row.state.ended:
            yield Choice(What.PLAN)
            return
        yield Choice(What.START)
        if row.state is State.PREPARED:
            yield Choice(What.CONTINUE)
        if row.decision is None:
            yield Choice(What.ABORT)

    def _with_message(self, message: Message) -> Iterator[Choice]:
        # A process hears nothing before it has written what it has to.
        if isinstance(message, EndOfFile) or not self.processes[message.process].todo:
            yield Choice(What.DELIVER, message)
            yield Choice(What.LOSE, message)
            if isinstance(message, Reply):
                yield Choice(What.ECHO, message)
        if isinstance(message, Request | Word):
            yield Choice(What.REPEAT, message)
            yield Choice(What.REFUSE, message)

    def _in_process(self, process: Process) -> Iterator[Choice]:
        for ask in sorted(process.awaited, key=lambda ask: ask.frontend):
            yield Choice(What.GIVE_UP, (process.name, ask))
        if process.machine.state in UNDECIDED and self._decision(process) is not None:
            yield Choice(What.LOOK, process.name)

    def _on_frontend(self, frontend: SimulatedFrontend) -> Iterator[Choice]:
        row = self.row
        if frontend.armed:
            yield Choice(What.STAND_DOWN, frontend.name)
        # Between a verify and the commit nobody could tell.
        if row.state in (State.STAGING, State.PREPARED) and frontend.whole(row.name):
            yield Choice(What.TAMPER, frontend.name)

    # ── what happens ──

    def take(self, choice: Choice) -> None:
        """Let it happen. Raises `ViolationError` where a law is broken by it."""
        if choice.what in self.left:
            self.left[choice.what] -= 1
        elif choice.what in FAULTS:
            self.left[What.LOSE] -= 1
        for message in self._happen(choice.what, choice.subject):
            self.messages[message] = None
        words = {name for message in self.messages if (name := told_to_flip(message)) is not None}
        self._seen = judge(self._seen, self.ledger, self.frontends, words)

    def _happen(self, what: What, subject: Message | tuple[str, Ask] | str) -> Iterable[Message]:
        if isinstance(subject, tuple):
            name, ask = subject
            return self._hear(name, ask, TOO_LATE)
        if not isinstance(subject, str):
            return self._to_message(what, subject)
        if subject in self.processes:
            return self._to_process(what, self._process(subject))
        if subject in self.frontends:
            self._to_frontend(what, self._frontend(subject))
            return ()
        return self._to_fleet(what)

    def _to_message(self, what: What, message: Message) -> Iterable[Message]:
        if what not in (What.REPEAT, What.ECHO):
            del self.messages[message]
        if isinstance(message, EndOfFile):
            if what is not What.LOSE:
                self._frontend(message.frontend).end_of_file(message.name)
            return ()
        if what is What.LOSE:
            # Whoever still waits for what this message is, or leads to, waits in vain.
            waits = message.ask in self.processes[message.process].awaited
            return self._hear(message.process, message.ask, TOO_LATE) if waits else ()
        if isinstance(message, Reply):
            return self._reply(message)
        if what is What.REFUSE:
            answer = refused("no")
        else:
            answer = execute(self._frontend(message.frontend), self._row_of(message.name).activation, message)
        return [Reply(message.process, message.name, message.ask, answer)]

    def _reply(self, message: Reply) -> Iterable[Message]:
        process, ask = self._process(message.process), message.ask
        sent: list[Message] = []
        if ask.step is Step.ARM and message.answer.outcome is Outcome.ACCEPTED:
            if ask in process.awaited:
                process.channels |= {ask.frontend}
            else:
                # Armed after its time was over: nobody will say the word.
                sent.append(EndOfFile(ask.frontend, message.name))
        return [*sent, *self._hear(message.process, ask, message.answer)]

    def _hear(self, name: str, ask: Ask, answer: Answer) -> Iterable[Message]:
        process = self._process(name)
        process.awaited -= {ask}
        return process.hear(Heard(answer.report(ask)))

    def _to_process(self, what: What, process: Process) -> Iterable[Message]:
        match what:
            case What.WRITE:
                return process.write(self.ledger)
            case What.LOOK:
                return process.hear(Decided(self._decision(process)))
            case What.WRITTEN_UNANSWERED if isinstance(effect := process.todo[0], Decide):
                self.ledger.decide(process.number, effect.decision, effect.troubles)
        # Its process ended, or the ledger's error ends it.
        return process.die()

    def _to_frontend(self, what: What, frontend: SimulatedFrontend) -> None:
        if what is What.TAMPER:
            frontend.tamper(self.row.name)
        else:
            frontend.stand_down()

    def _to_fleet(self, what: What) -> Iterable[Message]:
        match what:
            case What.PLAN:
                self.ledger.plan(plan(self.scenario.frontends, hold=self.scenario.hold))
                # The first deployment's coordinators are the scenario's.
                if self.processes:
                    self.left[What.START] += 1
            case What.CONTINUE:
                self.ledger.release_hold(self.row.id)
                self.left[What.START] += 1
            case What.ABORT:
                trouble = Trouble("abort", "", {"what": "an operator aborted it"})
                if self.ledger.decide(self.row.id, Decision.ABORT, [trouble]) is Decision.ABORT:
                    self.left[What.START] += 1
            case What.START:
                row = self.row
                machine = self.scenario.machine(row, attempts=self.scenario.attempts)
                process = Process(f"coordinator {len(self.processes) + 1}", row, machine)
                self.processes[process.name] = process
                return process.start()
        return ()

    # ── below ──

    def _process(self, name: str) -> Process:
        """A process about to change. Worlds that were forked share what has not changed since."""
        self.processes[name] = self.processes[name].fork()
        return self.processes[name]

    def _frontend(self, name: str) -> SimulatedFrontend:
        """A frontend about to change."""
        self.frontends[name] = self.frontends[name].fork()
        return self.frontends[name]

    def _decision(self, process: Process) -> Decision | None:
        row = self.ledger.deployment(process.number)
        return None if row is None else row.decision

    def _row_of(self, name: object) -> Deployment:
        return next(row for row in self.ledger.history(FLEET, ALL) if row.name == name)

    # ── for the explorer ──

    def fork(self) -> World:
        """A copy that goes its own way. Only of a world whose ledger is in memory."""
        if not isinstance(self.ledger, MemoryLedger):
            raise TypeError("a database can't be forked")
        twin = copy.copy(self)
        twin.ledger = self.ledger.fork()
        twin.frontends = dict(self.frontends)
        twin.processes = dict(self.processes)
        twin.messages = dict(self.messages)
        twin.left = dict(self.left)
        return twin

    def key(self) -> Hashable:
        """Everything that can make a difference from here on, as a value. Frontends differ in nothing but their names,
        so worlds that would be equal under other names have the same key.
        """
        processes = [process.key for process in self.processes.values()]
        parts = Counter(
            (
                frontend.key,
                tuple(parts[name] for _, parts in processes),
                frozenset(message.key for message in self.messages if message.frontend == name),
            )
            for name, frontend in self.frontends.items()
        )
        return (
            self.ledger.key() if isinstance(self.ledger, MemoryLedger) else None,
            tuple(common for common, _ in processes),
            tuple(self.left.values()),
            frozenset(parts.items()),
        )
