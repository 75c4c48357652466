"""Several coordinators of one deployment, operators who abort at any moment, and decisions that somebody else wrote.

The explorer interleaves them at every point: each write to the ledger and each message is a step of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count as counting

import pytest

from orchestrator.domain.deployment import Decision, Deployment, Report, State, Step, Trouble
from orchestrator.domain.effects import Ask
from orchestrator.domain.errors import UnansweredError
from orchestrator.domain.trail import ITSELF
from tests.protocol.endings import ABORTED, DONE, UNCONFIRMED, UNFLIPPED, ends, well_ended
from tests.protocol.fleets import Site
from tests.protocol.simulation.explorer import explore
from tests.protocol.simulation.fleet import Fate
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.scenario import LOSSES, UNANSWERED, Scenario, What

#: A coordinator died, and nobody took over yet.
DESERTED = {(state, None) for state in (State.STAGING, State.VERIFYING, State.ARMING)}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_second_coordinator_that_starts_at_any_moment_changes_nothing(count: int) -> None:
    found = explore(Scenario(count, coordinators=2), check=well_ended)
    assert ends(found) == {DONE}


def test_three_coordinators_change_nothing() -> None:
    found = explore(Scenario(2, coordinators=3), check=well_ended)
    assert ends(found) == {DONE}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_an_abort_at_any_moment_ends_all_new_or_all_old(count: int) -> None:
    found = explore(Scenario(count, aborts=1), check=well_ended)
    assert ends(found) == {DONE, ABORTED}


@pytest.mark.parametrize("kind", [What.LOSE, What.GIVE_UP])
def test_an_abort_at_any_moment_and_one_loss_end_all_new_or_all_old(kind: What) -> None:
    found = explore(Scenario(2, aborts=1, faults=1, kinds=frozenset({kind})), check=well_ended)
    assert ends(found) == {DONE, ABORTED}


def test_an_abort_two_coordinators_and_one_loss_end_all_new_or_all_old() -> None:
    found = explore(Scenario(1, coordinators=2, aborts=1, faults=1, kinds=frozenset({What.LOSE})), check=well_ended)
    assert ends(found) == {DONE, ABORTED}


def test_two_coordinators_and_one_loss_or_refusal() -> None:
    kinds = LOSSES | {What.REFUSE, What.STAND_DOWN}
    found = explore(Scenario(2, coordinators=2, faults=1, kinds=kinds), check=well_ended)
    assert ends(found) == {DONE, ABORTED}


def test_two_coordinators_that_both_retry_a_frontend() -> None:
    found = explore(Scenario(2, coordinators=2, faults=2, kinds=frozenset({What.REFUSE})), check=well_ended)
    assert ends(found) == {DONE, ABORTED, UNFLIPPED, UNCONFIRMED}


def test_whoever_takes_over_from_a_dead_coordinator_does_what_the_row_says() -> None:
    found = explore(Scenario(2, coordinators=2, faults=1, kinds=frozenset({What.CRASH})), check=well_ended)
    assert ends(found) == {DONE, UNFLIPPED, UNCONFIRMED} | DESERTED


def test_whoever_takes_over_from_a_dead_coordinator_disarms_where_the_row_says_abort() -> None:
    found = explore(Scenario(2, aborts=1, faults=1, kinds=frozenset({What.CRASH})), check=well_ended)
    assert ABORTED in ends(found)
    assert ends(found) <= {DONE, ABORTED, UNFLIPPED, UNCONFIRMED} | DESERTED


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_decision_that_nobody_knows_of_is_carried_out_by_the_next_coordinator(count: int) -> None:
    found = explore(Scenario(count, coordinators=2, faults=1, kinds=UNANSWERED), check=well_ended)
    assert ends(found) == {DONE, UNFLIPPED, (State.ARMING, None)}


# ── the same through the service ──


class UnansweringLedger(MemoryLedger):
    """Does not say whether it wrote the first decision to commit."""

    def __init__(self, written: bool) -> None:
        super().__init__()
        self.written = written
        self.answers = False

    def decide(
        self, number: int, decision: Decision, troubles: Sequence[Trouble], *, actor: str = ITSELF
    ) -> Decision | None:
        """Raises once."""
        if self.answers:
            return super().decide(number, decision, troubles, actor=actor)
        self.answers = True
        if self.written:
            super().decide(number, decision, troubles, actor=actor)
        raise UnansweredError("the ledger did not say whether it wrote")


@pytest.mark.parametrize("written", [True, False])
def test_without_an_answer_to_its_decision_a_coordinator_says_no_word_and_disarms_nobody(written: bool) -> None:
    ledger = UnansweringLedger(written)
    site = Site(ledger, 2)
    site.plan()
    with pytest.raises(UnansweredError):
        site.coordinate()
    assert not site.asked(lambda ask: ask.step in (Step.ACTIVATE, Step.DISARM))
    assert not any(frontend.armed for frontend in site.frontends.values())
    assert site.serving == {0}
    row = site.coordinate()
    if written:
        assert (row.state, site.serving) == (State.DONE, {1})
        return
    assert (row.state, row.decision) == (State.ARMING, None)
    ledger.decide(row.id, Decision.ABORT, [])
    assert (site.coordinate().state, site.serving) == (State.ABORTED, {0})


class InterruptedLedger(MemoryLedger):
    """Lets somebody else do something before the call of the service that is numbered `moment`."""

    def __init__(self, moment: int, act: Callable[[MemoryLedger], object]) -> None:
        super().__init__()
        self._moment = moment
        self._act = act
        self.calls = 0

    def deployment(self, number: int) -> Deployment | None:
        """A reading."""
        self._before()
        return super().deployment(number)

    def decision(self, number: int) -> Decision | None:
        """A reading."""
        self._before()
        return super().decision(number)

    def move(self, number: int, before: State, after: State) -> tuple[State, bool]:
        """A move."""
        self._before()
        return super().move(number, before, after)

    def prepare(self, number: int) -> tuple[State, bool]:
        """A move."""
        self._before()
        return super().prepare(number)

    def decide(
        self, number: int, decision: Decision, troubles: Sequence[Trouble], *, actor: str = ITSELF
    ) -> Decision | None:
        """The decision."""
        self._before()
        return super().decide(number, decision, troubles, actor=actor)

    def reports(self, number: int, after: int = 0) -> list[tuple[int, Report]]:
        """A reading."""
        self._before()
        return super().reports(number, after)

    def _before(self) -> None:
        self.calls += 1
        if self.calls == self._moment:
            self._act(self)


def operator_aborts(ledger: MemoryLedger) -> None:
    trouble = Trouble("abort", "", {"what": "an operator aborted it"})
    MemoryLedger.decide(ledger, 1, Decision.ABORT, [trouble])


@pytest.mark.parametrize("failure", [None, Step.STAGE, Step.VERIFY, Step.ARM])
def test_an_abort_before_any_call_of_the_service_is_obeyed_or_refused(failure: Step | None) -> None:
    outcomes = set()
    for moment in counting(2):
        ledger = InterruptedLedger(moment, operator_aborts)
        site = Site(ledger, 2)
        site.plan()
        row = site.coordinate(lambda ask: Fate.REFUSED if ask.step is failure and ask.frontend == "b" else Fate.OBEYED)
        assert row.state.ended
        assert site.serving == ({1} if row.decision is Decision.COMMIT else {0})
        for frontend in site.frontends.values():
            assert not frontend.armed
        outcomes.add((row.state, row.troubles[0].step if row.troubles else ""))
        if ledger.calls < moment:
            break
    given = (State.ABORTED, failure) if failure else (State.DONE, "")
    assert outcomes == {(State.ABORTED, "abort"), given}


def test_an_abort_before_any_asking_is_obeyed_or_refused() -> None:
    outcomes = set()
    for moment in counting(1):
        ledger = MemoryLedger()
        site = Site(ledger, 2)
        site.plan()
        calls = counting(1)

        def fate(ask: Ask, calls: counting[int] = calls, ledger: MemoryLedger = ledger, moment: int = moment) -> Fate:
            del ask
            if next(calls) == moment:
                operator_aborts(ledger)
            return Fate.OBEYED

        row = site.coordinate(fate)
        assert row.state.ended
        assert site.serving == ({1} if row.decision is Decision.COMMIT else {0})
        outcomes.add(row.state)
        if next(calls) <= moment:
            break
    assert outcomes == {State.ABORTED, State.DONE}
