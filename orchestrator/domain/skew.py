"""How far apart the frontends flipped, by their own clocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flip:
    """One frontend's flip: its clock right after the rename, and what is known of that clock, all in seconds.

    `offset` is the frontend's clock minus the worker's, `uncertainty` half of the round trip in which it was measured.
    """

    at: float
    offset: float = 0.0
    uncertainty: float = 0.0

    @property
    def corrected(self) -> float:
        """The flip on the workers' clock."""
        return self.at - correction(self.offset, self.uncertainty)


def correction(offset: float, uncertainty: float) -> float:
    """By how many seconds to correct a clock that is `offset` off. An offset within its own uncertainty counts as none:
    correcting by it would add the noise of a network round trip to clocks that agree.
    """
    return 0.0 if abs(offset) <= uncertainty else offset


def skew(flips: Iterable[Flip]) -> float | None:
    """Seconds between the first and the last flip; None where fewer than two are known (one is not a spread)."""
    times = [flip.corrected for flip in flips]
    if len(times) < 2:
        return None
    return max(times) - min(times)
