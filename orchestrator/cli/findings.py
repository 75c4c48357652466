"""What a person reads of audits: the verdict, what was done, and every finding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from rich.text import Text

from orchestrator.cli.output import Exit
from orchestrator.cli.progress import problem_lines
from orchestrator.domain.audit.audit import Audit, Known, Outcome
from orchestrator.domain.audit.finding import Seriousness
from orchestrator.domain.paths import show as shown
from orchestrator.services.audits.report import AuditReport

#: How many findings people are shown; programs get all.
MOST_SHOWN = 50

HURTS: Mapping[Seriousness, str] = {
    Seriousness.CLIENTS: "clients see it",
    Seriousness.MAY: "clients may see it after the next flip or reload",
    Seriousness.UNTIDY: "no client sees it",
}
_UNKNOWN: Mapping[Outcome, str] = {
    Outcome.OVERTAKEN: "a deployment of {fleet} began meanwhile: what was seen says nothing. Audit again after it",
    Outcome.FAILED: "audit {id} of {fleet} could not be carried out",
    Outcome.LOST: "whoever ran audit {id} of {fleet} is gone: audit again",
    Outcome.SKIPPED: "audit {id} was due while a deployment or another audit held {fleet}. It was never begun",
    Outcome.MISSED: "a later moment of the schedule came before anybody began audit {id} of {fleet}",
    Outcome.COVERED: "a deep audit of {fleet} was due at the same moment. Audit {id} was never begun",
}


def exit_of(audit: Audit) -> Exit:
    """0 only where everything was looked at and nothing is wrong; 3 where nobody knows."""
    match audit.outcome:
        case Outcome.CONSISTENT:
            return Exit.DONE
        case Outcome.INCONSISTENT:
            return Exit.ABORTED
    return Exit.OPEN


def report_lines(report: AuditReport) -> list[Text]:
    """The verdict, what was done, and the findings."""
    return [*_verdict(report), *_done(report.audit), *finding_lines(report.findings, report)]


def finding_lines(findings: Sequence[Known], report: AuditReport | None = None) -> Iterator[Text]:
    """The first findings by frontend, and how many more there are."""
    places = groupby(findings[:MOST_SHOWN], key=lambda known: (known.finding.fleet, known.finding.frontend))
    for (fleet, frontend), group in places:
        yield Text((frontend and f"{fleet} {frontend}") or f"{fleet}, the fleet itself", "bold")
        for known in group:
            yield from _finding(known, unseen=report is not None and not report.seen(known))
    if len(findings) > MOST_SHOWN:
        yield Text(f"and {len(findings) - MOST_SHOWN} more findings: see them with --json", "bold")


def _finding(known: Known, *, unseen: bool) -> list[Text]:
    finding = known.finding
    problem = replace(
        finding.problem(),
        where=shown(finding.path),
        expected=shown(finding.expected),
        found=shown(finding.found),
    )
    lines = problem_lines(problem.as_dict(), f"{finding.kind}: ")
    about = [f"since {known.opened_at:%Y-%m-%d %H:%M} UTC (audit {known.first})", HURTS[finding.seriousness]]
    if unseen:
        about.append("nobody could look at it in this audit")
    if known.healed:
        about.append(f"healed {known.healed} times")
    if known.escalated_at is not None:
        about.append("not healed any more: somebody has to look")
    if known.closed_at is not None:
        about.append(f"closed {known.closed_at:%Y-%m-%d %H:%M} UTC")
    return [*lines, Text(f"    {'; '.join(about)}")]


def _verdict(report: AuditReport) -> list[Text]:
    audit, detail = report.audit, report.audit.detail
    fleet, number = audit.plan.fleet, len(report.findings)
    which = f"audit {audit.id}{', deep' if audit.plan.deep else ''}{_effort(audit)}"
    if audit.outcome is None:
        line = f"open: audit {audit.id} of {fleet} goes on without this command; lockstep audits show {audit.id}"
        return [Text(line, "bold yellow")]
    if audit.outcome is Outcome.CONSISTENT:
        at = f" at epoch {detail['epoch']}" if "epoch" in detail else ""
        return [Text(f"consistent: {fleet}{at} is what the ledger says ({which})", "green")]
    if audit.outcome is Outcome.INCONSISTENT:
        many = "1 finding is" if number == 1 else f"{number} findings are"
        return [Text(f"inconsistent: {many} open in {fleet} ({which})", "bold red")]
    words = _UNKNOWN[audit.outcome].format(id=audit.id, fleet=fleet)
    lines = [Text(f"{audit.outcome}: {words}", "bold yellow")]
    return [*lines, *problem_lines(detail["problem"])] if detail.get("problem") else lines


def _effort(audit: Audit) -> str:
    detail = audit.detail
    hashed = detail.get("hashed")
    files = "" if not hashed else f", {hashed['files']} files hashed"
    seconds = "" if "seconds" not in detail else f", {detail['seconds']:.1f} s"
    return f"{files}{seconds}"


def _done(audit: Audit) -> Iterator[Text]:
    """What was healed, given up, drained, and what is gone."""
    detail, fleet = audit.detail, audit.plan.fleet
    if detail.get("healed"):
        by = f", by deployment {detail['healing']}" if detail.get("healing") else ""
        yield Text(f"  healed: {detail['healed']} findings{by}", "green")
    if detail.get("escalated"):
        yield Text(f"  given up: {detail['escalated']} findings were healed and came back: somebody has to look", "red")
    if troubles := detail.get("troubles"):
        yield Text("  not everything could be put right:", "red")
        for trouble in troubles:
            yield from problem_lines(trouble["problem"], f"{trouble['step']}: ")
    if left := detail.get("not_drained"):
        yield from problem_lines(left)
    if drained := detail.get("drained"):
        yield Text(f"  drained: {', '.join(drained)}; later: lockstep readmit {fleet} {' '.join(drained)}", "yellow")
    if detail.get("closed"):
        yield Text(f"  closed: {detail['closed']} findings are gone")
