from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from orchestrator.domain.coordination import ATTEMPTS
from orchestrator.domain.deployment import Decision, Outcome, Report, State, Step
from orchestrator.domain.effects import Ask
from orchestrator.domain.errors import ConflictError, UnansweredError, UsageError
from orchestrator.domain.trail import ITSELF
from orchestrator.services.coordinator import Coordinator, Inbox
from tests.protocol.simulation.ledger import MOMENT, MemoryLedger
from tests.protocol.simulation.plans import plan
from tests.unit.coordination.rows import report
from tests.unit.coordination.scripted import ScriptedFleet, WatchedLedger, accepted, failing

#: Longer than any test: whoever waits for it does not come back.
FOREVER = 3600.0
BOUND = 30.0


def planned(ledger: MemoryLedger, count: int = 2, *, hold: bool = False) -> int:
    return ledger.plan(plan(count, hold=hold)).id


# ── asking ──


def test_each_step_is_asked_of_all_at_once_in_the_order_of_the_protocol() -> None:
    ledger, fleet = MemoryLedger(), ScriptedFleet()
    row = Coordinator(ledger, fleet, planned(ledger), inbox=Inbox(FOREVER)).run()
    steps = (Step.STAGE, Step.VERIFY, Step.ARM, Step.ACTIVATE, Step.CONFIRM)
    assert fleet.calls == [[(step, "a", 1), (step, "b", 1)] for step in steps]
    assert row.state is State.DONE


def test_the_word_goes_out_right_after_the_decision() -> None:
    ledger = WatchedLedger()
    fleet = ScriptedFleet(calls=ledger.calls)
    Coordinator(ledger, fleet, planned(ledger, 1), inbox=Inbox(FOREVER)).run()
    decided = ledger.calls.index(Decision.COMMIT)
    assert ledger.calls[decided - 1 : decided + 2] == [[(Step.ARM, "a", 1)], Decision.COMMIT, [(Step.ACTIVATE, "a", 1)]]


def test_answers_may_come_from_any_thread() -> None:
    class Threaded(ScriptedFleet):
        def ask(self, asks: Any, deliver: Any) -> None:
            for ask in asks:
                pool.submit(super().ask, [ask], deliver)

    ledger = MemoryLedger()
    with ThreadPoolExecutor(3) as pool:
        row = Coordinator(ledger, Threaded(), planned(ledger, 3), inbox=Inbox(BOUND)).run()
    assert row.state is State.DONE
    assert len(ledger.reports(row.id)) == 5 * 3


# ── records ──


def test_every_report_is_recorded_once_whoever_records_it() -> None:
    ledger = MemoryLedger()
    number = planned(ledger)

    def answer(ask: Ask) -> Report:
        if ask.step not in (Step.STAGE, Step.VERIFY):
            return accepted(ask)
        # The worker that did it has recorded it.
        ledger.record(number, [accepted(ask)])
        return replace(accepted(ask), at=MOMENT)

    Coordinator(ledger, ScriptedFleet(answer), number, inbox=Inbox(FOREVER)).run()
    recorded = [(report.step, report.frontend, report.attempt) for _, report in ledger.reports(number)]
    steps = (Step.STAGE, Step.VERIFY, Step.ARM, Step.ACTIVATE, Step.CONFIRM)
    assert recorded == [(step, name, 1) for step in steps for name in "ab"]


def test_every_attempt_is_recorded() -> None:
    ledger = MemoryLedger()
    fleet = ScriptedFleet(lambda ask: failing(ask) if ask.step is Step.ACTIVATE else accepted(ask))
    row = Coordinator(ledger, fleet, planned(ledger, 1), inbox=Inbox(FOREVER)).run()
    attempts = [report.attempt for _, report in ledger.reports(row.id) if report.step is Step.ACTIVATE]
    assert attempts == list(range(1, ATTEMPTS + 1))
    assert [(trouble.step, trouble.frontend) for trouble in row.troubles] == [(Step.ACTIVATE, "a")]


def test_an_answer_is_recorded_before_it_leads_on() -> None:
    ledger = MemoryLedger()
    number = planned(ledger, 1)
    known: list[int] = []

    def answer(ask: Ask) -> Report:
        known.append(len(ledger.reports(number)))
        return accepted(ask)

    Coordinator(ledger, ScriptedFleet(answer), number, inbox=Inbox(FOREVER)).run()
    assert known == [0, 1, 2, 3, 4]


def flipping(offsets: Mapping[str, tuple[float, float] | None], flips: Mapping[str, float | None]) -> ScriptedFleet:
    """A fleet of which staging measured these clocks (offset, uncertainty), and which flipped at these times."""

    def answer(ask: Ask) -> Report:
        if ask.step is Step.STAGE:
            offset, uncertainty = offsets.get(ask.frontend) or (None, None)
            return report(ask.frontend, ask.step, detail={"offset": offset, "uncertainty": uncertainty})
        if ask.step is Step.ACTIVATE:
            return report(ask.frontend, ask.step, detail={"at": flips[ask.frontend]})
        return accepted(ask)

    return ScriptedFleet(answer)


