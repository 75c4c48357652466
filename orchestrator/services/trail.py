"""Whether the trail is whole: every entry follows the one before it. docs/access.md, "The trail"."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.domain.trail import BEGINNING, Entry, UnreadableError, broken
from orchestrator.ports import Trail

#: How many entries are read at once.
PAGE = 500


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the whole trail found.

    `entries` counts those that follow, up to the first that does not; `digest` is the last one's. `wrong` is "" where
    the trail is whole. `expected_at` is the number of the entry that has the expected digest, None where none was
    expected.
    """

    entries: int
    digest: str
    wrong: str = ""
    expected_at: int | None = None

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong


def verify(trail: Trail, expected: str | None = None) -> Verdict:
    """Read the whole trail. `expected` is a digest that was kept elsewhere, and must still be one of an entry.

    A chain alone can't show that it was written anew from some entry on, or that its end was cut off.
    """
    last: Entry | None = None
    expected_at = 0 if expected == BEGINNING else None
    while True:
        after = 0 if last is None else last.number
        try:
            page = trail.entries(after, PAGE)
        except UnreadableError as error:
            return _verdict(last, error.problem.what, expected_at)
        if not page:
            break
        for entry in page:
            wrong = broken([entry], last)
            if wrong is not None:
                return _verdict(last, wrong, expected_at)
            last = entry
            if entry.digest == expected:
                expected_at = entry.number
    if expected is not None and expected_at is None:
        return _verdict(last, f"no entry has the expected digest {expected}", None)
    return _verdict(last, "", expected_at)


def _verdict(last: Entry | None, wrong: str, expected_at: int | None) -> Verdict:
    number, digest = (0, BEGINNING) if last is None else (last.number, last.digest)
    return Verdict(number, digest, wrong, expected_at)
