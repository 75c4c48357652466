"""What is due: the latest moment, once; what was missed before it; quick and deep together."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from inventory.model import Audits
from orchestrator.domain.audit.audit import Outcome
from orchestrator.domain.audit.schedule import Due, Passed, Run, delay, due

FLEET = "Production/web"
HOURLY = Audits(quick="0 * * * *", deep="0 2 * * *", jitter_seconds=0)
START = datetime(2026, 1, 2, 10, 30, tzinfo=UTC)


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 1, 2, hour, minute, tzinfo=UTC)


def test_nothing_is_due_before_the_first_moment_after_the_start() -> None:
    assert due(FLEET, HOURLY, {False: START, True: START}, at(10, 59)) == Due()


def test_a_moment_is_due_when_it_comes_and_not_again_once_it_has_its_row() -> None:
    assert due(FLEET, HOURLY, {False: START}, at(11)) == Due(run=Run(False, at(11)))
    assert due(FLEET, HOURLY, {False: at(11)}, at(11, 59)) == Due()


def test_the_latest_moment_runs_and_one_row_stands_for_those_before() -> None:
    found = due(FLEET, HOURLY, {False: START}, at(14, 5))
    (missed,) = found.passed
    assert found.run == Run(False, at(14))
    assert (missed.moment, missed.outcome, missed.deep) == (at(13), Outcome.MISSED, False)
    assert missed.reason == "nobody looked in time; moments missed since 2026-01-02 10:30 UTC: 3"


def test_a_deep_moment_covers_a_quick_one() -> None:
    night = datetime(2026, 1, 3, 2, tzinfo=UTC)
    found = due(FLEET, HOURLY, {False: night - timedelta(hours=1), True: START}, night)
    covered = Passed(False, night, Outcome.COVERED, "the deep audit of 2026-01-03 02:00 UTC covers it")
    assert found == Due((covered,), Run(True, night))


def test_a_deep_moment_that_waits_for_its_delay_covers_a_quick_one_already() -> None:
    late = HOURLY.model_copy(update={"jitter_seconds": 3600})
    night = datetime(2026, 1, 3, 2, tzinfo=UTC)
    found = due(FLEET, late, {False: night - timedelta(hours=1), True: START}, night)
    assert [each.outcome for each in found.passed] == [Outcome.COVERED]
    assert found.run is None


@pytest.mark.parametrize(("expression", "most"), [("* * * * *", 30), ("0 * * * *", 1800), ("0 0 * * *", 3600)])
def test_the_delay_is_the_same_for_everyone_and_ends_before_half_the_way(expression: str, most: float) -> None:
    audits = Audits(quick=expression, jitter_seconds=3600)
    moments = [datetime(2026, 1, 2, tzinfo=UTC) + timedelta(days=n) for n in range(50)]
    delays = [delay(FLEET, audits, moment, deep=False).total_seconds() for moment in moments]
    assert delays == [delay(FLEET, audits, moment, deep=False).total_seconds() for moment in moments]
    assert all(0 <= each <= most for each in delays)
    assert max(delays) > most * 0.8 > most * 0.2 > min(delays)
    assert delay("Production/other", audits, moments[0], deep=False).total_seconds() != delays[0]


def test_it_runs_from_its_delay_on_with_its_own_moment_as_key() -> None:
    late = HOURLY.model_copy(update={"jitter_seconds": 1000})
    begins = at(11) + delay(FLEET, late, at(11), deep=False)
    assert due(FLEET, late, {False: START}, begins - timedelta(microseconds=1)) == Due()
    assert due(FLEET, late, {False: START}, begins) == Due(run=Run(False, at(11)))


def test_a_year_of_silence_is_one_row_and_bounded_work() -> None:
    minutely = Audits(quick="* * * * *", jitter_seconds=0)
    before = time.process_time()
    found = due(FLEET, minutely, {False: START}, START + timedelta(days=365))
    assert time.process_time() - before < 5  # a year's minutes one by one take longer
    (missed,) = found.passed
    assert missed.reason.endswith("more than 1000")
    assert found.run == Run(False, START + timedelta(days=365))
