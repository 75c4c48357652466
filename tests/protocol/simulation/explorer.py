"""Drivers: every order of everything that can happen in a world, or one that is chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.protocol.simulation.laws import ViolationError
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.scenario import Scenario
from tests.protocol.simulation.world import Choice, World

#: How a world came to be: its last choice, and the way to the state before.
Way = tuple["Way | None", Choice] | None


def explore(
    scenario: Scenario,
    *,
    ledger: type[MemoryLedger] = MemoryLedger,
    check: Callable[[World], None] = lambda world: None,
) -> list[World]:
    """Take every choice in every state; returns the worlds in which nothing more can happen. `check` looks at each.

    Raises `ViolationError` for the first broken law, with the way to it.
    """
    first = World(scenario, ledger())
    ends: list[World] = []
    known = {first.key()}
    waiting: list[tuple[World, Way]] = [(first, None)]
    while waiting:
        world, way = waiting.pop()
        choices = world.choices()
        with _told(way):
            if not choices:
                ends.append(world)
                check(world)
        for choice in choices:
            # Nobody needs this state any more once its last choice is taken.
            child, further = world if choice is choices[-1] else world.fork(), (way, choice)
            with _told(further):
                child.take(choice)
            key = child.key()
            if key not in known:
                known.add(key)
                waiting.append((child, further))
    return ends


@contextmanager
def _told(way: Way) -> Iterator[None]:
    try:
        yield
    except AssertionError as error:
        raise ViolationError(f"{error}\n  after: " + "\n         ".join(map(str, steps(way)))) from error


def steps(way: Way) -> list[Choice]:
    """The choices of a way, the first one first."""
    choices = []
    while way is not None:
        way, choice = way
        choices.append(choice)
    return choices[::-1]


def drive(world: World, choose: Callable[[Sequence[Choice]], Choice]) -> list[Choice]:
    """Go on to the end of the world, one choice after the other; returns what was chosen."""
    taken = []
    while choices := world.choices():
        taken.append(choose(choices))
        world.take(taken[-1])
    return taken
