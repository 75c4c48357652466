"""Giving inputs to a target, and finding the one that broke something."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.target import Hang, Target, random_of, watched


@dataclass(frozen=True, slots=True)
class Crash:
    """What broke something, and how: one input, or several that do it together, each as Python spells it."""

    target: str
    seed: str
    index: int
    what: str
    inputs: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What came of some inputs."""

    accepted: int = 0
    refused: int = 0
    crashes: list[Crash] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """All of them."""
        return self.accepted + self.refused + len(self.crashes)

    def add(self, other: Tally) -> None:
        """Count another tally's inputs as well."""
        self.accepted += other.accepted
        self.refused += other.refused
        self.crashes += other.crashes


def run(target: Target[Any], seed: str, indexes: Sequence[int]) -> Tally:
    """Every input of these indexes, batch by batch. The target has been entered."""
    tally = Tally()
    for start in range(0, len(indexes), target.batch):
        _run_batch(target, seed, indexes[start : start + target.batch], tally)
    return tally


def _run_batch(target: Target[Any], seed: str, indexes: Sequence[int], tally: Tally) -> None:
    target.reset()
    for index in indexes:
        try:
            with watched():
                made = target.make(random_of(target.name, seed, index))
        except (Exception, Hang) as error:
            tally.crashes.append(Crash(target.name, seed, index, f"making an input: {_trace(error)}", ()))
            continue
        came = outcome(target, made)
        if isinstance(came, str):
            tally.crashes.append(Crash(target.name, seed, index, came, (repr(made),)))
            target.reset()
        elif came:
            tally.accepted += 1
        else:
            tally.refused += 1
    wrong = settled(target)
    if wrong is not None:
        tally.crashes.append(_blame(target, seed, indexes, wrong))
        target.reset()


def outcome(target: Target[Any], made: Any) -> bool | str:
    """Whether an input was accepted, or how it broke something."""
    try:
        with watched():
            return target.check(made)
    except (Exception, Hang) as error:
        return _trace(error)


def settled(target: Target[Any]) -> str | None:
    """How the inputs since the last reset broke something together; None where they did not."""
    try:
        with watched():
            target.settle()
    except (Exception, Hang) as error:
        return _trace(error)
    return None


def _blame(target: Target[Any], seed: str, indexes: Sequence[int], wrong: str) -> Crash:
    """The input that broke what `settle` looks at, by bisection; with those before it where it needs them."""

    def breaks(inputs: Iterable[Any]) -> bool:
        target.reset()
        for made in inputs:
            outcome(target, made)
        return settled(target) is not None

    made = [target.make(random_of(target.name, seed, index)) for index in indexes]
    good, bad = 0, len(made)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if breaks(made[:middle]) else (middle, bad)
    blamed = made[bad - 1 : bad] if breaks(made[bad - 1 : bad]) else made[:bad]
    return Crash(target.name, seed, indexes[bad - 1], wrong, tuple(map(repr, blamed)))


def _trace(error: BaseException) -> str:
    # The first lines and the last: a recursion without end has a thousand in between.
    limit = sys.getrecursionlimit() // 2
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=limit)).splitlines()
    return "\n".join(line[:2000] for line in (lines if len(lines) <= 60 else [*lines[:20], "…", *lines[-40:]]))
