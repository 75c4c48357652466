"""What was handed out: who still lacks a report, and what is lost and handed out again."""

from __future__ import annotations

import pytest

from orchestrator.domain.batch import batches
from orchestrator.domain.deployment import Outcome, Report, Step
from orchestrator.domain.effects import Ask
from workers.handouts import GRACE_SECONDS, HANDOUTS, WAIT_SECONDS, Handouts

#: Between two looks at the broker, in seconds.
LOOK = GRACE_SECONDS + 0.1


def report(frontend: str, attempt: int = 1) -> Report:
    return Report(frontend, Step.STAGE, attempt, Outcome.ACCEPTED)


@pytest.fixture
def handouts() -> Handouts:
    """Two batches of two frontends."""
    made = batches([Ask(Step.STAGE, name, 1) for name in ("a", "b", "c", "d", "e")])
    return Handouts(7, made, 0.0)


def again(handouts: Handouts, now: float) -> list[tuple[str, ...]]:
    return [batch.frontends for batch in handouts.again(now)]


def test_each_report_is_heard_once_and_no_other(handouts: Handouts) -> None:
    assert [handouts.heard(each) for each in (report("a"), report("a"), report("b", 2), report("x"))] == [
        True,
        False,
        False,
        False,
    ]
    assert [ask.frontend for ask in handouts.left] == ["b", "c", "d", "e"]
    assert len(handouts.leases) == 3
    assert handouts.heard(report("b"))
    assert len(handouts.leases) == 2


def test_a_batch_whose_worker_is_gone_is_handed_out_again_with_those_who_lack_a_report(handouts: Handouts) -> None:
    first, second, third = handouts.leases
    handouts.look({first, second, third}, 1.0, forgotten=False)
    handouts.heard(report("a"))
    handouts.look({second, third}, 2.0, forgotten=False)
    # It may just be late with its lease.
    assert again(handouts, 2.0) == []
    handouts.look({second, third}, 2.0 + LOOK, forgotten=False)
    assert again(handouts, 2.0 + LOOK) == [("b",)]
    # Once: somebody has to take it first.
    handouts.look({second, third}, 2.0 + 2 * LOOK, forgotten=False)
    assert again(handouts, 2.0 + 2 * LOOK) == []
    assert handouts.leases == [first, second, third]


def test_one_that_took_its_lease_anew_in_time_goes_on(handouts: Handouts) -> None:
    leases = handouts.leases
    handouts.look(leases, 1.0, forgotten=False)
    handouts.look([], 2.0, forgotten=True)
    handouts.look(leases, 2.0 + LOOK, forgotten=False)
    assert again(handouts, 2.0 + LOOK) == []


def test_one_that_reported_all_and_let_go_is_not_handed_out_again(handouts: Handouts) -> None:
    handouts.look(handouts.leases, 1.0, forgotten=False)
    for now in (2.0, 2.0 + LOOK):
        handouts.look([], now, forgotten=False)
    for name in "abcde":
        assert handouts.heard(report(name))
    assert (handouts.left, handouts.leases, again(handouts, 9.0)) == ([], [], [])


def test_what_the_broker_forgot_is_handed_out_again_though_nobody_began(handouts: Handouts) -> None:
    handouts.look([], 1.0, forgotten=True)
    handouts.look([], 1.0 + LOOK, forgotten=False)
    assert again(handouts, 1.0 + LOOK) == [("a", "b"), ("c", "d"), ("e",)]


def test_a_message_that_nobody_takes_is_sent_again_after_a_while_and_not_for_ever(handouts: Handouts) -> None:
    sent, now = 0, 0.0
    while now < 10 * WAIT_SECONDS:
        now += LOOK
        handouts.look([], now, forgotten=False)
        sent += len(again(handouts, now)) > 0
        assert sent or now < WAIT_SECONDS + 2 * LOOK
    assert sent == HANDOUTS - 1
