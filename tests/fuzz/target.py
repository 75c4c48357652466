"""A target: what makes an input from a seed, and what must hold once the code under test has had it."""

from __future__ import annotations

import resource
import signal
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import FrameType, TracebackType
from typing import Any, ClassVar, Generic, Self, TypeVar

#: Nothing that is parsed here takes as long, in seconds.
HANG_SECONDS = 30.0
#: By how much one input may make the process grow, in KiB (the unit of `ru_maxrss` on Linux).
GROWTH = 384 * 1024

T = TypeVar("T")


class Hang(BaseException):  # noqa: N818 -- not an error that anything may catch
    """An input that took too long."""


class Target(ABC, Generic[T]):
    """One parser under test. A context manager, because some need a place to work in."""

    name: ClassVar[str]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    def make(self, random: Random) -> T:
        """An input; the same for the same state of `random`."""

    @abstractmethod
    def check(self, made: T) -> bool:
        """Whether the input was accepted. Raises whatever should not have happened."""

    def show(self, made: T) -> str:
        """The input, so that somebody can use it elsewhere."""
        return repr(made)


@dataclass(frozen=True, slots=True)
class Crash:
    """An input that broke something, and how."""

    target: str
    seed: str
    index: int
    what: str
    shown: str

    def __str__(self) -> str:
        again = f"python -m tests.fuzz {self.target} --seed {self.seed} --only {self.index}"
        return (
            f"CRASH {self.target} seed {self.seed} index {self.index}\n{self.what}\ninput: {self.shown}\nagain: {again}"
        )


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


def random_of(name: str, seed: str, index: int) -> Random:
    """All that an input hangs on."""
    return Random(f"{seed}/{name}/{index}")  # noqa: S311


def run(target: Target[Any], seed: str, indexes: Iterable[int]) -> Tally:
    """Every input of these indexes. The target has been entered."""
    tally = Tally()
    for index in indexes:
        made: Any = None
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            with _watched():
                made = target.make(random_of(target.name, seed, index))
                accepted = target.check(made)
            _check_growth(before)
        except (Exception, Hang) as error:
            tally.crashes.append(Crash(target.name, seed, index, _trace(error), _short(target.show(made))))
            continue
        if accepted:
            tally.accepted += 1
        else:
            tally.refused += 1
    return tally


def _check_growth(before: int) -> None:
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if grown > GROWTH:
        raise AssertionError(f"one input took {grown // 1024} MiB of memory")


@contextmanager
def _watched() -> Iterator[None]:
    def hang(number: int, frame: FrameType | None) -> None:
        raise Hang(f"longer than {HANG_SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _trace(error: BaseException) -> str:
    # The first lines and the last: a recursion without end has a thousand in between.
    limit = sys.getrecursionlimit() // 2
    lines = "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=limit)).splitlines()
    return "\n".join(lines if len(lines) <= 60 else [*lines[:20], "…", *lines[-40:]])


def _short(text: str) -> str:
    return text if len(text) <= 6000 else f"{text[:3000]} … ({len(text)} characters) … {text[-500:]}"
