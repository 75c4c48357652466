"""So many at a time, in the order in which they are due; who waits to be done again takes nobody's turn."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest

from workers.turns import Turns, Work

AT_ONCE = 3
#: Longer than any test, in seconds.
BOUND = 30.0


@pytest.fixture
def turns() -> Iterator[Turns]:
    made = Turns(AT_ONCE, "turns")
    yield made
    made.close()


def test_no_more_than_so_many_at_a_time_and_each_once_in_order(turns: Turns) -> None:
    began: queue.SimpleQueue[int] = queue.SimpleQueue()
    go_on = threading.Semaphore(0)

    def work(number: int) -> Work:
        def do() -> None:
            began.put(number)
            assert go_on.acquire(timeout=BOUND)

        return do

    for number in range(10):
        turns.give(work(number))
    assert sorted(began.get(timeout=BOUND) for _ in range(AT_ONCE)) == [0, 1, 2]
    for number in range(AT_ONCE, 10):
        assert began.empty()
        go_on.release()
        assert began.get(timeout=BOUND) == number
    go_on.release(AT_ONCE)


def test_who_waits_to_be_done_again_takes_nobodys_turn(turns: Turns) -> None:
    done: queue.SimpleQueue[str] = queue.SimpleQueue()
    for _ in range(2 * AT_ONCE):
        turns.give(lambda: done.put("later"), after=BOUND)
    turns.give(lambda: done.put("second"), after=0.05)
    turns.give(lambda: done.put("first"))
    assert [done.get(timeout=BOUND / 2) for _ in range(2)] == ["first", "second"]
    assert done.empty()


def test_work_that_fails_takes_no_turn_along() -> None:
    turns = Turns(1, "turns")
    done: queue.SimpleQueue[str] = queue.SimpleQueue()

    def fail() -> None:
        raise RuntimeError("a fault")

    turns.give(fail)
    turns.give(lambda: done.put("done"))
    assert done.get(timeout=BOUND) == "done"
    turns.close()


def test_what_has_not_begun_when_it_is_closed_is_not_done() -> None:
    turns, began, go_on, done = Turns(1, "turns"), threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        began.set()
        assert go_on.wait(BOUND)
        done.set()

    turns.give(first)
    assert began.wait(BOUND)
    others: list[str] = []
    turns.give(lambda: others.append("second"))
    turns.close()
    turns.give(lambda: others.append("third"))
    go_on.set()
    assert done.wait(BOUND)
    assert others == []
