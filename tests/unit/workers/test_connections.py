"""Connections are kept for the next deployment, and one that does not answer any more is replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import pytest
from pydantic import AnyHttpUrl

from inventory.model import Frontend
from orchestrator.domain.errors import UnansweredError
from tests.unit.inventory.documents import host_key
from workers.frontend.connections import Connections
from workers.frontend.transport import Session


def frontend(root: str = "/srv/lockstep") -> Frontend:
    return Frontend(
        name="fe1", address="127.0.0.1", user="d", root=root, url=AnyHttpUrl("http://127.0.0.1"), host_key=host_key(1)
    )


class Line:
    """A session without a network."""

    def __init__(self, frontend: Frontend) -> None:
        self.frontend, self.alive, self.busy, self.there, self.tried = frontend, True, False, True, 0

    def answers(self, limit: float) -> bool:
        assert 0 < limit < 10
        self.tried += 1
        return self.there

    def close(self) -> None:
        self.alive = False


class Lines:
    """Opens them, and remembers."""

    def __init__(self) -> None:
        self.opened: list[Line] = []
        self.limits: list[float] = []
        self.reachable = True
        self.meanwhile: Callable[[], None] = lambda: None

    def __call__(self, frontend: Frontend, limit: float) -> Session:
        self.limits.append(limit)
        self.meanwhile()
        if not self.reachable:
            raise UnansweredError("the frontend can't be reached over SSH")
        self.opened.append(Line(frontend))
        return cast(Session, self.opened[-1])


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def connections(lines: Lines) -> Iterator[Connections]:
    made = Connections(lines, idle=3600)
    yield made
    made.end()


def test_the_next_deployment_uses_what_was_kept_and_opened_nothing(lines: Lines, connections: Connections) -> None:
    first = connections.session(1, frontend())
    assert (connections.session(1, frontend()), connections.opened(1, "fe1")) == (first, 1)
    connections.close(1)
    assert connections.session(2, frontend()) is first
    assert (connections.opened(2, "fe1"), lines.opened[0].tried, len(lines.opened)) == (0, 1, 1)


def test_what_does_not_answer_any_more_is_closed_and_opened_anew(lines: Lines, connections: Connections) -> None:
    connections.session(1, frontend())
    connections.close(1)
    lines.opened[0].there = False
    assert connections.session(2, frontend()) is cast(Session, lines.opened[1])
    assert (lines.opened[0].alive, connections.opened(2, "fe1")) == (False, 1)
    assert lines.limits[1] <= 10


def test_a_frontend_that_is_gone_is_noticed_where_it_is_connected_to(lines: Lines, connections: Connections) -> None:
    connections.session(1, frontend())
    connections.close(1)
    lines.opened[0].there = lines.reachable = False
    with pytest.raises(UnansweredError):
        connections.session(2, frontend())
    lines.reachable = True
    assert connections.session(2, frontend()) is cast(Session, lines.opened[1])


def test_no_two_deployments_share_one_and_one_is_kept(lines: Lines, connections: Connections) -> None:
    assert connections.session(1, frontend()) is not connections.session(2, frontend())
    connections.close(1)
    connections.close(2)
    assert [line.alive for line in lines.opened] == [True, False]


def test_where_a_command_still_runs_it_is_ended(lines: Lines, connections: Connections) -> None:
    connections.session(1, frontend())
    lines.opened[0].busy = True
    connections.close(1)
    assert not lines.opened[0].alive


@pytest.mark.parametrize("leave", [lambda made: made.close(1), lambda made: made.end()], ids=["closed", "ended"])
def test_what_is_opened_for_a_deployment_that_is_closed_meanwhile_is_closed(
    lines: Lines, connections: Connections, leave: Callable[[Connections], None]
) -> None:
    lines.meanwhile = lambda: leave(connections)
    with pytest.raises(UnansweredError, match="closed"):
        connections.session(1, frontend())
    assert [line.alive for line in lines.opened] == [False]
    # Whoever comes after it begins anew.
    lines.meanwhile = lambda: None
    assert connections.session(1, frontend()) is cast(Session, lines.opened[1])
    assert connections.opened(1, "fe1") == 1


def test_another_root_is_another_frontend(lines: Lines, connections: Connections) -> None:
    connections.session(1, frontend())
    connections.close(1)
    assert connections.session(2, frontend("/srv/other")).frontend.root == "/srv/other"
    assert len(lines.opened) == 2


def test_what_nobody_uses_is_closed_but_for_what_is_at_work(lines: Lines) -> None:
    connections = Connections(lines, idle=0)
    connections.session(1, frontend())
    connections.session(2, frontend("/srv/busy"))
    lines.opened[-1].busy = True
    connections.close_idle()
    assert [line.alive for line in lines.opened] == [False, True]
    connections.end()
