"""The frontends of one deployment: so many are asked at a time, and nothing waits behind who does not answer."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

from orchestrator.domain.deployment import Outcome, Report, Step
from orchestrator.domain.effects import Ask
from orchestrator.domain.errors import UnansweredError
from orchestrator.ports import Dispatch, Leases, Ledger
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.plans import plan
from tests.unit.workers.channels import Answering, Channel, conversation, showing, silent
from tests.unit.workers.jobs import job_of
from workers.crew import Crew
from workers.fleet import SshFleet
from workers.frontend.armed import AT_ONCE, patience
from workers.frontend.commands import Arm
from workers.frontend.conversation import Conversation
from workers.frontend.job import Job
from workers.frontend.steps import Detail, Steps

#: Longer than any test, in seconds.
BOUND = 30.0


class Frontends:
    """As `Steps`, and the session to each frontend. `answering` tells the other end's words; all are confirmed."""

    def __init__(self, names: list[str], answering: Callable[[str], Answering]) -> None:
        job = job_of(5)
        row = job.deployment
        self._prepared = replace(job.prepared, deployment=replace(row, plan=replace(row.plan, frontends=tuple(names))))
        self._frontend = job.frontend
        self._answering = answering
        self.commands: list[Arm] = []
        self.confirming: Callable[[str], object] = lambda _: None
        self.arming: Callable[[str], object] = lambda _: None
        self.busy = self.most = 0
        self._lock = threading.Lock()

    def job(self, name: str) -> Job:
        return Job(self._prepared, self._frontend.model_copy(update={"name": name}))

    def session(self, job: Job, limit: float) -> OneSession:
        return OneSession(self, job.frontend.name)

    def confirm(self, job: Job) -> Detail:
        self.confirming(job.frontend.name)
        return {}

    def activate(self, job: Job) -> Detail:
        raise AssertionError("it is armed")

    def hang_up(self, number: int) -> None:
        """Nothing is kept."""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with self._lock:
            self.busy += 1
            self.most = max(self.most, self.busy)
        yield
        with self._lock:
            self.busy -= 1

    def conversation(self, name: str, command: Arm, limit: float) -> Conversation:
        with self.at_work():
            self.arming(name)
        with self._lock:
            self.commands.append(command)
        return conversation(Channel(self._answering(name), command.armed), limit)


