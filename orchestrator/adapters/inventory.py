"""The file of the inventory, with its problems as the errors that an operator sees."""

from __future__ import annotations

from pathlib import Path

from inventory import loader
from inventory.model import Fleet, Inventory
from inventory.problem import InventoryError, InventoryProblem
from inventory.selection import SelectionError, select
from orchestrator.domain.errors import UsageError


def load_inventory(path: Path) -> Inventory:
    """The inventory in a file. Raises `UsageError` with its first problem, and says how many follow."""
    try:
        return loader.load(path)
    except InventoryError as error:
        first, *others = error.problems
        more = f"and {len(others)} more: lockstep inventory check {path}" if others else manual(first)
        raise usage(first, more) from error


def select_fleet(inventory: Inventory, text: str) -> Fleet:
    """The fleet that somebody named, as ``Environment/fleet`` or by its own name. Raises `UsageError`."""
    try:
        return select(inventory, text)
    except SelectionError as error:
        expected = f"one of {', '.join(error.candidates)}" if error.candidates else "a fleet of the inventory"
        remedy = f"did you mean {error.nearest}?" if error.nearest else ""
        raise UsageError(error.what, expected=expected, remedy=remedy) from error


def check_app(inventory: Inventory, environment: str, app: str) -> None:
    """`UsageError` where no fleet of such an environment has such an app: a typing error would hurt nobody."""
    known = sorted({(fleet.environment, each.name) for fleet in inventory.fleets for each in fleet.apps})
    if (environment, app) not in known:
        raise UsageError(
            f"{environment} has no app {app}",
            expected=", ".join(f"{each} {name}" for each, name in known) or "an inventory with apps",
            found=f"{environment} {app}",
        )


def usage(problem: InventoryProblem, remedy: str) -> UsageError:
    """A problem of the file as an error."""
    return UsageError(
        problem.headline, where=problem.where, expected=problem.expected, found=problem.found, remedy=remedy
    )


def manual(problem: InventoryProblem) -> str:
    """What to do where there is no file at all: problems in a file say what would be right."""
    if problem.line:
        return ""
    return f"write it, or set LOCKSTEP_INVENTORY to where it is; the manual is {loader.EXAMPLE}"
