"""The commands that only read: status, history, deployments show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import Number, choose
from orchestrator.cli.output import AsJson, print_json, results
from orchestrator.cli.progress import report_line, trouble_lines
from orchestrator.cli.updates import update_lines
from orchestrator.services.audits.views import fleet_audit_view
from orchestrator.services.lookup import found
from orchestrator.services.views import deployment_view, deployment_with_reports, fleet_view

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Deployments and their reports."""


def status(
    fleet: Annotated[str | None, typer.Argument(metavar="[FLEET]", help="One fleet; without it, all.")] = None,
    as_json: AsJson = False,
) -> None:
    """What each fleet serves according to the ledger, and what is under way.

    Examples:
      lockstep status

      lockstep status Production/web --json
    """
    lockstep = Lockstep()
    inventory = lockstep.inventory()
    fleets = inventory.fleets if fleet is None else (choose(lockstep, fleet),)
    views = [
        {**fleet_view(lockstep.ledger, chosen), "audit": fleet_audit_view(lockstep.audits, chosen.key)}
        for chosen in fleets
    ]
    if as_json:
        print_json({"fleets": views})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("fleet", "epoch", "apps", "since (UTC)", "out of rotation", "under way", "last audit"):
        table.add_column(column)
    for view in views:
        apps = ", ".join(f"{app} {version}" for app, version in sorted(view["apps"].items())) or "nothing yet"
        going = view["open"]
        under_way = "" if going is None else f"deployment {going['id']}, {going['state']}, by {going['actor']}"
        out = ", ".join([*view["rotation"]["drained"], *(f"{name} (new)" for name in view["rotation"]["new"])])
        since = (view["since"] or "-")[:19]
        table.add_row(view["fleet"], str(view["epoch"] or "-"), apps, since, out, under_way, _audited(view["audit"]))
    results().print(table)


def _audited(view: Mapping[str, Any]) -> str:
    """The last audit of a fleet, and how many findings are open, in a few words."""
    last, number = view["last"], view["findings"]
    many = f", {number} {'finding' if number == 1 else 'findings'} open" if number else ""
    if last is None:
        return f"never{many}"
    return f"{last['id']} {last['outcome'] or 'goes on'}, {(last['ended_at'] or last['begun_at'])[:16]}{many}"


def history(
    fleet: Annotated[str | None, typer.Argument(metavar="[FLEET]", help="One fleet; without it, all.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Deployments, newest first.

    Example:
      lockstep history Production/web --limit 5
    """
    lockstep = Lockstep()
    key = None if fleet is None else choose(lockstep, fleet).key
    views = [deployment_view(deployment) for deployment in lockstep.ledger.history(key, limit)]
    if as_json:
        print_json({"deployments": views})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("id", "fleet", "epoch", "kind", "changes", "state", "skew", "when (UTC)", "by"):
        table.add_column(column)
    for view in views:
        changes = ", ".join(f"{app}={version}" for app, version in sorted(view["changes"].items()))
        skew = "" if view["skew_ms"] is None else f"{view['skew_ms']:.1f} ms"
        when = view["created_at"][:19]
        row = (view["fleet"], view["epoch"], view["kind"], changes, view["state"], skew, when, view["actor"])
        table.add_row(str(view["id"]), *(str(cell) for cell in row))
    results().print(table)


@app.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """One deployment and every report of every frontend.

    Example:
      lockstep deployments show 17 --json
    """
    lockstep = Lockstep()
    deployment = found(lockstep.ledger, number)
    reports = [report for _, report in lockstep.ledger.reports(number)]
    view = deployment_with_reports(deployment, reports)
    if as_json:
        print_json(view)
        return
    console = results()
    for key in ("id", "fleet", "epoch", "kind", "state", "decision", "actor", "created_at", "decided_at", "ended_at"):
        console.print(f"{key:12} {view[key] if view[key] is not None else '-'}", highlight=False, markup=False)
    console.print(f"{'skew':12} {'-' if view['skew_ms'] is None else str(view['skew_ms']) + ' ms'}", highlight=False)
    for app, release in sorted(view["apps"].items()):
        console.print(
            f"{'app':12} {app} {release['version']} at {release['mount']} {release['digest']}", highlight=False
        )
        for text in update_lines(view["updates"][app]) if app in view["updates"] else ():
            console.print(f"{'':12}   {text}", highlight=False, markup=False)
    if not deployment.state.ended:
        console.print(f"{'preview':12} Cookie: {view['preview_cookie']}", highlight=False)
    for report in reports:
        console.print(f"  {report.at:%H:%M:%S} {report_line(report)}", highlight=False, markup=False)
    for line in trouble_lines(deployment.troubles):
        console.print(line)
