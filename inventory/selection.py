"""Which fleet is meant: `Production/web`, or `web` where only one environment has a fleet of that name."""

from __future__ import annotations

from difflib import get_close_matches

from inventory.model import Fleet, Inventory
from inventory.problem import quoted


class SelectionError(Exception):
    """The text names no fleet, or more than one.

    `what` says which, `nearest` is the key of the fleet that may have been meant (or empty), and `candidates` are the
    keys of those that it may have been: all that there are where none has the name, else those that share it.
    """

    def __init__(self, what: str, candidates: tuple[str, ...], nearest: str = "") -> None:
        self.what = what
        self.candidates = candidates
        self.nearest = nearest
        hint = f"; did you mean {nearest}?" if nearest else ""
        super().__init__(f"{what}{hint} ({', '.join(candidates) or 'the inventory has no fleets'})")


def select(inventory: Inventory, text: str) -> Fleet:
    """The fleet that `text` names, as ``Environment/fleet`` or by its own name. Raises `SelectionError`."""
    matches = [fleet for fleet in inventory.fleets if text in (fleet.key, fleet.name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        keys = tuple(fleet.key for fleet in matches)
        raise SelectionError(f"{quoted(text)} is a fleet of {len(keys)} environments", keys)
    keys = tuple(fleet.key for fleet in inventory.fleets)
    raise SelectionError(f"no fleet is named {quoted(text)}", keys, _nearest(inventory, text))


def _nearest(inventory: Inventory, text: str) -> str:
    """The key of the fleet whose key or, for a text without an environment, whose name looks most like the text."""
    keys = {(fleet.key if "/" in text else fleet.name).lower(): fleet.key for fleet in inventory.fleets}
    near = get_close_matches(text.lower(), keys, 1)
    return keys[near[0]] if near else ""