class Failing(MemoryLedger):
    """Tells no reports for a while, once it may fail: it raises these errors, one after the other."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self._errors = list(errors)
        self.fails = False

    def reports(self, number: int, after: int = 0) -> list[tuple[int, Report]]:
        if self.fails and self._errors:
            raise self._errors.pop(0)
        return list(super().reports(number, after))


class OneSession:
    """As `Session`."""

    def __init__(self, frontends: Frontends, name: str) -> None:
        self._frontends = frontends
        self._name = name

    def begin(self, command: Arm, *, limit: float) -> Conversation:
        return self._frontends.conversation(self._name, command, limit)

    def finish(self, command: Arm, spoken: Conversation) -> float | None:
        return command.parse(*spoken.finish())

    def finished(self, spoken: Conversation) -> bool:
        return spoken.over


class Broker:
    """Takes every message, and its memory stays."""

    def step(self, number: int, batch: object) -> None:
        """Taken."""

    def memory(self) -> str:
        return "the same"

    def held(self, names: list[str]) -> frozenset[str]:
        return frozenset(names)


class Asked:
    """A fleet and what it delivers."""

    def __init__(self, frontends: Frontends, ledger: MemoryLedger | None = None) -> None:
        broker = Broker()
        self.ledger = ledger or MemoryLedger()
        self.number = self.ledger.plan(plan(2)).id
        self.fleet = SshFleet(
            self.number,
            frontends.job,
            cast("Steps", frontends),
            cast("Ledger", self.ledger),
            cast("Dispatch", broker),
            cast("Leases", broker),
            Crew(lambda _number, _ask: {}, 1),
        )
        self._delivered: queue.SimpleQueue[Report] = queue.SimpleQueue()

    def ask(self, step: Step, names: list[str], attempt: int = 1) -> None:
        self.fleet.ask([Ask(step, name, attempt) for name in names], self._delivered.put)

    def hear(self, count: int) -> list[Report]:
        return [self._delivered.get(timeout=BOUND) for _ in range(count)]

    @property
    def heard_all(self) -> bool:
        return self._delivered.empty()


@contextmanager
def asked(frontends: Frontends, ledger: MemoryLedger | None = None) -> Iterator[Asked]:
    made = Asked(frontends, ledger)
    try:
        yield made
    finally:
        made.fleet.close()


def threads_of(fleet: Asked) -> int:
    """How many work for this deployment."""
    return sum(thread.name.startswith(f"deployment-{fleet.number}") for thread in threading.enumerate())


def numbered(count: int) -> list[str]:
    return [f"fe{number}" for number in range(count)]


def test_so_many_are_armed_at_a_time_and_each_waits_for_the_last() -> None:
    names = numbered(3 * AT_ONCE + 1)
    frontends = Frontends(names, lambda _: showing(0))
    full = threading.Event()

    def arming(_name: str) -> None:
        if frontends.busy >= AT_ONCE:
            full.set()
        assert full.wait(BOUND)

    frontends.arming = arming
    with asked(frontends) as fleet:
        fleet.ask(Step.ARM, names)
        reports = fleet.hear(len(names))
        assert {report.outcome for report in reports} == {Outcome.ACCEPTED}
        assert sorted(report.frontend for report in reports) == sorted(names)
        assert frontends.most == AT_ONCE == threads_of(fleet)
        assert {command.limit for command in frontends.commands} == {patience(10, len(names))}
        # And all of them hear the word.
        fleet.ask(Step.ACTIVATE, names)
        assert {report.detail["at"] for report in fleet.hear(len(names))} == {12.5}
        assert fleet.heard_all


def test_who_never_answers_the_word_holds_back_no_other() -> None:
    never, others = numbered(2 * AT_ONCE), ["one", "two"]
    frontends = Frontends([*never, *others], lambda name: showing(0) if name in others else silent)
    with asked(frontends) as fleet:
        fleet.ask(Step.ARM, [*never, *others])
        fleet.hear(len(never) + 2)
        fleet.ask(Step.ACTIVATE, [*never, *others])
        answers = fleet.hear(2)
        assert {report.frontend for report in answers} == set(others)
        assert {report.outcome for report in answers} == {Outcome.ACCEPTED}
        assert fleet.heard_all


def test_who_is_asked_again_later_takes_nobodys_turn() -> None:
    frontends = Frontends(["one"], lambda _: silent)
    with asked(frontends) as fleet:
        fleet.ask(Step.CONFIRM, numbered(2 * AT_ONCE), attempt=1 + int(2 * BOUND))
        fleet.ask(Step.CONFIRM, ["one"])
        assert fleet.hear(1) == [Report("one", Step.CONFIRM, 1, Outcome.ACCEPTED)]
        assert fleet.heard_all


def test_the_reports_of_other_workers_wait_for_nobodys_turn() -> None:
    frontends = Frontends(["a"], lambda _: silent)
    go_on = threading.Event()
    frontends.confirming = lambda _: bool(go_on.wait(BOUND))
    with asked(frontends) as fleet:
        fleet.ask(Step.CONFIRM, numbered(2 * AT_ONCE))
        fleet.ask(Step.STAGE, ["a"])
        fleet.ledger.record(fleet.number, [Report("a", Step.STAGE, 1, Outcome.ACCEPTED)])
        assert [(report.frontend, report.step) for report in fleet.hear(1)] == [("a", Step.STAGE)]
        go_on.set()
        fleet.hear(2 * AT_ONCE)


def test_a_ledger_that_fails_is_asked_again() -> None:
    ledger = Failing(*[UnansweredError("the ledger does not answer") for _ in range(3)])
    with asked(Frontends(["a"], lambda _: silent), ledger) as fleet:
        fleet.ask(Step.STAGE, ["a"])
        ledger.fails = True
        ledger.record(fleet.number, [Report("a", Step.STAGE, 1, Outcome.ACCEPTED)])
        assert [report.outcome for report in fleet.hear(1)] == [Outcome.ACCEPTED]


def test_where_waiting_itself_fails_all_who_are_left_are_unknown() -> None:
    ledger = Failing(RuntimeError("a fault"))
    with asked(Frontends(["a", "b"], lambda _: silent), ledger) as fleet:
        fleet.ask(Step.STAGE, ["a", "b"])
        ledger.fails = True
        reports = fleet.hear(2)
        assert {report.frontend for report in reports} == {"a", "b"}
        assert {report.outcome for report in reports} == {Outcome.UNKNOWN}
        assert {report.problem["what"] for report in reports} == {"an unexpected error"}
        assert fleet.heard_all
