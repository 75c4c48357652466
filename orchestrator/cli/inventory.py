"""`lockstep inventory`: what the inventory file holds, and all that is wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from inventory import loader
from inventory.model import Inventory, Policy, Unreachable
from inventory.problem import InventoryError
from orchestrator.adapters.inventory import manual, usage
from orchestrator.cli.output import AsJson, Exit, print_error, print_json, results
from orchestrator.settings import Settings

app = typer.Typer(name="inventory", no_args_is_help=True, help="Environments, fleets, frontends and apps.")


@app.command(
    epilog="Examples:\n\n"
    "lockstep inventory check\n\n"
    "lockstep inventory check staging.yml\n\n"
    "lockstep inventory check --json | jq '.problems'\n\n"
    f"The manual of the format: {loader.EXAMPLE}"
)
def check(
    path: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="The file; by default LOCKSTEP_INVENTORY or inventory.yml.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the fleets of an inventory file, or every problem in it with its line. Asks no frontend."""
    where = path or Settings.read().inventory
    try:
        inventory = loader.load(where)
    except InventoryError as error:
        if as_json:
            print_json({"ok": False, "problems": [problem.as_dict() for problem in error.problems]})
        else:
            for problem in error.problems:
                print_error(usage(problem, manual(problem)), as_json=False)
        raise typer.Exit(Exit.USAGE) from error
    if as_json:
        print_json({"ok": True, "fleets": [fleet.model_dump(mode="json") for fleet in inventory.fleets]})
    else:
        results().print(_table(inventory))


@app.command(epilog="Example:\n\nlockstep inventory example >inventory.yml")
def example() -> None:
    """Print an inventory that names every field, with what it is, its default and its limits."""
    typer.echo(loader.EXAMPLE.read_text(encoding="utf-8"), nl=False)


def _table(inventory: Inventory) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("Fleet", "Apps", "Frontends", "Policy"):
        table.add_column(heading, overflow="fold")
    for fleet in inventory.fleets:
        mounts = "\n".join(f"{mounted.name} {mounted.mount}" for mounted in fleet.apps)
        names = ", ".join(frontend.name for frontend in fleet.frontends)
        cells = (fleet.key, mounts, f"{len(fleet.frontends)}: {names}", _in_short(fleet.policy))
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _in_short(policy: Policy) -> str:
    """What differs from fleet to fleet: the unreachable, the verification, the time to arm."""
    drains = policy.unreachable is Unreachable.DRAIN
    unreachable = f"drain up to {policy.max_drained}" if drains else "abort"
    files = "all files" if policy.verify == "all" else f"{policy.verify} files"
    return f"{unreachable}, verify {files}, arm {policy.arm_seconds:g} s"
