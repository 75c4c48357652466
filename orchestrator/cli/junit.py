"""The report of an audit as JUnit XML, which Jenkins and GitLab read. docs/audits.md, "The report"."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from orchestrator.domain.audit.audit import Known, Outcome
from orchestrator.domain.audit.finding import Kind
from orchestrator.domain.errors import UsageError
from orchestrator.services.audits.report import UNSEEN, AuditReport

#: What the whole fleet shows; everything else is a frontend's.
OF_FLEET = (Kind.FLEET_SPLIT, Kind.ADDRESS_OLD, Kind.ADDRESS_CHANGED, Kind.ADDRESS_UNSEEN)
_ADDRESS = OF_FLEET[1:]


def junit(report: AuditReport, frontends: Sequence[str]) -> JUnitXml:
    """A suite for the fleet and one for each frontend that was looked at; a case for each kind, one for the outcome.

    Nothing but a consistent audit has no failure and no error: the outcome's case sees to that.
    """
    plan = report.audit.plan
    document = JUnitXml(f"audit {report.audit.id} of {plan.fleet}")
    of_fleet = [kind for kind in OF_FLEET if plan.snapshot.get("url") or kind not in _ADDRESS]
    balanced = plan.snapshot.get("load_balancer") is not None
    kinds = [kind for kind in Kind if kind not in OF_FLEET and (balanced or kind is not Kind.ROTATION_BALANCER)]
    document.add_testsuite(_suite(report, "", of_fleet))
    names = {*frontends, *(known.finding.frontend for known in report.findings)} - {""}
    for name in sorted(names):
        document.add_testsuite(_suite(report, name, kinds))
    document.update_statistics()  # type: ignore[no-untyped-call]
    return document


def write_junit(path: Path, report: AuditReport, frontends: Sequence[str]) -> None:
    """Into a file; `UsageError` where that can't be written."""
    try:
        junit(report, frontends).write(str(path))
    except OSError as error:
        raise UsageError("can't write the report", where=str(path), found=str(error.strerror)) from error


def _suite(report: AuditReport, frontend: str, kinds: Sequence[Kind]) -> TestSuite:
    fleet = report.audit.plan.fleet
    suite = TestSuite(_legible(f"{fleet}/{frontend}" if frontend else fleet))
    suite.timestamp = report.audit.begun_at.isoformat(timespec="seconds")
    mine = [known for known in report.findings if known.finding.frontend == frontend]
    if not frontend:
        suite.add_testcase(_outcome(report, suite.name))
    for kind in dict.fromkeys((*kinds, *(known.finding.kind for known in mine))):
        suite.add_testcase(_case(report, suite.name, kind, mine))
    return suite


def _outcome(report: AuditReport, place: str) -> TestCase:
    case = TestCase("outcome", classname=place, time=report.audit.detail.get("seconds"))
    outcome = report.audit.outcome
    if outcome is Outcome.INCONSISTENT:
        case.result = [Failure(f"{len(report.findings)} findings are open", "inconsistent")]
    elif outcome is not Outcome.CONSISTENT:
        case.result = [Error("nobody knows whether the fleet is consistent", outcome or "open")]
    return case


def _case(report: AuditReport, place: str, kind: Kind, mine: Sequence[Known]) -> TestCase:
    """A kind on a frontend passes only where somebody could look at all of it."""
    case = TestCase(kind.value, classname=place)
    found = [known for known in mine if known.finding.kind is kind]
    if found:
        seen = any(report.seen(known) for known in found)
        worst = min((known.finding.seriousness for known in found), key=lambda each: each.rank)
        what = found[0].finding.what if seen else f"not looked at again: {found[0].finding.what}"
        if kind in UNSEEN:
            what = found[0].finding.what
        result = Failure(_legible(what), worst.value) if seen else Error(_legible(what), worst.value)
        result.text = "\n".join(_legible(str(known.finding.problem())) for known in found)
        case.result = [result]
    elif not report.conclusive or any(known.finding.kind in UNSEEN for known in mine):
        case.result = [Skipped("nobody could look at all of it")]
    return case


def _legible(text: str) -> str:
    """XML 1.0 has no control characters, nor have people: each is escaped."""
    return "".join(
        each if each.isprintable() or each == "\n" else each.encode("unicode_escape").decode() for each in text
    )
