"""The commands of audits: audit, audits list, audits show, audits findings."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from inventory.model import Fleet
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import WAIT_SECONDS, FleetName, actor, choose, need_worker
from orchestrator.cli.findings import exit_of, finding_lines, report_lines
from orchestrator.cli.output import AsJson, messages, print_json, results
from orchestrator.cli.progress import LOOK_SECONDS, QUIET_SECONDS
from orchestrator.domain.audit.audit import Audit
from orchestrator.domain.audit.finding import order
from orchestrator.domain.audit.healing import Policy
from orchestrator.domain.errors import ConflictError, LockstepError, UnansweredError, UsageError
from orchestrator.services.audits.report import AuditReport, found, report_of
from orchestrator.services.audits.views import audit_view, finding_view
from orchestrator.services.rotation import present_rotation

app = typer.Typer(no_args_is_help=True)

Number = Annotated[int, typer.Argument(metavar="ID", help="The audit's number, as `lockstep audits list` shows it.")]
OneFleet = Annotated[str | None, typer.Argument(metavar="[FLEET]", help="One fleet; without it, all.")]


def audit(
    fleet: FleetName,
    deep: Annotated[bool, typer.Option("--deep", help="Hash every file again, also what did not change.")] = False,
    policy: Annotated[
        Policy | None, typer.Option("--policy", help="What is done about findings; without it, the fleet's own.")
    ] = None,
    remove_extra: Annotated[
        bool, typer.Option("--remove-extra", help="Where it heals: remove what should not be there.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait while a deployment or an audit holds the fleet.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Return at once; see `lockstep audits show ID`.")] = False,
    as_json: AsJson = False,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Also as JUnit XML, to FILE.")] = None,
) -> None:
    """Prove that every frontend holds and serves what the ledger says; with a policy, put right what does not.

    Exit codes: 0 consistent; 1 inconsistent, or never begun; 2 usage; 3 nobody knows.

    Examples:
      lockstep audit Production/web

      lockstep audit web --deep --junit audit.xml

      lockstep audit web --policy heal --json
    """
    if junit is not None and (detach or not junit.absolute().parent.is_dir()):
        expected = "no --detach: the report comes with the end" if detach else "a file in a directory that is there"
        raise UsageError("can't write the report", where="--junit", expected=expected)
    lockstep = Lockstep()
    chosen = choose(lockstep, fleet)
    need_worker(lockstep)
    begun = begin(lockstep, chosen, wait, deep=deep, policy=policy, remove_extra=remove_extra)
    if detach:
        if as_json:
            print_json(audit_view(begun))
        else:
            results().print(Text(f"audit {begun.id}: lockstep audits show {begun.id}"), highlight=False)
        return
    report = watched(lockstep, begun)
    _say(report, as_json)
    if junit is not None:
        # Imported where it is needed: no other command has to pay for it.
        from orchestrator.cli.junit import write_junit  # noqa: PLC0415

        rotation = present_rotation(lockstep.ledger, chosen)
        write_junit(junit, report, (*rotation.serving, *rotation.drained))
    raise typer.Exit(exit_of(report.audit))


def watched(lockstep: Lockstep, begun: Audit) -> AuditReport:
    """The report once it has ended. Ctrl-C ends the watching, never the audit: it is open then."""
    try:
        followed(lockstep, begun)
    except KeyboardInterrupt:
        messages().print()
    return report_of(lockstep.audits, found(lockstep.audits, begun.id))


def followed(lockstep: Lockstep, begun: Audit) -> Audit:
    """The audit once it has ended. `UnansweredError` where it can't be watched any more, or no worker answers."""
    console = messages()
    line = f"audit {begun.id} of {begun.plan.fleet} …"
    if not console.is_terminal:
        console.print(line, highlight=False, markup=False)
    asked = time.monotonic()
    with console.status(Text(line)) if console.is_terminal else nullcontext():
        while True:
            try:
                standing = found(lockstep.audits, begun.id)
            except LockstepError as error:
                raise _unread(begun, error) from error
            if standing.outcome is not None:
                return standing
            if time.monotonic() - asked > QUIET_SECONDS:
                if not lockstep.dispatch.workers():
                    raise _nobody(begun)
                asked = time.monotonic()
            time.sleep(LOOK_SECONDS)


