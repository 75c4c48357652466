"""The ledger's outbox on both databases: what is made out, claimed and settled, and by whom where several try."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import Engine

from orchestrator.adapters.ledger.deliveries import SqlDeliveries
from orchestrator.adapters.ledger.trail import SqlTrail
from orchestrator.domain.delivery import Answer, Delivered, Delivery, following_attempt
from orchestrator.domain.errors import LockstepError
from orchestrator.domain.trail import Action
from tests.integration.ledgers import Callers, Ticks

LONG_NAME = "webhook/" + "x" * 63
DAYS = timedelta(days=3)


@pytest.fixture
def clock() -> Ticks:
    return Ticks()


@pytest.fixture
def trail(ledger_engine: Engine, clock: Ticks) -> SqlTrail:
    trail = SqlTrail(ledger_engine, clock)
    for number in range(1, 5):
        trail.add(Action("deployment.done", "ada", "Production/web", number, {"n": number}))
    return trail


@pytest.fixture
def deliveries(ledger_engine: Engine, clock: Ticks) -> SqlDeliveries:
    return SqlDeliveries(ledger_engine, clock)


def made_out(deliveries: SqlDeliveries, *entries: int) -> Delivery:
    """The first of the entries' deliveries."""
    deliveries.begin(LONG_NAME)
    position = deliveries.positions()[LONG_NAME].position
    assert deliveries.make_out(LONG_NAME, position, 4, entries, DAYS)
    first = deliveries.first(LONG_NAME)
    assert first is not None
    return first


def test_a_receiver_begins_at_the_end_of_the_trail_and_stays_there(deliveries: SqlDeliveries, trail: SqlTrail) -> None:
    assert deliveries.positions() == {}
    deliveries.begin(LONG_NAME)
    trail.add(Action("release.added", "ada"))
    deliveries.begin(LONG_NAME)
    (position,) = deliveries.positions().values()
    assert (position.receiver, position.position, position.last, position.due_at) == (LONG_NAME, 4, 5, None)


def test_a_receiver_of_an_empty_trail_begins_before_its_first_entry(deliveries: SqlDeliveries) -> None:
    deliveries.begin("notice/team")
    assert deliveries.positions()["notice/team"].position == 0


def test_a_delivery_comes_with_its_entry(deliveries: SqlDeliveries, trail: SqlTrail) -> None:
    first = made_out(deliveries, 3, 2)
    assert first.entry == trail.entries()[1]
    assert (first.receiver, first.attempts, first.state, first.status) == (LONG_NAME, 0, Delivered.WAITING, None)
    assert first.due_at == first.created_at == first.gives_up_at - DAYS
    assert deliveries.positions()[LONG_NAME].due_at == first.due_at
    assert deliveries.delivery(first.number) == first
    assert deliveries.delivery(99) is None


def test_a_failure_leaves_position_and_deliveries(deliveries: SqlDeliveries, trail: SqlTrail) -> None:
    del trail
    made_out(deliveries, 1)
    with pytest.raises(LockstepError):
        deliveries.make_out(LONG_NAME, 4, 9, [2, 9], DAYS)
    with pytest.raises(LockstepError):
        deliveries.make_out(LONG_NAME, 4, 9, [2, 1], DAYS)
    assert deliveries.positions()[LONG_NAME].position == 4
    assert [each.entry.number for each in deliveries.deliveries()] == [1]


@pytest.mark.parametrize("callers", Callers)
def test_of_many_one_makes_out(deliveries: SqlDeliveries, trail: SqlTrail, callers: Callers) -> None:
    del trail
    begun = callers.at_once([partial(deliveries.begin, LONG_NAME)] * 6)
    assert begun == [None] * 6
    outcomes = callers.at_once([partial(deliveries.make_out, LONG_NAME, 4, 5, [1, 2], DAYS)] * 6)
    assert sorted(map(str, outcomes)) == ["False"] * 5 + ["True"]
    assert [each.entry.number for each in deliveries.deliveries()] == [2, 1]


@pytest.mark.parametrize("callers", Callers)
def test_of_many_one_claims(deliveries: SqlDeliveries, trail: SqlTrail, clock: Ticks, callers: Callers) -> None:
    del trail
    first = made_out(deliveries, 1)
    outcomes = callers.at_once([partial(deliveries.claim, first, clock() + timedelta(minutes=1))] * 6)
    (claimed,) = [each for each in outcomes if isinstance(each, Delivery)]
    assert outcomes.count(None) == 5
    assert claimed.attempts == 1
    assert claimed.due_at is not None
    assert claimed.due_at > clock()
    assert deliveries.first(LONG_NAME) == claimed


def test_who_lost_a_claim_settles_nothing(deliveries: SqlDeliveries, trail: SqlTrail, clock: Ticks) -> None:
    del trail
    first = made_out(deliveries, 1)
    late = deliveries.claim(first, clock() + timedelta(seconds=1))
    assert late is not None
    other = deliveries.claim(late, clock() + timedelta(seconds=30))
    assert other is not None
    assert not deliveries.settle(late, following_attempt(late, Answer(taken=True, status=200), clock(), 0))
    assert deliveries.first(LONG_NAME) == other
    now = clock()
    assert deliveries.settle(other, following_attempt(other, Answer(taken=True, status=204), now, 0))
    found = deliveries.delivery(first.number)
    assert found is not None
    assert (found.state, found.status, found.delivered_at, found.attempts) == (Delivered.DELIVERED, 204, now, 2)
    assert deliveries.first(LONG_NAME) is None


def test_the_log_is_newest_first_and_can_be_narrowed(deliveries: SqlDeliveries, trail: SqlTrail, clock: Ticks) -> None:
    del trail
    first = made_out(deliveries, 1, 2, 3)
    deliveries.begin("notice/team")
    deliveries.make_out("notice/team", 4, 5, [4], DAYS)
    claimed = deliveries.claim(first, clock())
    assert claimed is not None
    deliveries.settle(claimed, following_attempt(claimed, Answer(taken=False, status=410, gone=True), clock(), 0))
    assert [each.entry.number for each in deliveries.deliveries()] == [4, 3, 2, 1]
    assert [each.entry.number for each in deliveries.deliveries(LONG_NAME, limit=2)] == [3, 2]
    assert [each.entry.number for each in deliveries.deliveries(failed=True)] == [1]
    assert deliveries.deliveries("notice/team", failed=True) == []


def test_what_is_repeated_is_due_now_and_the_trail_says_so(
    deliveries: SqlDeliveries, trail: SqlTrail, clock: Ticks
) -> None:
    first = made_out(deliveries, 1, 2)
    claimed = deliveries.claim(first, clock())
    assert claimed is not None
    deliveries.settle(claimed, following_attempt(claimed, Answer(taken=True, status=200), clock(), 0))
    before = clock()
    deliveries.repeat({first.number: timedelta(hours=1)}, "ada")
    again = deliveries.first(LONG_NAME)
    assert again is not None
    assert (again.number, again.attempts, again.delivered_at) == (first.number, 0, None)
    assert again.due_at is not None
    assert before < again.due_at == again.gives_up_at - timedelta(hours=1)
    last = trail.last()
    assert last is not None
    assert last.action == Action("delivery.repeated", "ada", detail={"deliveries": [first.number]})
