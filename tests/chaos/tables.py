"""The report as people read it; the tables are Markdown as well, so that a page can quote them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.chaos.matrix import WANTED_SECONDS, Report
from tests.chaos.points import Database, Deed, Point
from tests.chaos.run import Result

#: Where the width is nobody's: a pipe, a file.
WIDTH = 120
NAMES = {Database.SQLITE: "SQLite", Database.POSTGRESQL: "PostgreSQL"}


def print_report(report: Report, console: Console) -> None:
    """The tables, the totals, and all that failed."""
    for database in dict.fromkeys(result.cell.database for result in report.results):
        console.print(Text(f"Ledger: {NAMES[database]}", style="bold"))
        console.print(_table([result for result in report.results if result.cell.database is database]))
    totals = report.as_dict()["totals"]
    counts = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in totals.items())
    console.print(Text(counts), soft_wrap=True)
    console.print(f"{report.next_deployments} next deployments, {len(report.next_faults)} failed", highlight=False)
    console.print(Text(_takeovers(report.takeovers)), soft_wrap=True)
    for result in report.runs:
        for fault in result.faults:
            console.print(Text(f"{result.cell.key}: {fault}", style="bold red"), soft_wrap=True)
    for fault in (*report.next_faults, *report.findings):
        console.print(Text(fault, style="bold red"), soft_wrap=True)
    console.print(Text("all as it must be" if report.good else "FAILED", style="bold green" if report.good else "red"))


def _table(results: Sequence[Result]) -> Table:
    """Rows are points, columns are deeds."""
    deeds = list(dict.fromkeys(result.cell.deed for result in results))
    cells = {(result.cell.point, result.cell.deed): result for result in results}
    table = Table(box=box.MARKDOWN, title=None)
    table.add_column("point", no_wrap=True)
    for deed in deeds:
        table.add_column(_words(deed), no_wrap=True)
    for point in Point:
        found = [cells.get((point, deed)) for deed in deeds]
        if any(found):
            table.add_row(_words(point), *(_cell(result) for result in found))
    return table


def _cell(result: Result | None) -> Text:
    if result is None:
        return Text("")
    return Text(result.summary, style="green") if result.good else Text("FAILED", style="bold red")


def _takeovers(seconds: Sequence[float]) -> str:
    if not seconds:
        return "no takeover was measured"
    late = sum(each > WANTED_SECONDS for each in seconds)
    return (
        f"from a coordinator's death to its recovery's start: min {min(seconds):.2f} s, "
        f"median {statistics.median(seconds):.2f} s, max {max(seconds):.2f} s; "
        f"{len(seconds)} runs, {late} over {WANTED_SECONDS:g} s"
    )


def _words(name: Point | Deed) -> str:
    return name.replace("-", " ")