def begin(
    lockstep: Lockstep, fleet: Fleet, wait: bool, *, deep: bool, policy: Policy | None, remove_extra: bool
) -> Audit:
    """Begin it; with `wait`, once nobody holds the fleet."""
    told = ""
    while True:
        try:
            return lockstep.auditing.begin(fleet, actor(), deep=deep, policy=policy, remove_extra=remove_extra)
        except ConflictError as error:
            if not wait:
                raise
            if error.problem.what != told:
                told = error.problem.what
                messages().print(f"waiting: {told} ({error.problem.found})", highlight=False, markup=False)
        time.sleep(WAIT_SECONDS)


def _unread(audit: Audit, error: LockstepError) -> UnansweredError:
    return UnansweredError(
        f"audit {audit.id} can't be watched any more: {error.problem.what}",
        where=error.problem.where,
        expected="an answer of the ledger",
        found=error.problem.found,
        remedy=f"it goes on without this command; when the ledger answers: lockstep audits show {audit.id}",
    )


def _nobody(audit: Audit) -> UnansweredError:
    return UnansweredError(
        f"audit {audit.id} does not go on: no worker answers",
        expected="a running worker",
        found="none",
        remedy=f"start one (lockstep standalone, or lockstep-worker), then: lockstep audits show {audit.id}",
    )


def _say(report: AuditReport, as_json: bool) -> None:
    if as_json:
        print_json({**audit_view(report.audit), "findings": [finding_view(known) for known in report.findings]})
        return
    for line in report_lines(report):
        results().print(line, highlight=False)


@app.callback()
def _group() -> None:
    """Audits and what they found."""


@app.command("list")
def list_audits(
    fleet: OneFleet = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Audits, newest first; also those that were due and never begun.

    Example:
      lockstep audits list Production/web --limit 5
    """
    lockstep = Lockstep()
    views = [audit_view(each) for each in lockstep.audits.audits(_key(lockstep, fleet), limit)]
    if as_json:
        print_json({"audits": views})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("id", "fleet", "depth", "policy", "outcome", "opened", "closed", "healed", "when (UTC)", "by"):
        table.add_column(column)
    for view in views:
        depth = "deep" if view["deep"] else "quick"
        counts = ("" if view[key] is None else str(view[key]) for key in ("opened", "closed", "healed"))
        row = (str(view["id"]), view["fleet"], depth, view["policy"], view["outcome"] or "open", *counts)
        table.add_row(*map(Text, (*row, view["begun_at"][:19], view["actor"])))
    results().print(table)


@app.command()
def show(number: Number, as_json: AsJson = False) -> None:
    """One audit: its verdict, what was done, and the findings that were open when it ended.

    Example:
      lockstep audits show 7 --json
    """
    lockstep = Lockstep()
    _say(report_of(lockstep.audits, found(lockstep.audits, number)), as_json)


@app.command()
def findings(
    fleet: OneFleet = None,
    closed: Annotated[bool, typer.Option("--closed", help="Also those that are gone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Findings that are open, by frontend, the most serious first.

    Examples:
      lockstep audits findings

      lockstep audits findings Production/web --closed --json
    """
    lockstep = Lockstep()
    known = lockstep.audits.findings(_key(lockstep, fleet), closed=closed)
    known.sort(key=lambda each: order(each.finding))
    if as_json:
        print_json({"findings": [finding_view(each) for each in known]})
        return
    for line in finding_lines(known):
        results().print(line, highlight=False)
    if not known:
        results().print(Text("no findings" if closed else "no finding is open"))


def _key(lockstep: Lockstep, fleet: str | None) -> str | None:
    return None if fleet is None else choose(lockstep, fleet).key
