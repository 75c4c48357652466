"""What the doctor found, as text: a table of who has what, and the findings in words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.cli.output import results
from orchestrator.domain.paths import show
from orchestrator.ota.doctor.findings import ADDRESS, Finding, Severity, listed, verdict
from orchestrator.ota.doctor.observations import Observations, Standing
from orchestrator.ota.doctor.report import UNKNOWN, Row, manifest_hash, rows, shown
from orchestrator.services.doctor import Examination

#: The exit codes: what is wrong outweighs what nobody could find out.
CODES = {None: 0, Severity.WRONG: 1, Severity.UNKNOWN: 3}
STYLES = {Severity.WRONG: "bold red", Severity.UNKNOWN: "bold yellow", Severity.NOTE: "bold cyan"}
#: How many frontends a finding names.
NAMES = 8


def print_diagnosis(examination: Examination) -> None:
    """All of it, on standard output."""
    console = results()
    seen = examination.seen
    console.print(_head(seen), highlight=False)
    if seen.asked is not None and seen.asked.path:
        values = f"{show(seen.asked.path)}: the manifest has hash {manifest_hash(seen)}"
        console.print(Text(values), highlight=False)
    _print_table(console, seen)
    console.print(Text(_checked(examination), "dim"), highlight=False)
    for finding in examination.findings:
        _print_finding(console, finding)
    console.print(_last_word(examination), highlight=False)


def _head(seen: Observations) -> Text:
    release = seen.release
    if release is None:
        return Text(seen.address.url, "bold")
    head = Text.assemble((f"{seen.fleet} ", "bold"), f"should serve {release.app} {release.version}: ")
    return head.append(f"activation {release.name}, token {release.token}")


def _print_table(console: Console, seen: Observations) -> None:
    address, *frontends = rows(seen)
    chosen, others = shown(frontends)
    table = Table(box=None, pad_edge=False, header_style="dim")
    columns = ["", "rotation", "on disk", "served", "token"]
    columns += ["files"] if seen.asked is None else ["in moduleinfo", "file on disk", "by hash", "by path"]
    if not frontends:
        columns = [column for column in columns if column not in ("rotation", "on disk", "file on disk")]
    for column in columns:
        table.add_column(column)
    for row in (*chosen, address):
        cells = _cells(row)
        table.add_row(*(cells[column] for column in columns))
    console.print(table)
    if others:
        alike = "are like the first" if len(chosen) == 1 else "are like the first, or differ like those shown"
        console.print(Text(f"{others} more frontends {alike}", "dim"), highlight=False)


def _cells(row: Row) -> dict[str, Text]:
    public = row.where == ADDRESS
    made = {
        "": Text("address" if public else row.where),
        "rotation": Text(row.standing, "" if row.standing == Standing.SERVING else "yellow"),
        "on disk": Text("" if public else row.disk),
        "served": Text(row.served or "not named"),
        "token": Text(row.token or "none"),
        "files": _files(row),
    }
    if row.file is not None:
        made |= {
            "in moduleinfo": Text(row.file.listed or "not listed"),
            "file on disk": Text("" if public else _short(row.file.disk) or "none"),
            "by hash": Text(row.file.by_hash or "not asked"),
            "by path": Text(row.file.by_path or "not asked"),
        }
    return made


def _short(disk: str) -> str:
    """A SHA-256 by its first letters: that tells two apart, and leaves room for the others."""
    return f"{disk[:20]}…" if disk.startswith("SHA-256") else disk


def _files(row: Row) -> Text:
    parts = [Text(f"{row.right} right", "green" if row.right else "")]
    if row.wrong:
        parts.append(Text(f"{row.wrong} wrong", "red"))
    if row.unanswered:
        parts.append(Text(f"{row.unanswered} {UNKNOWN}", "yellow"))
    return Text(", ").join(parts)


def _checked(examination: Examination) -> str:
    checked, files = examination.checked, examination.files
    more = "" if checked >= files or examination.seen.asked is not None else "; all of them with --all"
    return f"checked: {checked} of {files} files, by hash and by path, and the app's documents{more}"


def _print_finding(console: Console, finding: Finding) -> None:
    where = f"{listed(list(finding.where), NAMES)}: " if finding.where else ""
    head = Text(f"{finding.severity}: ", STYLES[finding.severity]).append(f"{where}{finding.what}", "default not bold")
    console.print(head.append(f"  [{finding.code}]", "dim"), highlight=False)
    for label, text in (("expected", finding.expected), ("found", finding.found), ("what to do", finding.remedy)):
        if text:
            console.print(Text(f"  {label}: {text}"), highlight=False)


def _last_word(examination: Examination) -> Text:
    findings: Sequence[Finding] = examination.findings
    worst = verdict(findings)
    number = sum(finding.severity is worst for finding in findings)
    if worst is Severity.WRONG:
        return Text(f"something is wrong: {number} finding{'s' if number > 1 else ''}", "bold red")
    if worst is Severity.UNKNOWN:
        return Text("nothing is wrong as far as could be seen, but not everything could be", "bold yellow")
    return Text("all is well", "bold green")
