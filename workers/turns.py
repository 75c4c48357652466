"""Work on many frontends, so many at a time: what must wait before it is done takes nobody's turn meanwhile."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger()

Work = Callable[[], None]


class Turns:
    """At most `at_once` threads, begun as they are needed. Safe to use from several threads. `name` is the threads'."""

    def __init__(self, at_once: int, name: str) -> None:
        self._at_once = at_once
        self._name = name
        self._changed = threading.Condition()
        #: When it is due, of `time.monotonic`, and its place among those due at the same moment.
        self._waiting: list[tuple[float, int, Work]] = []
        self._places = itertools.count()
        self._threads = self._idle = 0
        self._closed = False

    def give(self, work: Work, after: float = 0.0) -> None:
        """Have this done, once `after` seconds have passed and a turn comes: in the order in which they are due."""
        with self._changed:
            if self._closed:
                return
            heapq.heappush(self._waiting, (time.monotonic() + after, next(self._places), work))
            if len(self._waiting) > self._idle and self._threads < self._at_once:
                self._begin()
            else:
                self._changed.notify()

    def close(self) -> None:
        """What has not begun is not done any more. What has goes on to its own end; nobody waits for it."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _begin(self) -> None:
        threading.Thread(target=self._run, name=f"{self._name}-{self._threads + 1}", daemon=True).start()
        # It waits for the lock that is held here.
        self._threads += 1

    def _run(self) -> None:
        while (work := self._next()) is not None:
            try:
                work()
            except Exception:
                log.exception("work on a frontend failed in a way that nobody has thought of")

    def _next(self) -> Work | None:
        """Wait for what is due; None where nothing will be."""
        with self._changed:
            while not self._closed:
                left = self._waiting[0][0] - time.monotonic() if self._waiting else None
                if left is not None and left <= 0:
                    return heapq.heappop(self._waiting)[2]
                self._idle += 1
                self._changed.wait(left)
                self._idle -= 1
        return None
