"""Every answer of every frontend is kept as it was given, in order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from orchestrator.adapters.ledger.reports import SqlReports
from orchestrator.domain.deployment import Outcome, Report, Step
from orchestrator.domain.errors import LockstepError
from orchestrator.ports import Ledger
from tests.integration.ledgers import plan

#: What a hostile frontend might answer, and JSON can hold.
NASTY = {"text": "\x00\ud800'; DROP TABLE reports; -- é🙂\u2028", "n": 2**62, "deep": {"": [None, True, 0.1]}}


def test_reports_come_back_as_they_were_recorded(ledger: Ledger) -> None:
    number = ledger.plan(plan()).id
    problem = {"what": "\x00 é", "where": "f1"}
    reports = [Report("f1", step, 3, outcome, NASTY, problem) for step in Step for outcome in Outcome]
    ledger.record(number, reports)
    kept = [report for _, report in ledger.reports(number)]
    assert [replace(report, at=None) for report in kept] == reports
    assert all(report.at is not None and report.at.utcoffset() == timedelta(0) for report in kept)


def test_every_report_is_kept_in_order_even_the_same_one_twice(ledger: Ledger) -> None:
    number, other = ledger.plan(plan()).id, ledger.plan(plan("Production/other")).id
    first, second = (Report(name, Step.STAGE, 1, Outcome.ACCEPTED) for name in ("f1", "f2"))
    ledger.record(number, [first, second])
    ledger.record(other, [second])
    ledger.record(number, [first])
    ledger.record(number, [])
    kept = ledger.reports(number)
    assert [report.frontend for _, report in kept] == ["f1", "f2", "f1"]
    sequence = [at for at, _ in kept]
    assert sequence == sorted(set(sequence))
    assert ledger.reports(number, sequence[0]) == kept[1:]
    assert ledger.reports(number, sequence[2]) == []
    assert ledger.reports(other + 1) == []


def test_who_has_answered_an_asking_is_told_without_the_answers(ledger: Ledger) -> None:
    assert isinstance(ledger, SqlReports)
    number, other = ledger.plan(plan()).id, ledger.plan(plan("Production/other")).id
    ledger.record(number, [Report(name, Step.VERIFY, 1, outcome) for name, outcome in zip("ab", Outcome, strict=False)])
    ledger.record(number, [Report("a", Step.VERIFY, 2, Outcome.ACCEPTED), Report("c", Step.STAGE, 1, Outcome.ACCEPTED)])
    ledger.record(other, [Report("d", Step.VERIFY, 1, Outcome.ACCEPTED)])
    assert ledger.reported(number, Step.VERIFY, 1) == {"a", "b"}
    assert ledger.reported(number, Step.VERIFY, 2) == {"a"}
    assert ledger.reported(number, Step.ARM, 1) == frozenset()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), datetime(2026, 1, 1), object()])
def test_what_json_can_not_hold_is_refused_and_nothing_is_kept(ledger: Ledger, value: object) -> None:
    number = ledger.plan(plan()).id
    good = Report("f1", Step.STAGE, 1, Outcome.ACCEPTED)
    with pytest.raises(LockstepError, match="nothing was written"):
        ledger.record(number, [good, replace(good, detail={"seconds": value})])
    assert ledger.reports(number) == []
