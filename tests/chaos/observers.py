"""Clients behind HAProxy, in a thread of the harness, whose counts can be read while they go on."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass

from orchestrator.ota.observer import observe
from orchestrator.ota.tally import Count, Tally
from orchestrator.ota.target import Target
from tests.chaos.processes import wait_until

#: They ask as fast as they can, and what is tested shares the processor with them: nice(2).
NICE = 10


@dataclass(frozen=True, slots=True)
class Counts:
    """What was seen until one moment, or between two."""

    checks: int = 0
    torn: int = 0
    backward: int = 0
    errors: int = 0

    def since(self, earlier: Counts) -> Counts:
        """What was seen after an earlier moment."""
        return Counts(
            self.checks - earlier.checks,
            self.torn - earlier.torn,
            self.backward - earlier.backward,
            self.errors - earlier.errors,
        )

    def plus(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(
            self.checks + other.checks,
            self.torn + other.torn,
            self.backward + other.backward,
            self.errors + other.errors,
        )

    @property
    def clean(self) -> bool:
        """Something was looked at, and all of it was right."""
        return self.checks > 0 and self.torn == self.backward == self.errors == 0


class Observers:
    """The clients of one app."""

    def __init__(self, url: str, app: str, clients: int) -> None:
        self._target = Target.of(url, app)
        self._clients = clients
        self._tally = Tally()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="observers")

    def counts(self) -> Counts:
        """What they have seen until now."""
        tally = self._tally
        return Counts(tally.checks, tally.of(Count.TORN), tally.of(Count.BACKWARD), tally.of(Count.ERRORS))

    def findings(self) -> list[str]:
        """The first things that were wrong, for people."""
        return [str(finding.document()) for finding in self._tally.samples]

    def start(self) -> None:
        """Begin, and wait for the first checks."""
        self._thread.start()
        wait_until(lambda: self.counts().checks > 0, "the first check of an observer")

    def end(self) -> None:
        """Stop asking."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        asyncio.run(self._observe())

    async def _observe(self) -> None:
        self._loop = asyncio.get_running_loop()
        await observe(
            self._target, clients=self._clients, stop=self._stop, on_progress=self._hear, progress_seconds=0.05
        )

    def _hear(self, tally: Tally) -> None:
        self._tally = tally
