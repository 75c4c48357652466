"""Cron expressions: which are refused, and their moments against an evaluation minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from inventory.cron import earlier, following, latest, usable

MINUTE = timedelta(minutes=1)
LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def expanded(field: str, low: int, high: int) -> set[int]:
    """The numbers that a field names."""
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return found


def matches(expression: str, moment: datetime) -> bool:
    """Whether the expression names this minute, as Debian's manual has it."""
    fields = expression.split()
    minutes, hours, days, months, weekdays = (expanded(f, *limits) for f, limits in zip(fields, LIMITS, strict=True))
    day, weekday = moment.day in days, moment.isoweekday() % 7 in {each % 7 for each in weekdays}
    together = fields[2].startswith("*") or fields[4].startswith("*")
    right_day = (day and weekday) if together else (day or weekday)
    return moment.minute in minutes and moment.hour in hours and moment.month in months and right_day


@st.composite
def items(draw: st.DrawFn, low: int, high: int) -> str:
    first = draw(st.integers(low, high))
    last = draw(st.integers(min(first + 1, high), high))
    step = draw(st.integers(1, high))
    return draw(
        st.sampled_from(
            ["*", str(first), f"{first}-{last}", f"*/{step}", *([f"{first}-{last}/{step}"] if first < last else [])]
        )
    )


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    return st.lists(items(low, high), min_size=1, max_size=3).map(",".join)


@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    st.tuples(*(fields(*limits) for limits in LIMITS)).map(" ".join),
    st.datetimes(datetime(2023, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_the_moments_are_those_of_a_look_at_every_minute(expression: str, now: datetime) -> None:
    minutes = [now.replace(second=0, microsecond=0) + MINUTE * n for n in range(-2 * 1440, 2 * 1440)]
    named = [minute for minute in minutes if matches(expression, minute)]
    try:
        usable(expression)
    except ValueError:
        assert not named
        return
    past, coming = [m for m in named if m <= now], [m for m in named if m > now]
    last = latest(expression, now)
    assert last == past[-1] if past else last < minutes[0]
    first = following(expression, now)
    assert first == coming[0] if coming else first > minutes[-1]
    if len(past) > 1:
        assert next(earlier(expression, last)) == past[-2]


@pytest.mark.parametrize(
    "text",
    ["0 2 * * sun", "0 2 * JAN-MAR MON-FRI", "0 0 29 2 *", "0 0 29 2 */7", "*/15 1-5/2,7 1,15 * 0"],
)
def test_what_standard_cron_takes_is_taken(text: str) -> None:
    assert usable(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * *",
        "0 0 30 2 *",
        "0 0 31 4,6 *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 8",
        "1-2-3 * * * *",
        "5-1 * * * *",
        "5/15 * * * *",
        "*/0 * * * *",
        "* * * * 5-5/1",
        "* * * * 05-5/1",
        "* * * * MON-FRI/2",
        "* * L * *",
        "* * LW * *",
        "* * * * 5L",
        "* * * * 5#2",
        "* * * FOO *",
        "*\t* * * *",
        "* * * * *\n",
        "@daily",
        "\u0661 * * * *",
        ",".join(["1"] * 200) + " * * * *",
    ],
)
def test_what_it_does_not_take_or_what_never_comes_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a cron expression"):
        usable(text)
