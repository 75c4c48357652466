"""The commands that put a frontend right under the epoch of what is committed (docs/audits.md, "Healing"). No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from workers.frontend.answers import unintelligible
from workers.frontend.commands import Command, OfActivation, flipped


@dataclass(frozen=True, slots=True)
class OfHealing(OfActivation):
    """A command that names what is committed, and the highest epoch that the fleet ever had: its fencing token."""

    fence: int

    def words(self) -> tuple[str, ...]:
        """The activation and the fence."""
        return (str(self.activation), str(self.fence))


@dataclass(frozen=True, slots=True)
class Replace(OfHealing):
    """Take objects in, also where there are some of their names: a gzip tar on standard input, as for `Receive`."""

    parse = Command.parse_nothing


@dataclass(frozen=True, slots=True)
class Mend(OfHealing):
    """Put entries of trees and of the look-up right: a gzip tar of links on standard input (`packs.mending_pack`)."""

    parse = Command.parse_nothing


@dataclass(frozen=True, slots=True)
class Remove(OfHealing):
    """Remove entries of trees: lines of paths on standard input, `releases/…` or `activations/…`."""

    parse = Command.parse_nothing


@dataclass(frozen=True, slots=True)
class Restore(OfHealing):
    """Lead `current` to the activation, whatever is served."""

    def parse(self, stdout: bytes, status: int | None) -> float | None:
        """When it flipped, None where it had flipped before. The answer must name exactly this activation."""
        lines = self.lines(stdout, status)
        if not lines or not lines[0].startswith(f"ACTIVE {self.activation} "):
            raise unintelligible(self.name, stdout, status)
        return flipped(self, lines, stdout, status)
