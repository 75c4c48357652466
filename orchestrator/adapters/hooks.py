"""The file of the hooks, with its problems as the errors that an operator sees."""

from __future__ import annotations

from pathlib import Path

from inventory import hooks
from inventory.hooks import Hooks
from inventory.problem import InventoryError
from orchestrator.adapters.inventory import usage


def load_hooks(path: Path) -> Hooks:
    """The hooks in a file; none where there is no file. Raises `UsageError` with its first problem."""
    if not path.exists():
        return Hooks()
    try:
        return hooks.load(path)
    except InventoryError as error:
        first, *others = error.problems
        raise usage(first, f"and {len(others)} more" if others else f"the manual is {hooks.EXAMPLE}") from error