@pytest.mark.parametrize(
    ("offsets", "flips", "skew"),
    [
        ({"a": (0.0, 0.1), "b": (0.0, 0.1)}, {"a": 100.0, "b": 100.25}, 0.25),
        ({"a": (5.0, 0.1), "b": (-2.0, 0.1)}, {"a": 105.0, "b": 98.5}, 0.5),
        ({"a": (5.0, 0.1)}, {"a": 105.0, "b": 100.75}, 0.75),
        ({"a": (5.0, 0.1), "b": None}, {"a": 105.0, "b": 100.75}, 0.75),
        ({"a": (0.05, 0.1), "b": (0.0, 0.1)}, {"a": 100.0, "b": 100.5}, 0.5),
        ({"a": (0.0, 0.1), "b": (0.0, 0.1)}, {"a": 100.0, "b": None}, None),
        ({"a": (0.0, 0.1), "b": (0.0, 0.1)}, {"a": None, "b": None}, None),
        ({}, {"a": 100.0, "b": 100.5, "c": None}, None),
    ],
)
def test_the_skew_is_between_the_first_and_the_last_flip_if_all_are_known(
    offsets: Mapping[str, tuple[float, float] | None], flips: Mapping[str, float | None], skew: float | None
) -> None:
    ledger = MemoryLedger()
    row = Coordinator(ledger, flipping(offsets, flips), planned(ledger, len(flips)), inbox=Inbox(FOREVER)).run()
    assert (row.state, row.skew) == (State.DONE, skew)


def test_a_clock_as_it_was_measured_at_the_word_counts_more_than_as_staging_measured_it() -> None:
    ledger = MemoryLedger()

    def answer(ask: Ask) -> Report:
        if ask.step is Step.STAGE:
            return report(ask.frontend, ask.step, detail={"offset": 0.0, "uncertainty": 10.0})
        if ask.step is Step.ACTIVATE:
            at, offset = {"a": (100.0, 0.0), "b": (105.25, 5.0)}[ask.frontend]
            return report(ask.frontend, ask.step, detail={"at": at, "offset": offset, "uncertainty": 0.001})
        return accepted(ask)

    row = Coordinator(ledger, ScriptedFleet(answer), planned(ledger), inbox=Inbox(FOREVER)).run()
    assert (row.state, row.skew) == (State.DONE, 0.25)


def test_a_flip_that_an_earlier_coordinator_heard_of_counts() -> None:
    ledger = MemoryLedger()
    number = planned(ledger)

    def first(ask: Ask) -> Report:
        if ask.step is Step.ACTIVATE and ask.frontend == "b":
            return failing(ask)
        return report(ask.frontend, ask.step, detail={"at": 100.0}) if ask.step is Step.ACTIVATE else accepted(ask)

    Coordinator(ledger, ScriptedFleet(first), number, inbox=Inbox(FOREVER)).run()
    row = Coordinator(ledger, flipping({}, {"a": None, "b": 130.0}), number, inbox=Inbox(FOREVER)).run()
    assert (row.state, row.skew) == (State.DONE, 30.0)


def test_refused_activations_have_no_flip() -> None:
    ledger = MemoryLedger()

    def answer(ask: Ask) -> Report:
        if ask.step is not Step.ACTIVATE:
            return accepted(ask)
        if ask.attempt == 1 and ask.frontend == "b":
            return replace(report(ask.frontend, ask.step, Outcome.REFUSED), detail={"at": 1.0})
        flipped = 100.0 if ask.frontend == "a" else None
        return report(ask.frontend, ask.step, attempt=ask.attempt, detail={"at": flipped})

    row = Coordinator(ledger, ScriptedFleet(answer), planned(ledger), inbox=Inbox(FOREVER)).run()
    assert (row.state, row.skew) == (State.DONE, None)


# ── the end ──


@pytest.mark.parametrize("hold", [False, True])
def test_the_fleet_is_closed_at_rest(hold: bool) -> None:
    ledger, fleet = MemoryLedger(), ScriptedFleet()
    row = Coordinator(ledger, fleet, planned(ledger, hold=hold), inbox=Inbox(FOREVER)).run()
    assert row.state is (State.PREPARED if hold else State.DONE)
    assert fleet.closed == 1


@pytest.mark.parametrize("step", [Step.STAGE, Step.ARM, Step.ACTIVATE])
def test_the_fleet_is_closed_when_asking_fails(step: Step) -> None:
    def answer(ask: Ask) -> Report:
        if ask.step is step:
            raise KeyboardInterrupt
        return accepted(ask)

    ledger, fleet = MemoryLedger(), ScriptedFleet(answer)
    with pytest.raises(KeyboardInterrupt):
        Coordinator(ledger, fleet, planned(ledger), inbox=Inbox(FOREVER)).run()
    assert fleet.closed == 1


