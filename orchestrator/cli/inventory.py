"""`lockstep inventory`: what the inventory file holds, and all that is wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from inventory import loader
from inventory.model import Fleet, Inventory, Policy, Unreachable
from inventory.problem import InventoryError, InventoryProblem
from inventory.selection import SelectionError, select
from orchestrator.cli.output import AsJson, Exit, print_error, print_json, results
from orchestrator.domain.errors import UsageError
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
                print_error(_usage(problem, _manual(problem)), as_json=False)
        raise typer.Exit(Exit.USAGE) from error
    if as_json:
        print_json({"ok": True, "fleets": [fleet.model_dump(mode="json") for fleet in inventory.fleets]})
    else:
        results().print(_table(inventory))


@app.command(epilog="Example:\n\nlockstep inventory example >inventory.yml")
def example() -> None:
    """Print an inventory that names every field, with what it is, its default and its limits."""
    typer.echo(loader.EXAMPLE.read_text(encoding="utf-8"), nl=False)


def load_inventory(settings: Settings) -> Inventory:
    """The inventory that the settings name. Raises `UsageError` with its first problem, and says how many follow."""
    try:
        return loader.load(settings.inventory)
    except InventoryError as error:
        first, *others = error.problems
        more = f"and {len(others)} more: lockstep inventory check {settings.inventory}" if others else _manual(first)
        raise _usage(first, more) from error


def select_fleet(inventory: Inventory, text: str) -> Fleet:
    """The fleet that an operator named, as ``Environment/fleet`` or by its own name. Raises `UsageError`."""
    try:
        return select(inventory, text)
    except SelectionError as error:
        expected = f"one of {', '.join(error.candidates)}" if error.candidates else "a fleet of the inventory"
        remedy = f"did you mean {error.nearest}?" if error.nearest else ""
        raise UsageError(error.what, expected=expected, remedy=remedy) from error


def _usage(problem: InventoryProblem, remedy: str) -> UsageError:
    return UsageError(
        problem.headline, where=problem.where, expected=problem.expected, found=problem.found, remedy=remedy
    )


def _manual(problem: InventoryProblem) -> str:
    """What to do where there is no file at all: problems in a file say what would be right."""
    if problem.line:
        return ""
    return f"write it, or set LOCKSTEP_INVENTORY to where it is; the manual is {loader.EXAMPLE}"


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
