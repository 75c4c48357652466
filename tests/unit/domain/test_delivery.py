"""Which events match, what an event looks like to others, and when a delivery is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from orchestrator.domain.delivery import (
    WEBHOOK_PATIENCE,
    Answer,
    Delivered,
    Delivery,
    event_of,
    following_attempt,
    id_of,
    matches,
)
from orchestrator.domain.errors import Problem
from orchestrator.domain.signature import DELIVERY
from orchestrator.domain.trail import Action, Entry

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
REFUSED = Answer(taken=False, status=500, problem=Problem("no"))


def entry(name: str = "deployment.done", fleet: str = "Production/web", number: int = 7) -> Entry:
    return Entry(number, NOW, Action(name, "ada", fleet, 17, {"state": "done"}), "", "")


def delivery(attempts: int = 1, receiver: str = "webhook/chatops") -> Delivery:
    return Delivery(1, receiver, entry(), NOW, NOW + WEBHOOK_PATIENCE, attempts, NOW)


@pytest.mark.parametrize(
    ("events", "fleets", "name", "fleet", "wanted"),
    [
        (["*"], [], "deployment.done", "Production/web", True),
        (["*"], [], "token.issued", "", True),
        (["*"], ["Production/web"], "token.issued", "", False),
        (["*"], ["Production/web"], "deployment.done", "Production/web", True),
        (["*"], ["Production/web"], "deployment.done", "Production/web2", False),
        (["*"], ["Production/api", "Production/web"], "deployment.done", "Production/web", True),
        (["deployment.*"], [], "deployment.done", "", True),
        (["deployment.*"], [], "deployments.done", "", False),
        (["deployment.*"], [], "rotation.drained", "", False),
        (["deployment.done"], [], "deployment.done", "", True),
        (["deployment.done"], [], "deployment.doned", "", False),
        (["deployment.done"], [], "deployment.aborted", "", False),
        (["rotation.*", "deployment.done"], [], "deployment.done", "", True),
        ([], [], "deployment.done", "", False),
    ],
)
def test_a_receiver_gets_the_events_that_it_names(
    events: list[str], fleets: list[str], name: str, fleet: str, wanted: bool
) -> None:
    assert matches(entry(name, fleet), events, fleets) is wanted


def test_what_others_get_of_an_event() -> None:
    assert event_of(entry()) == {
        "number": 7,
        "event": "deployment.done",
        "at": "2026-05-01T12:00:00.000+00:00",
        "actor": "ada",
        "fleet": "Production/web",
        "deployment": 17,
        "detail": {"state": "done"},
    }


@pytest.mark.parametrize("name", ["webhook/chatops", "webhook/chat.ops", "notice/a_b-c", "webhook/" + "x" * 63])
def test_a_delivery_has_an_id_that_a_signature_can_have(name: str) -> None:
    found = id_of(delivery(receiver=name))
    assert found == f"7-{name.replace('.', '~')}"
    assert DELIVERY.fullmatch(found)


def test_delays_double_from_a_second_to_ten_minutes() -> None:
    delays = []
    for attempts in range(1, 40):
        due_at = following_attempt(delivery(attempts), REFUSED, NOW, 0.0).due_at
        assert due_at is not None
        delays.append((due_at - NOW).total_seconds())
    assert delays[:4] == [1, 2, 4, 8]
    assert all(after == min(2 * before, 600) for before, after in pairwise(delays))
    assert delays[-1] == 600


@pytest.mark.parametrize(("attempts", "chance", "seconds"), [(1, 1.0, 0.75), (3, 0.5, 3.5), (30, 1.0, 450)])
def test_delays_are_shortened_at_random(attempts: int, chance: float, seconds: float) -> None:
    after = following_attempt(delivery(attempts), REFUSED, NOW, chance)
    assert after.due_at == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(("asked", "seconds"), [(-5, 1), (0, 1), (30, 30), (600, 600), (86_400, 600)])
def test_a_receiver_may_ask_for_a_time_within_bounds(asked: float, seconds: float) -> None:
    answer = Answer(taken=False, status=503, problem=Problem("no"), wait=asked)
    assert following_attempt(delivery(5), answer, NOW, 0.0).due_at == NOW + timedelta(seconds=seconds)


def test_what_is_taken_is_delivered() -> None:
    after = following_attempt(delivery(3), Answer(taken=True, status=204), NOW, 0.0)
    assert (after.state, after.delivered_at, after.due_at, after.status) == (Delivered.DELIVERED, NOW, None, 204)
    assert after.problem == {}


def test_what_is_gone_is_given_up_at_once() -> None:
    answer = Answer(taken=False, status=410, problem=Problem("gone"), gone=True)
    assert following_attempt(delivery(), answer, NOW, 0.0).state is Delivered.GIVEN_UP


def test_the_last_attempt_is_at_the_end_and_then_it_is_given_up() -> None:
    end = NOW + WEBHOOK_PATIENCE
    last = following_attempt(delivery(400), REFUSED, end - timedelta(seconds=1), 0.0)
    assert (last.state, last.due_at) == (Delivered.WAITING, end)
    over = following_attempt(delivery(401), REFUSED, end, 0.0)
    assert (over.state, over.problem["what"]) == (Delivered.GIVEN_UP, "no")
