"""The outbox: nothing is lost, nothing is doubled that no crash explains, and each receiver goes its own way."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from orchestrator.domain.delivery import Answer, Delivered
from orchestrator.domain.errors import UsageError
from orchestrator.domain.signature import verify
from orchestrator.domain.trail import Action, Entry, UnreadableError
from orchestrator.services.outbox import PAGE
from tests.unit.adapters.listener import Listener, closed_port
from tests.unit.services.post import KEY, REFUSED, TAKEN, Post, Scripted, by_name, heard, refusing, taking

# ── what is made out ──


def test_a_new_receiver_hears_what_happens_from_then_on(post: Post, listener: Listener) -> None:
    post.happens()
    receivers = by_name(post.webhook(listener))
    post.round(receivers)
    assert listener.got == []
    entries = [post.happens().number for _ in range(3)]
    post.round(receivers)
    assert heard(listener) == entries
    post.round(receivers)
    assert heard(listener) == entries
    assert {state for _, state in post.states()} == {Delivered.DELIVERED}


def test_every_delivery_is_signed_and_has_a_name_of_its_own(post: Post, listener: Listener) -> None:
    receivers = by_name(post.webhook(listener))
    post.round(receivers)
    post.happens()
    post.happens()
    post.round(receivers)
    names = []
    for got in listener.got:
        headers = tuple(got.headers.get(f"webhook-{name}") for name in ("id", "timestamp", "signature"))
        now = post.clock.now.timestamp()
        names.append(verify([KEY.encode()], headers, got.body, now, 0))  # type: ignore[arg-type]
    assert names == ["1-webhook/chatops", "2-webhook/chatops"]


def test_receivers_get_their_own_events_and_fleets(post: Post, listener: Listener) -> None:
    with Listener().listening() as other:
        mine = post.webhook(listener, events=["deployment.*"], fleets=["Production/web"])
        theirs = post.webhook(other, "audit", events=["token.issued", "deployment.done"])
        receivers = by_name(mine, theirs)
        post.round(receivers)
        done = post.happens().number
        post.happens("rotation.drained")
        elsewhere = post.happens(fleet="Development/web").number
        token = post.trail.add(Action("token.issued", "ada")).number
        post.round(receivers)
        assert heard(listener) == [done]
        assert heard(other) == [done, elsewhere, token]


def test_more_than_a_page_is_made_out_page_by_page(post: Post) -> None:
    receiver = Scripted(taking, events=("deployment.*",))
    post.round(by_name(receiver))
    wanted = (1, PAGE, PAGE + 1, PAGE + 5)
    for number in range(1, PAGE + 6):
        post.happens("deployment.done" if number in wanted else "rotation.drained")
    post.round(by_name(receiver))
    assert [number for _, number in receiver.told] == [1, PAGE]
    post.round(by_name(receiver))
    assert [number for _, number in receiver.told] == [1, PAGE, PAGE + 1, PAGE + 5]


def test_a_receiver_that_left_keeps_its_rows_and_gets_no_more(post: Post) -> None:
    gone, staying = Scripted(refusing, "webhook/gone"), Scripted(taking, "webhook/staying")
    post.round(by_name(gone, staying))
    post.happens()
    post.round(by_name(gone, staying))
    post.happens()
    post.passes(by_name(staying), timedelta(minutes=1))
    assert [number for _, number in gone.told] == [1]
    assert post.states("webhook/gone") == [(1, Delivered.WAITING)]
    assert [number for _, number in staying.told] == [1, 2]


def test_one_that_comes_back_goes_on_where_it_was(post: Post) -> None:
    receiver = Scripted(taking)
    post.round(by_name(receiver))
    post.happens()
    post.round({})
    post.happens()
    post.round(by_name(receiver))
    assert [number for _, number in receiver.told] == [1, 2]


# ── retries ──


def test_ten_minutes_of_a_closed_port_lose_nothing_and_double_nothing(post: Post) -> None:
    listener = closed_port()
    receivers = by_name(post.webhook(listener))
    post.round(receivers)
    entries = []
    for _ in range(20):
        entries.append(post.happens().number)
        post.passes(receivers, timedelta(seconds=30))
    first = post.deliveries.first("webhook/chatops")
    assert first is not None
    assert first.entry.number == entries[0]
    assert first.problem["what"] == "the receiver can't be reached"
    assert 8 <= first.attempts <= 12  # 1, 2, 4 … 256 s, and the last one is not due yet or just was
    with listener.listening():
        post.passes(receivers, timedelta(minutes=10))
        entries.append(post.happens().number)
        post.round(receivers)
    assert heard(listener) == entries
    assert len({got.headers["webhook-id"] for got in listener.got}) == len(entries)


def test_a_receiver_that_fails_now_and_then_gets_everything_in_order(post: Post) -> None:
    failures = iter([True, False, True, True, False, False, True] * 20)
    receiver = Scripted(lambda _: REFUSED if next(failures) else TAKEN)
    post.round(by_name(receiver))
    entries = [post.happens().number for _ in range(30)]
    post.passes(by_name(receiver), timedelta(hours=1))
    assert list(dict.fromkeys(number for _, number in receiver.told)) == entries
    assert post.states() == [(number, Delivered.DELIVERED) for number in entries]


def test_later_events_wait_for_the_first(post: Post) -> None:
    receiver = Scripted(lambda entry: REFUSED if entry.number == 1 else TAKEN, patience=timedelta(minutes=5))
    post.round(by_name(receiver))
    post.happens()
    post.happens()
    post.passes(by_name(receiver), timedelta(minutes=4))
    assert {number for _, number in receiver.told} == {1}
    post.passes(by_name(receiver), timedelta(minutes=2))
    assert post.states() == [(1, Delivered.GIVEN_UP), (2, Delivered.DELIVERED)]


def test_after_three_days_it_is_given_up_to_be_seen_and_repeated(post: Post) -> None:
    receiver = Scripted(refusing)
    receivers = by_name(receiver)
    post.round(receivers)
    post.happens()
    post.passes(receivers, timedelta(days=3) - timedelta(minutes=1))
    assert post.only().state is Delivered.WAITING
    post.passes(receivers, timedelta(minutes=2))
    given_up = post.only()
    assert given_up.state is Delivered.GIVEN_UP
    assert post.deliveries.deliveries(failed=True) == [given_up]
    assert (given_up.status, given_up.problem["what"]) == (500, "the receiver did not take it")
    assert 3 * 144 < given_up.attempts < 3 * 144 + 20
    post.passes(receivers, timedelta(days=1))
    assert len(receiver.told) == given_up.attempts

    receiver.answer = taking
    post.outbox.repeat(given_up.number, receivers, "ada@desk")
    post.round(receivers)
    again = post.only() if len(post.states()) == 1 else post.deliveries.delivery(given_up.number)
    assert again is not None
    assert (again.state, again.attempts, again.problem) == (Delivered.DELIVERED, 1, {})
    assert post.deliveries.deliveries(failed=True) == []
    assert {name for name, number in receiver.told if number == 1} == {"1-webhook/scripted"}
    last = post.trail.last()
    assert last is not None
    assert last.action == Action("delivery.repeated", "ada@desk", detail={"deliveries": [given_up.number]})


def test_one_that_is_repeated_is_tried_as_long_again(post: Post) -> None:
    receiver = Scripted(refusing, patience=timedelta(hours=1))
    post.round(by_name(receiver))
    post.happens()
    post.passes(by_name(receiver), timedelta(hours=2))
    assert post.states()[0] == (1, Delivered.GIVEN_UP)
    post.outbox.repeat(1, by_name(receiver), "ada")
    post.passes(by_name(receiver), timedelta(minutes=59))
    assert post.states()[0] == (1, Delivered.WAITING)
    post.passes(by_name(receiver), timedelta(minutes=2))
    assert post.states()[0] == (1, Delivered.GIVEN_UP)


def test_410_is_given_up_at_once_and_the_next_is_tried(post: Post, listener: Listener) -> None:
    receivers = by_name(post.webhook(listener))
    post.round(receivers)
    listener.status = 410
    post.happens()
    post.round(receivers)
    assert post.only().state is Delivered.GIVEN_UP
    assert post.only().status == 410
    listener.status = 200
    post.happens()
    post.passes(receivers, timedelta(hours=1))
    assert heard(listener) == [1, 2]


def test_retry_after_is_waited_for(post: Post, listener: Listener) -> None:
    receivers = by_name(post.webhook(listener))
    post.round(receivers)
    listener.status, listener.headers = 503, {"Retry-After": "120"}
    post.happens()
    post.passes(receivers, timedelta(seconds=119))
    assert len(listener.got) == 1
    listener.status = 200
    post.passes(receivers, timedelta(seconds=1))
    assert post.only().state is Delivered.DELIVERED


def test_an_error_of_the_receivers_own_settings_is_kept_and_tried_again(post: Post, listener: Listener) -> None:
    mine = post.webhook(listener)
    post.round(by_name(mine))
    post.happens()
    secret = Path(mine.hook.secret_file)
    secret.chmod(0o644)
    post.passes(by_name(mine), timedelta(seconds=2))
    assert post.only().problem["what"] == "others may use a file of secrets"
    secret.chmod(0o600)
    post.passes(by_name(mine), timedelta(seconds=5))
    assert post.only().state is Delivered.DELIVERED


def test_a_fault_of_ours_is_kept_without_its_text(post: Post) -> None:
    def fails(entry: Entry) -> Answer:
        raise RuntimeError("https://planted-secret@example.com")

    receiver = Scripted(fails)
    post.round(by_name(receiver))
    post.happens()
    with capture_logs() as logs:
        post.round(by_name(receiver))
    assert post.only().problem["found"] == "RuntimeError"
    assert post.only().state is Delivered.WAITING
    assert "in fails" in logs[0]["places"]
    assert "planted" not in str(logs) + str(post.only())


# ── repeating ──


@pytest.mark.parametrize(
    ("repeat", "what"),
    [
        (lambda post, receivers: post.outbox.repeat(99, receivers, "ada"), "there is no delivery 99"),
        (lambda post, receivers: post.outbox.repeat(1, {}, "ada"), "hooks.yml has no webhook/scripted"),
        (
            lambda post, receivers: post.outbox.repeat_failed("webhook/x", receivers, "ada"),
            "hooks.yml has no webhook/x",
        ),
    ],
)
def test_what_cannot_be_repeated_is_said(post: Post, repeat: Callable[..., Any], what: str) -> None:
    receiver = Scripted(taking)
    post.round(by_name(receiver))
    post.happens()
    post.round(by_name(receiver))
    with pytest.raises(UsageError, match=what):
        repeat(post, by_name(receiver))
    assert post.trail.last() == post.trail.entries()[0]


def test_all_that_was_given_up_is_repeated_for_one_receiver(post: Post) -> None:
    brief = timedelta(minutes=1)
    one, other = Scripted(refusing, "webhook/one", brief), Scripted(refusing, "webhook/other", brief)
    receivers = by_name(one, other)
    post.round(receivers)
    post.happens()
    post.happens()
    post.passes(receivers, timedelta(minutes=3))
    one.answer = other.answer = taking
    assert post.outbox.repeat_failed("webhook/one", receivers, "ada") == 2
    post.round(receivers)
    assert post.states("webhook/one")[:2] == [(1, Delivered.DELIVERED), (2, Delivered.DELIVERED)]
    assert post.states("webhook/other")[:2] == [(1, Delivered.GIVEN_UP), (2, Delivered.GIVEN_UP)]
    assert post.outbox.repeat_failed("webhook/one", receivers, "ada") == 0


def test_the_body_is_the_event(post: Post, listener: Listener) -> None:
    receivers = by_name(post.webhook(listener))
    post.round(receivers)
    post.happens()
    post.round(receivers)
    (got,) = listener.got
    assert json.loads(got.body) == {
        "number": 1,
        "event": "deployment.done",
        "at": "2026-05-01T12:00:00.000+00:00",
        "actor": "ada",
        "fleet": "Production/web",
        "deployment": 17,
        "detail": {"state": "done"},
    }


# ── a damaged trail ──


def damage(post: Post, number: int) -> None:
    """An entry that something else than Lockstep wrote over."""
    with closing(sqlite3.connect(post.ledger)) as connection, connection:
        connection.execute("DROP TRIGGER trail_update")
        connection.execute("UPDATE trail SET at = 'never' WHERE id = ?", (number,))


def test_what_comes_before_an_unreadable_entry_is_delivered_and_then_it_is_said(post: Post) -> None:
    receiver = Scripted(taking)
    post.outbox.look(by_name(receiver))
    first = post.happens()
    post.outbox.look(by_name(receiver))
    damage(post, post.happens().number)
    post.round(by_name(receiver))
    assert [number for _, number in receiver.told] == [first.number]
    with pytest.raises(UnreadableError, match="can't be read"):
        post.outbox.look(by_name(receiver))


def test_a_delivery_of_an_unreadable_entry_is_an_error_with_words(post: Post) -> None:
    receiver = Scripted(taking)
    post.outbox.look(by_name(receiver))
    entry = post.happens()
    post.outbox.look(by_name(receiver))
    damage(post, entry.number)
    with pytest.raises(UnreadableError, match="can't be read"):
        post.outbox.deliver(receiver)
