"""Which activations stay: what a pinned client may still ask for, so many before, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.deployment import Deployment
from orchestrator.domain.retention import Keeping, retained
from tests.protocol.simulation.ledger import MOMENT as NOW
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.plans import plan

ROW = MemoryLedger().plan(plan(1))
#: How many hours ago each was decided, newest first; the newest may not be, yet.
HISTORIES = st.builds(
    lambda hours, open_: ([None] if open_ else []) + sorted(hours),
    st.lists(st.integers(0, 50), max_size=8),
    st.booleans(),
)
KEEP, AGES = st.integers(1, 9), st.integers(0, 60)


def committed(hours_ago: Sequence[int | None]) -> list[Deployment]:
    """A fleet's deployments, decided at these times."""
    count = len(hours_ago)
    return [
        replace(
            ROW,
            id=count - place,
            name=ActivationName(count - place, "0" * 16),
            decided_at=None if hours is None else NOW - timedelta(hours=hours),
        )
        for place, hours in enumerate(hours_ago)
    ]


def kept(hours_ago: Sequence[int | None], keep: int, age: int) -> list[int]:
    """The places of what stays."""
    rows = committed(hours_ago)
    return [rows.index(row) for row in retained(rows, Keeping(keep, timedelta(hours=age)), NOW)]


def test_what_stays_is_what_is_served_so_many_before_and_what_was_served_a_short_time_ago() -> None:
    assert kept([1, 2, 30, 40], keep=1, age=0) == [0, 1]
    # The third was served until the second was decided, the fourth until the third was.
    assert kept([1, 2, 30, 40], keep=1, age=3) == [0, 1, 2]
    assert kept([1, 2, 30, 40], keep=1, age=30) == [0, 1, 2]
    assert kept([1, 2, 30, 40], keep=1, age=31) == [0, 1, 2, 3]
    assert kept([], keep=1, age=1) == []


@given(HISTORIES, KEEP, AGES)
def test_nobody_s_pin_leads_to_what_is_gone(hours_ago: list[int | None], keep: int, age: int) -> None:
    stays = kept(hours_ago, keep, age)
    decided = [(place, hours) for place, hours in enumerate(hours_ago) if hours is not None]
    for asked in range(age):
        # Who came so many hours ago was served what was decided last at that time.
        served = next((place for place, hours in decided if hours > asked), None)
        assert served is None or served in stays


@given(HISTORIES, KEEP, AGES)
def test_nothing_else_stays(hours_ago: list[int | None], keep: int, age: int) -> None:
    for place in kept(hours_ago, keep, age):
        next_decided = hours_ago[place - 1] if place else None
        assert place <= keep or next_decided is None or next_decided < age


@given(HISTORIES, KEEP, AGES)
def test_so_many_stay_newest_first_and_with_more_room_none_less(
    hours_ago: list[int | None], keep: int, age: int
) -> None:
    stays = kept(hours_ago, keep, age)
    assert stays == sorted(stays)
    assert stays[: keep + 1] == list(range(min(keep + 1, len(hours_ago))))
    assert set(stays) <= set(kept(hours_ago, keep + 1, age)) & set(kept(hours_ago, keep, age + 1))


def test_what_was_let_go_is_not_asked_for_again_when_the_fleet_keeps_more() -> None:
    """The oldest two deployments kept one activation each, the newest keeps five."""
    rows = committed([1, 2, 3, 4, 5])
    policies = [5, 5, 5, 1, 1]
    rows = [
        replace(row, ended_at=row.decided_at, plan=replace(row.plan, snapshot={"policy": {"keep": k, "keep_hours": 0}}))
        for row, k in zip(rows, policies, strict=True)
    ]
    # The fourth let the fifth stay, as the one before; the third, which kept five, let both stay. So do all since.
    assert [rows.index(row) for row in retained(rows, Keeping(5, timedelta(0)), NOW)] == [0, 1, 2, 3, 4]
    rows[2] = replace(rows[2], plan=replace(rows[2].plan, snapshot={"policy": {"keep": 1, "keep_hours": 0}}))
    assert [rows.index(row) for row in retained(rows, Keeping(5, timedelta(0)), NOW)] == [0, 1, 2, 3]
    # What was served lately stayed, whatever the number.
    rows[2] = replace(rows[2], plan=replace(rows[2].plan, snapshot={"policy": {"keep": 1, "keep_hours": 48}}))
    assert [rows.index(row) for row in retained(rows, Keeping(5, timedelta(0)), NOW)] == [0, 1, 2, 3, 4]
