"""Times that people type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.moments import parse_moment
from orchestrator.domain.errors import UsageError

NOW = datetime(2026, 5, 1, 12, 0, 30, tzinfo=UTC)


@given(st.integers(0, 23), st.integers(0, 59))
def test_a_clock_time_is_its_next_occurrence(hour: int, minute: int) -> None:
    moment = parse_moment(f"{hour:02}:{minute:02}", NOW)
    local = moment.astimezone()
    assert (local.hour, local.minute, local.second) == (hour, minute, 0)
    assert NOW < moment <= NOW + timedelta(days=1, minutes=1)


def test_a_zone_is_kept() -> None:
    assert parse_moment("2026-05-02T00:30+02:00", NOW) == datetime(2026, 5, 1, 22, 30, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "24:00", "12:60", "2026-13-01", "2026-05-01T12:00+00:00", "1999-01-01"])
def test_what_is_no_time_or_is_over_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_moment(text, NOW)
    assert caught.value.problem.where == "--at"


@given(st.text(max_size=30))
def test_any_text_is_a_time_to_come_or_a_usage_error(text: str) -> None:
    try:
        moment = parse_moment(text, NOW)
    except UsageError:
        return
    assert moment > NOW
