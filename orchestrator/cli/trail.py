"""`lockstep trail`: who changed what, and whether anybody changed that."""

from __future__ import annotations

import json
import re
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import choose
from orchestrator.cli.output import AsJson, Exit, messages, print_json, results
from orchestrator.domain.errors import UsageError
from orchestrator.domain.paths import show as shown
from orchestrator.services.trail import verify as verified
from orchestrator.services.views import entry_view

app = typer.Typer(name="trail", no_args_is_help=True, help="Who changed what: show, verify.")

DIGEST = re.compile(r"[0-9a-f]{64}")


@app.command()
def show(
    after: Annotated[
        int | None, typer.Option("--after", metavar="N", min=0, help="From behind entry N on; without it, the newest.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=10_000, help="How many.")] = 50,
    fleet: Annotated[
        str | None, typer.Option("--fleet", metavar="F", help="Only this fleet's; Environment/fleet also of old ones.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Entries of the trail, in their order.

    Examples:
      lockstep trail show --limit 20

      lockstep trail show --after 1200 --fleet Production/web --json
    """
    lockstep = Lockstep()
    # A fleet that has left the inventory has left its entries.
    key = fleet if fleet is None or "/" in fleet else choose(lockstep, fleet).key
    if after is None:
        found = lockstep.trail.newest(limit, fleet=key)
    else:
        found = lockstep.trail.entries(after, limit, fleet=key)
    if as_json:
        print_json({"entries": [entry_view(entry) for entry in found]})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("number", "when (UTC)", "action", "by", "fleet", "deployment", "detail"):
        table.add_column(column)
    for entry in found:
        action = entry.action
        deployment = "" if action.deployment is None else str(action.deployment)
        when = f"{entry.at:%Y-%m-%d %H:%M:%S}"
        detail = shown(json.dumps(dict(action.detail), sort_keys=True, ensure_ascii=False))
        row = (str(entry.number), when, action.name, shown(action.actor), action.fleet, deployment, detail)
        table.add_row(*map(Text, row))
    results().print(table)


@app.command()
def verify(
    expect: Annotated[
        str | None,
        typer.Option("--expect", metavar="DIGEST", help="A digest that was kept elsewhere: it must be an entry's."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compute every entry anew, and see that it follows the one before it. Exit 1 where one does not.

    The last digest, kept where nobody who may write the database can change it, shows with --expect that nothing
    before it was written anew or cut off.

    Examples:
      lockstep trail verify

      lockstep trail verify --expect 5f2c…
    """
    if expect is not None and DIGEST.fullmatch(expect) is None:
        raise UsageError("not a digest", where="--expect", expected="64 hex digits, as verify prints them")
    verdict = verified(Lockstep().trail, expect)
    if as_json:
        print_json(
            {
                "whole": verdict.whole,
                "entries": verdict.entries,
                "digest": verdict.digest,
                "expected_at": verdict.expected_at,
                "wrong": verdict.wrong or None,
            }
        )
    elif verdict.whole:
        where = "" if verdict.expected_at is None else f"; the expected digest is entry {verdict.expected_at}'s"
        line = f"whole: {verdict.entries} entries, the last digest {verdict.digest}{where}"
        results().print(line, highlight=False, markup=False)
    else:
        messages().print(f"broken: {verdict.wrong}", highlight=False, markup=False)
        line = f"  whole up to entry {verdict.entries}, whose digest is {verdict.digest}"
        messages().print(line, highlight=False, markup=False)
    if not verdict.whole:
        raise typer.Exit(Exit.ABORTED)
