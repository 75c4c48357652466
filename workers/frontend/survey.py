"""What an audit asks of a frontend's state: as `probe`, but a damaged frontend answers as well. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.domain.activation import NAME as ACTIVATION
from orchestrator.domain.release import SHA256
from workers.frontend.answers import unintelligible
from workers.frontend.commands import EPOCH, SINGLE, Command, read_state

#: What can't be told.
NONE = "-"
#: Bytes of what a recipe says that it was made of.
LONGEST_OPTIONS = 2000


def _or_none(pattern: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(rf"(?:{pattern.pattern})|{NONE}")


_SINGLE: Mapping[str, re.Pattern[str]] = {
    **SINGLE,
    "fence": _or_none(EPOCH),
    "current": _or_none(ACTIVATION),
    "place": re.compile(rf"[0-9a-f]{{16}}|{NONE}"),
    "recipe": _or_none(SHA256),
    "options": re.compile(rf"[ -~]{{1,{LONGEST_OPTIONS}}}"),
}


@dataclass(frozen=True, slots=True)
class Surveyed:
    """As `Probed`; and the recipe's SHA-256, with the first line that says what it was made of.

    `marked`: the mark lies below the root. `fence` is None and the texts are "" where there is none, or none that can
    be told.
    """

    script: str
    fence: int | None
    current: str
    drained: bool
    drain: int
    free: int
    clock: float
    marked: bool
    recipe: str
    options: str
    activations: frozenset[str] = field(default_factory=frozenset)
    releases: frozenset[str] = field(default_factory=frozenset)
    ahead: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Survey(Command):
    """Ask for the state of a frontend that may be damaged, and leave `mark` (16 hex digits) for HTTP to show."""

    mark: str

    def words(self) -> tuple[str, ...]:
        """The mark."""
        return (self.mark,)

    def parse(self, stdout: bytes, status: int | None) -> Surveyed:
        """The state; every line must have its form, and none may be missing."""
        once, often = read_state(self, _SINGLE, stdout, status)
        if once["place"] not in (NONE, self.mark):
            raise unintelligible(self.name, stdout, status)
        told = {key: "" if value == NONE else value for key, value in once.items()}
        return Surveyed(
            script=told["script"],
            fence=int(told["fence"]) if told["fence"] else None,
            current=told["current"],
            drained=told["drained"] == "yes",
            drain=int(told["drain"]),
            free=int(told["free"]),
            clock=float(told["clock"]),
            marked=bool(told["place"]),
            recipe=told["recipe"],
            options=told["options"],
            activations=often["activation"],
            releases=often["release"],
            ahead=often["ahead"],
        )
