"""The trail as it grows, read once for all streams of this process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice

import structlog
from anyio.to_thread import run_sync

from orchestrator.api.problems import BusyError
from orchestrator.domain.errors import LockstepError
from orchestrator.domain.trail import Entry
from orchestrator.ports import Trail

log = structlog.get_logger()

#: How many streams a server bears at once.
MOST_STREAMS = 64
#: How often the trail is looked at while somebody listens, in seconds.
POLL_SECONDS = 0.25
#: How many entries are kept for streams that are nearly up to date. Others read the ledger.
RECENT = 1000


class Feed:
    """Entries as they come. Every stream keeps its own position; a slow one holds up nobody. For one event loop."""

    def __init__(self, trail: Callable[[], Trail], most: int = MOST_STREAMS) -> None:
        self._trail = trail
        self._most = most
        self._recent: deque[Entry] = deque(maxlen=RECENT)
        self._news = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        #: How many listen.
        self.streams = 0

    @property
    def reads(self) -> bool:
        """Whether the trail is being followed."""
        return self._reader is not None

    @asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        """Listen. `BusyError` where too many do."""
        if self.streams >= self._most:
            raise BusyError(f"{self._most} streams of events are open", 5)
        self.streams += 1
        if self._reader is None:
            self._reader = asyncio.create_task(self._read())
        try:
            yield
        finally:
            self.streams -= 1
            if not self.streams:
                self._reader.cancel()
                self._reader = None
                self._recent.clear()

    async def newest(self) -> int:
        """The number of the newest entry, 0 where there is none."""
        last = await run_sync(lambda: self._trail().last())
        return 0 if last is None else last.number

    async def after(self, position: int, seconds: float) -> Sequence[Entry]:
        """Entries behind `position`, in their order; none where none came in so many seconds."""
        news = self._news
        if self._recent and self._recent[0].number <= position + 1:
            found = list(islice(self._recent, position + 1 - self._recent[0].number, None))
        else:
            found = list(await run_sync(self._entries, position))
        if not found:
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), seconds)
        return found

    def _entries(self, position: int) -> Sequence[Entry]:
        return self._trail().entries(position)

    async def _read(self) -> None:
        """Follow the trail until nobody listens."""
        last: int | None = None
        while True:
            try:
                if last is None:
                    last = await self.newest()
                page = await run_sync(self._entries, last)
            except LockstepError as error:
                log.warning("the trail can't be read, streams of events wait", problem=error.problem.what)
                page = []
            if page:
                last = page[-1].number
                self._recent.extend(page)
                self._news.set()
                self._news = asyncio.Event()
            else:
                await asyncio.sleep(POLL_SECONDS)
