"""Several workers, several receivers, and crashes: what is on its way is one worker's, and nothing is lost."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from orchestrator.domain.delivery import Answer, Delivered
from orchestrator.domain.errors import LockstepError
from orchestrator.domain.trail import Entry
from orchestrator.ports import Receiver
from orchestrator.services.outbox import CLAIM, Outbox
from tests.unit.adapters.listener import Listener, hang
from tests.unit.services.post import TAKEN, Post, Scripted, by_name, heard, taking


class CrashError(BaseException):
    """The process is gone at this point."""


# ── receivers apart ──


def test_one_that_hangs_delays_no_other(post: Post, listener: Listener) -> None:
    with Listener(slowly=hang).listening() as hanging:
        receivers = by_name(post.webhook(hanging, "hanging"), post.webhook(listener, "quick"))
        post.round(receivers)
        post.happens()
        post.outbox.look(receivers)
        thread = threading.Thread(target=post.outbox.deliver, args=(receivers["webhook/hanging"],))
        thread.start()
        while not hanging.got:
            assert thread.is_alive()
        assert post.outbox.deliver(receivers["webhook/quick"])
        assert heard(listener) == [1]
        # What is on its way is nobody else's.
        assert post.another_worker().look(receivers) == []
        hanging.released.set()
        thread.join()


def test_two_workers_make_no_attempt_at_once(post: Post) -> None:
    other = post.another_worker()
    receivers: dict[str, Receiver] = {}

    def meanwhile(entry: Entry) -> Answer:
        del entry
        assert other.look(receivers) == []
        assert not other.deliver(receiver)
        return TAKEN

    receiver = Scripted(meanwhile)
    receivers = by_name(receiver)
    post.round(receivers)
    post.happens()
    post.round(receivers)
    assert len(receiver.told) == 1
    assert post.only().state is Delivered.DELIVERED


def test_who_comes_second_to_a_delivery_leaves_it_alone(post: Post) -> None:
    """Another worker delivers between this one's look and its claim."""
    receiver, theirs = Scripted(taking), Scripted(taking)

    def clock() -> datetime:
        if not theirs.told:
            assert post.outbox.deliver(theirs)
        return post.clock()

    late = Outbox(post.deliveries, post.trail, clock, lambda: 0.0)
    post.round(by_name(receiver))
    post.happens()
    post.outbox.look(by_name(receiver))
    assert not late.deliver(receiver)
    assert (len(theirs.told), receiver.told) == (1, [])
    assert post.states() == [(1, Delivered.DELIVERED)]


def test_two_workers_that_look_at_once_make_out_once(post: Post) -> None:
    other = post.another_worker()
    receivers: dict[str, Receiver] = {}

    class Looking(Scripted):
        def wants(self, entry: Entry) -> bool:
            """Another worker makes out the same page while this one reads it."""
            receivers["webhook/scripted"] = Scripted(taking)
            other.look(receivers)
            return super().wants(entry)

    receiver = Looking(taking)
    post.round(by_name(receiver))
    post.happens()
    post.round(by_name(receiver))
    assert post.states() == [(1, Delivered.DELIVERED)]
    assert len(receiver.told) == 1


# ── crashes ──


@dataclass
class Crashing:
    """A receiver whose process dies at one point, once."""

    inner: Receiver
    before: bool = False
    reading: bool = False

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def patience(self) -> timedelta:
        return self.inner.patience

    def wants(self, entry: Entry) -> bool:
        if self.reading and entry.number == 2:
            self.reading = False
            raise CrashError
        return self.inner.wants(entry)

    def send(self, delivery: str, entry: Entry) -> Answer:
        if self.before:
            raise CrashError
        self.inner.send(delivery, entry)
        raise CrashError


@pytest.mark.parametrize(("before", "times"), [(True, 1), (False, 2)], ids=["before the POST", "after the POST"])
def test_a_crash_doubles_at_most_what_was_on_its_way(post: Post, listener: Listener, before: bool, times: int) -> None:
    """It is the same delivery by its id."""
    mine = post.webhook(listener)
    post.round(by_name(mine))
    first, second = post.happens().number, post.happens().number
    with pytest.raises(CrashError):
        post.round(by_name(Crashing(mine, before)))
    post.passes(by_name(mine), CLAIM - timedelta(seconds=1))
    assert len(listener.got) == times - 1
    post.passes(by_name(mine), timedelta(seconds=2))
    assert heard(listener) == [first] * times + [second]
    assert len({got.headers["webhook-id"] for got in listener.got}) == 2
    assert post.states() == [(first, Delivered.DELIVERED), (second, Delivered.DELIVERED)]


def test_a_crash_while_a_page_is_made_out_changes_nothing(post: Post) -> None:
    receiver = Scripted(taking)
    post.round(by_name(receiver))
    entries = [post.happens().number for _ in range(3)]
    with pytest.raises(CrashError):
        post.round(by_name(Crashing(receiver, reading=True)))
    assert post.states() == []
    assert post.deliveries.positions()[receiver.name].position == 0
    post.round(by_name(receiver))
    assert [number for _, number in receiver.told] == entries


def test_position_and_deliveries_are_written_together_or_not_at_all(post: Post) -> None:
    post.deliveries.begin("webhook/x")
    post.happens()
    with pytest.raises(LockstepError):
        # There is no entry 2: its row is refused.
        post.deliveries.make_out("webhook/x", 0, 2, [1, 2], timedelta(days=1))
    assert post.states() == []
    assert post.deliveries.positions()["webhook/x"].position == 0
    assert not post.deliveries.make_out("webhook/x", 5, 6, [1], timedelta(days=1))
    assert post.states() == []
