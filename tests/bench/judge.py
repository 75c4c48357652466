"""What a client may see while a fleet moves, judged: a pure count over the versions that its answers name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

STAMP = re.compile(rb"version=([0-9.]{1,20});")
PART = re.compile(rb'src="([A-Za-z0-9/._-]{1,100})"')


@dataclass(slots=True)
class Seen:
    """How many pages were judged, and what was wrong with them.

    Torn: a part is missing, or another version's. Backward: older than a page before. An error: no page at all.
    """

    pages: int = 0
    torn: int = 0
    backward: int = 0
    errors: int = 0

    def add(self, other: Seen) -> None:
        """Count another's in."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    @classmethod
    def of(cls, document: Mapping[str, int]) -> Seen:
        """From JSON."""
        return cls(**{field.name: document[field.name] for field in fields(cls)})

    def document(self) -> dict[str, int]:
        """For JSON."""
        return asdict(self)


class Judge:
    """One client's memory. `order`: the versions that may be seen, the oldest first."""

    def __init__(self, order: Sequence[str]) -> None:
        self._order = list(order)
        self._newest = -1
        self.seen = Seen()

    def judge(self, page: str | None, parts: Sequence[str | None]) -> None:
        """Count one page and its parts, each by the version that it names; None: no answer, or one without version."""
        if page is None or page not in self._order:
            self.seen.errors += 1
            return
        age = self._order.index(page)
        self.seen.pages += 1
        self.seen.torn += any(part != page for part in parts)
        self.seen.backward += age < self._newest
        self._newest = max(self._newest, age)


def version_of(body: bytes) -> str | None:
    """The version that a file names, or None."""
    found = STAMP.search(body)
    return found[1].decode() if found else None


def parts_of(page: bytes) -> list[str]:
    """The paths of a page's parts, from the page's own directory."""
    return [path.decode() for path in PART.findall(page)]
