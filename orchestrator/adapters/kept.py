"""A file that is asked for again and again: read once, and anew when it has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from orchestrator.adapters.sources.stamp import Stamp

T = TypeVar("T")

#: For so long after a change the stamp is not believed, in nanoseconds: the file's times go in steps of milliseconds,
#: and a second change within one step would not be seen.
SETTLED = 2_000_000_000


class Kept(Generic[T]):
    """What `read` makes of a file. Safe to share between threads. `now` is the time of day in nanoseconds.

    What `read` raises is raised at each call, until the file is right. One that is not there is looked for each time.
    """

    def __init__(self, path: Path, read: Callable[[Path], T], now: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._read = read
        self._now = now
        self._known: tuple[Stamp, T] | None = None

    def __call__(self) -> T:
        """The file as it is now."""
        # Before it is read: where it changes meanwhile, the next call sees another stamp.
        stamp = self._stamp()
        known = self._known
        if known is not None and known[0] == stamp:
            return known[1]
        found = self._read(self._path)
        if stamp is not None and self._now() - stamp.changed >= SETTLED:
            self._known = (stamp, found)
        return found

    def _stamp(self) -> Stamp | None:
        try:
            return Stamp.of(self._path.stat())
        except OSError:
            return None
