"""A target: what makes an input from a seed, and what must hold once the code under test has had it."""

from __future__ import annotations

import resource
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType, TracebackType
from typing import ClassVar, Generic, Self, TypeVar

#: Nothing that is parsed here takes as long, in seconds.
HANG_SECONDS = 30.0
#: By how much one input may make the process grow, in KiB (the unit of `ru_maxrss` on Linux).
GROWTH = 384 * 1024

T = TypeVar("T")


class Hang(BaseException):
    """An input that took too long. Not an error that anything may catch."""


class Target(ABC, Generic[T]):
    """One parser under test. A context manager, because some need a place to work in.

    An input consists of literals of Python alone, so that one can be kept in a file and read back.
    """

    name: ClassVar[str]
    #: How many inputs go between two calls of `settle`.
    batch: ClassVar[int] = 250
    #: How many inputs the short form has.
    short: ClassVar[int] = 500

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

    def settle(self) -> None:
        """What is too much work after each input: raise where some input since the last `reset` broke something."""

    def reset(self) -> None:
        """Make everything as it is before the first input."""


def random_of(name: str, seed: str, index: int) -> Random:
    """All that an input hangs on."""
    return Random(f"{seed}/{name}/{index}")


@contextmanager
def watched() -> Iterator[None]:
    """Raise where what is done inside takes too long, or too much memory."""

    def hang(number: int, frame: FrameType | None) -> None:
        raise Hang(f"longer than {HANG_SECONDS:g} s")

    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    before = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown
    if grown > GROWTH:
        raise AssertionError(f"it took {grown // 1024} MiB of memory")
