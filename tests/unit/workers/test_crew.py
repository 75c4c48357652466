"""The crew: so many at once whatever the batches, reports in groups, and no report held back by a slow frontend."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.domain.deployment import Decision, Outcome, Report, Step
from orchestrator.domain.effects import Ask
from orchestrator.domain.errors import UnansweredError
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.plans import plan
from workers.crew import Crew
from workers.frontend.steps import Detail

#: Longer than any test, in seconds.
BOUND = 30.0


def asks(*names: str) -> list[Ask]:
    return [Ask(Step.STAGE, name, 1) for name in names]


class Written(MemoryLedger):
    """Keeps the groups in which reports come, fails so often first, and says when somebody's is there."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.groups: list[int] = []
        self.failures = failures
        self.heard: dict[str, threading.Event] = {}

    def record(self, number: int, reports: Iterable[Report]) -> None:
        group = list(reports)
        if self.failures:
            self.failures -= 1
            raise UnansweredError("the ledger does not answer")
        super().record(number, group)
        self.groups.append(len(group))
        for report in group:
            self.heard.setdefault(report.frontend, threading.Event()).set()

    def names(self, number: int) -> list[str]:
        return sorted(report.frontend for _, report in self.reports(number))


def opened(ledger: MemoryLedger) -> int:
    return ledger.plan(plan(2)).id


def test_each_step_is_done_and_reported_once() -> None:
    ledger = Written()
    number = opened(ledger)

    def do(of: int, ask: Ask) -> Detail:
        if ask.frontend == "b":
            raise UnansweredError("not reached")
        return {"of": of}

    Crew(do).work(number, asks("a", "b", "c"), ledger)
    found = {report.frontend: report for _, report in ledger.reports(number)}
    assert {name: report.outcome for name, report in found.items()} == {
        "a": Outcome.ACCEPTED,
        "b": Outcome.UNKNOWN,
        "c": Outcome.ACCEPTED,
    }
    assert found["a"].detail == {"of": number}


def test_a_slow_frontend_holds_back_nobody_s_report() -> None:
    ledger = Written()
    number = opened(ledger)
    for name in "bc":
        ledger.heard[name] = threading.Event()

    def do(of: int, ask: Ask) -> Detail:
        del of
        return {"others": ask.frontend != "a" or all(ledger.heard[name].wait(BOUND) for name in "bc")}

    Crew(do).work(number, asks("a", "b", "c"), ledger)
    assert all(report.detail["others"] for _, report in ledger.reports(number))
    assert ledger.names(number) == ["a", "b", "c"]


def test_what_is_there_at_a_time_is_one_write() -> None:
    class Slow(Written):
        def record(self, number: int, reports: Iterable[Report]) -> None:
            super().record(number, reports)
            # While this is written, all others come in.
            assert done.acquire(timeout=BOUND)

    ledger, done, ended = Slow(), threading.Semaphore(0), threading.Barrier(9)

    def do(of: int, ask: Ask) -> Detail:
        del of
        if ask.frontend != "first":
            ledger.heard["first"].wait(BOUND)
        return {}

    def deliver_last() -> None:
        ended.wait(BOUND)
        done.release(9)

    class Told(Crew):
        def _step(self, number: int, ask: Ask, deliver: object) -> None:
            super()._step(number, ask, deliver)  # type: ignore[arg-type]
            if ask.frontend != "first":
                ended.wait(BOUND)

    ledger.heard["first"] = threading.Event()
    number = opened(ledger)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(deliver_last)
        Told(do).work(number, asks("first", *"abcdefgh"), ledger)
    assert ledger.groups == [1, 8]


def test_all_batches_share_its_threads() -> None:
    ledger, lock, at_once, most = Written(), threading.Lock(), 0, 0
    number = opened(ledger)
    full = threading.Event()

    def do(of: int, ask: Ask) -> Detail:
        nonlocal at_once, most
        del of, ask
        with lock:
            at_once += 1
            most = max(most, at_once)
            if at_once == 3:
                full.set()
        assert full.wait(BOUND)
        with lock:
            at_once -= 1
        return {}

    crew = Crew(do, at_once=3)
    delivered: list[Report] = []
    begun = [each for name in "abcd" for each in crew.begin(number, asks(f"{name}1", f"{name}2"), delivered.append)]
    for each in begun:
        each.result(BOUND)
    assert (len(delivered), most) == (8, 3)


def test_what_has_not_begun_when_it_is_decided_is_left() -> None:
    ledger = Written()
    number = opened(ledger)
    done: list[str] = []

    def do(of: int, ask: Ask) -> Detail:
        done.append(ask.frontend)
        if ask.frontend == "a":
            ledger.decide(of, Decision.ABORT, [])
        else:
            # One thread: the others wait behind this one until the report of the first is written.
            ledger.heard["a"].wait(BOUND)
        return {}

    ledger.heard["a"] = threading.Event()
    Crew(do, at_once=1).work(number, asks("a", *(f"b{count}" for count in range(1000))), ledger)
    assert ledger.names(number) == sorted(done)
    assert len(done) < 1000


def test_a_write_that_fails_is_made_again_with_the_next_reports() -> None:
    first = threading.Event()

    class Failing(Written):
        def record(self, number: int, reports: Iterable[Report]) -> None:
            first.set()
            super().record(number, reports)

    failing = Failing(failures=1)
    number = opened(failing)

    def do(of: int, ask: Ask) -> Detail:
        del of
        return {"waited": ask.frontend == "b" and first.wait(BOUND)}

    Crew(do).work(number, asks("a", "b"), failing)
    assert failing.names(number) == ["a", "b"]


def test_the_last_write_that_fails_is_told() -> None:
    ledger = Written(failures=2)
    number = opened(ledger)
    with pytest.raises(UnansweredError):
        Crew(lambda of, ask: {}, at_once=1).work(number, asks("a"), ledger)