class FailingLedger(MemoryLedger):
    """Refuses one kind of write."""

    def __init__(self, error: Exception, write: str) -> None:
        super().__init__()
        self._error = error
        self._write = write

    def move(self, number: int, before: State, after: State) -> tuple[State, bool]:
        self._fail("move")
        return super().move(number, before, after)

    def prepare(self, number: int) -> tuple[State, bool]:
        self._fail("prepare")
        return super().prepare(number)

    def decide(self, number: int, decision: Decision, troubles: Any, *, actor: str = ITSELF) -> Decision | None:
        self._fail("decide")
        return super().decide(number, decision, troubles, actor=actor)

    def record(self, number: int, reports: Iterable[Report]) -> None:
        self._fail("record")
        super().record(number, reports)

    def record_skew(self, number: int, seconds: float) -> None:
        self._fail("record_skew")
        super().record_skew(number, seconds)

    def _fail(self, write: str) -> None:
        if write == self._write:
            raise self._error


@pytest.mark.parametrize("write", ["move", "prepare", "decide", "record", "record_skew"])
@pytest.mark.parametrize("error", [ConflictError("busy"), UnansweredError("no answer")])
def test_the_fleet_is_closed_when_the_ledger_fails_and_the_error_is_told(write: str, error: Exception) -> None:
    ledger, fleet = FailingLedger(error, write), flipping({}, {"a": 1.0, "b": 2.0})
    with pytest.raises(type(error)):
        Coordinator(ledger, fleet, planned(ledger), inbox=Inbox(FOREVER)).run()
    assert fleet.closed == 1


def test_there_must_be_such_a_deployment() -> None:
    with pytest.raises(UsageError):
        Coordinator(MemoryLedger(), ScriptedFleet(), 7)


# ── while nobody answers ──


@pytest.mark.parametrize("silent", [Step.STAGE, Step.VERIFY, Step.ARM])
def test_an_abort_is_noticed_while_nobody_answers(silent: Step) -> None:
    def answer(ask: Ask) -> Report | None:
        if ask.step is silent:
            MemoryLedger.decide(ledger, number, Decision.ABORT, [])
            return None
        return accepted(ask)

    ledger, fleet = MemoryLedger(), ScriptedFleet(answer)
    number = planned(ledger)
    row = Coordinator(ledger, fleet, number, inbox=Inbox(0.001)).run()
    assert (row.state, fleet.calls[-1]) == (State.ABORTED, [(Step.DISARM, "a", 1), (Step.DISARM, "b", 1)])


def test_while_nobody_answers_it_looks_again_and_again() -> None:
    def abort_later(readings: int) -> None:
        if readings == 20:
            MemoryLedger.decide(ledger, 1, Decision.ABORT, [])

    ledger = WatchedLedger(abort_later)
    fleet = ScriptedFleet(lambda ask: accepted(ask) if ask.step is Step.DISARM else None)
    assert Coordinator(ledger, fleet, planned(ledger), inbox=Inbox(0.001)).run().state is State.ABORTED


def test_a_commit_that_is_noticed_twice_says_the_word_once() -> None:
    """After the commit it goes on looking; that what it finds is what it knows changes nothing."""
    enough = threading.Event()

    def at_reading(readings: int) -> None:
        if readings > 10:
            enough.set()

    class Late(ScriptedFleet):
        def ask(self, asks: Any, deliver: Any) -> None:
            if asks[0].step is not Step.ACTIVATE:
                super().ask(asks, deliver)
                return
            self.calls.append("word")
            pool.submit(lambda: enough.wait(BOUND) and [deliver(accepted(ask)) for ask in asks])

    ledger, fleet = WatchedLedger(at_reading), Late()
    with ThreadPoolExecutor(1) as pool:
        row = Coordinator(ledger, fleet, planned(ledger), inbox=Inbox(0.001)).run()
    assert (row.state, fleet.calls.count("word")) == (State.DONE, 1)


def test_it_sleeps_until_somebody_answers() -> None:
    looked_too_soon = threading.Event()
    waiting = threading.Event()

    def at_reading(readings: int) -> None:
        del readings
        if waiting.is_set():
            looked_too_soon.set()

    class Late(ScriptedFleet):
        def ask(self, asks: Any, deliver: Any) -> None:
            def answer() -> None:
                # Whoever does not sleep reads the row again and again in this time.
                looked_too_soon.wait(0.2)
                waiting.clear()
                for ask in asks:
                    deliver(accepted(ask))

            if asks[0].step is not Step.VERIFY:
                super().ask(asks, deliver)
                return
            waiting.set()
            pool.submit(answer)

    ledger = WatchedLedger(at_reading)
    with ThreadPoolExecutor(1) as pool:
        row = Coordinator(ledger, Late(), planned(ledger), inbox=Inbox(BOUND)).run()
    assert row.state is State.DONE
    assert not looked_too_soon.is_set()
