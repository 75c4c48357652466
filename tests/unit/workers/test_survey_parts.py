"""The parts of a survey that no real frontend shows at will: halves, limits, silence, faults."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from orchestrator.domain.audit.expectation import Ask
from orchestrator.domain.audit.finding import Kind
from orchestrator.domain.audit.observation import InspectedTree
from orchestrator.domain.errors import LockstepError, UnansweredError
from workers.audit.asking import MOST_SILENT, Asking
from workers.audit.bounds import attempted, bounded, side_by_side
from workers.audit.disk import Disk
from workers.audit.state import recipe_of
from workers.frontend.inspection import MOST_TREES, Inspect, Inspected
from workers.frontend.reading import Answer
from workers.frontend.serving import Site
from workers.frontend.transport import Session


class Frontend:
    root = "/srv/lockstep"
    name = "fe1"


class Inspecting:
    """A session that inspects, unless `fails` says otherwise."""

    def __init__(self, fails: Callable[[Inspect], bool]) -> None:
        self.frontend, self.alive = Frontend(), True
        self.asked: list[int] = []
        self._fails = fails

    def ask(self, command: Inspect, *, limit: float) -> Inspected:
        assert limit > 0
        self.asked.append(len(command.trees))
        if self._fails(command):
            raise UnansweredError("too much", found="64 MiB")
        return Inspected({tree: InspectedTree() for tree in command.trees}, len(command.trees), 10)


TREES = [f"activations/{epoch}-0123456789abcdef" for epoch in range(1, 10)]


def inspect(session: Inspecting, trees: list[str], deadline: float | None = None) -> Disk:
    disk = Disk()
    until = time.monotonic() + 60 if deadline is None else deadline
    disk.inspect(cast(Session, session), trees, deep=False, deadline=until)
    return disk


def test_trees_are_inspected_in_one_go() -> None:
    session = Inspecting(lambda _: False)
    disk = inspect(session, TREES)
    assert (list(disk.trees), disk.files, disk.bytes, session.asked) == (TREES, len(TREES), 10, [len(TREES)])


def test_one_tree_that_can_t_be_inspected_hides_no_other() -> None:
    bad = TREES[3]
    disk = inspect(Inspecting(lambda command: bad in command.trees), TREES)
    assert disk.trees.keys() == set(TREES) - {bad}
    assert disk.reasons == {bad: "too much"}


def test_more_than_one_command_takes_are_asked_for_in_parts() -> None:
    trees = [f"activations/{epoch}-0123456789abcdef" for epoch in range(1, 2 * MOST_TREES + 2)]
    session = Inspecting(lambda _: False)
    assert inspect(session, trees).trees.keys() == set(trees)
    assert max(session.asked) <= MOST_TREES


def test_a_connection_that_is_lost_is_not_asked_again() -> None:
    session = Inspecting(lambda _: True)
    session.alive = False
    disk = inspect(session, TREES)
    assert (session.asked, set(disk.reasons)) == ([len(TREES)], set(TREES))


def test_nothing_is_asked_when_the_time_is_over() -> None:
    session = Inspecting(lambda _: False)
    disk = inspect(session, TREES, time.monotonic() - 1)
    assert (session.asked, disk.reasons) == ([], dict.fromkeys(TREES, "no time is left"))


def test_what_is_late_is_left_behind_and_what_failed_says_why() -> None:
    go_on = threading.Event()
    late = bounded(lambda: go_on.wait(60), 0.01)
    go_on.set()
    assert isinstance(late, LockstepError)
    assert late.problem.what == "no answer in time"
    assert bounded(lambda: 7, 60) == 7


def test_a_fault_of_ours_is_an_answer_as_well() -> None:
    failed = attempted(lambda: 1 // 0)
    assert isinstance(failed, UnansweredError)
    assert failed.problem.found == "ZeroDivisionError"


def test_no_more_are_at_work_than_may_be_and_their_order_stays() -> None:
    working, most, lock = 0, 0, threading.Lock()
    met = threading.Barrier(2)

    def act(number: int) -> int:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        met.wait(60)
        with lock:
            working -= 1
        return number

    acts = [lambda number=number: act(number) for number in range(6)]
    assert side_by_side(acts, 2) == list(range(6))
    assert most == 2
    assert side_by_side([], 2) == []


class Answering:
    """A site that answers where `says` does not raise."""

    def __init__(self, says: Callable[[str], Answer]) -> None:
        self.asked: list[str] = []
        self._says = says

    def get(self, url: str, *_: Any, **__: Any) -> Answer:
        self.asked.append(url)
        return self._says(url)


ASKS = [Ask(Kind.FILE_SERVED, f"/{number}", "0" * 64) for number in range(10)]


@pytest.mark.parametrize(("silent", "asked"), [("0123456789", MOST_SILENT), ("01345789", 6), ("02468", 10)])
def test_after_so_many_in_a_row_that_nobody_answers_no_more_are_sent(silent: str, asked: int) -> None:
    def says(url: str) -> Answer:
        if url[1:] in silent:
            raise UnansweredError("no", found="refused")
        return Answer(200, "7-x", "1" * 64, 5)

    site, asking = Answering(says), Asking()
    asking.ask(cast(Site, site), ASKS, None)
    assert len(site.asked) == asked
    failed = {key for key, answer in asking.answers.items() if answer.failure == "refused"}
    assert failed == {url for url in site.asked if url[1:] in silent}


def test_options_that_are_none_make_no_recipe() -> None:
    assert recipe_of('{"listen":["80;"],"server_name":"_"}', "/srv/lockstep") == ""
    assert len(recipe_of('{"listen":["80"],"server_name":"_"}', "/srv/lockstep")) == 64
