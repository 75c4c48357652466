"""The most memory that something holds while it is watched: a look 20 times a second, from a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

EVERY = 0.05


class Peak:
    """Until the context ends. `look` tells kB, or None where there is nothing to look at; then so is `most`."""

    def __init__(self, look: Callable[[], int | None]) -> None:
        self._look = look
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.most: int | None = None

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            now = self._look()
            if now is None:
                return
            self.most = max(self.most or 0, now)
            if self._over.wait(EVERY):
                return
