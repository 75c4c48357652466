"""Carries on what polled zones have asked for: a thread that looks into the ledger while the server lives."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Iterator

import structlog
from fastapi import FastAPI

from orchestrator.adapters.inventory import select_fleet
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.errors import LockstepError

log = structlog.get_logger()

#: Between two looks, in seconds.
INTERVAL = 1.0
#: How long a server that ends waits for a look that is under way, in seconds.
PATIENCE = 5.0


class Watch:
    """Looks after the zones of one server. Several servers may do so side by side."""

    def __init__(self, lockstep: Lockstep) -> None:
        self._lockstep = lockstep
        self._wake = threading.Event()
        self._ending = False
        #: What could not go on at the last look: told once.
        self._told: dict[str, str] = {}
        self._troubles: dict[str, str] = {}

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Look, from now to the end of the block."""
        self._ending = False
        thread = threading.Thread(target=self._run, name="zones", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ending = True
            self._wake.set()
            thread.join(PATIENCE)

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def look(self) -> int:
        """Look once. How many results have appeared."""
        self._troubles = {}
        appeared = 0
        try:
            for zone in self._lockstep.hooks().zones:
                fleet = select_fleet(self._lockstep.inventory(), zone.fleet)
                appeared += self._lockstep.zones.advance(zone, fleet, self._tell)
        except LockstepError as error:
            self._tell("", error)
        self._told = self._troubles
        return appeared

    def _tell(self, about: str, error: LockstepError) -> None:
        self._troubles[about] = str(error)
        if self._told.get(about) != str(error):
            log.warning("a zone's result waits", about=about, problem=error.problem.as_dict())

    def _run(self) -> None:
        while not self._ending:
            # Before the look: what comes during it is seen by the next.
            self._wake.clear()
            try:
                self.look()
            except Exception:
                log.exception("a look at the zones failed")
            self._wake.wait(INTERVAL)


@contextlib.asynccontextmanager
async def watching(app: FastAPI) -> AsyncIterator[None]:
    """The application's lifespan."""
    watch: Watch = app.state.watch
    with watch.running():
        yield
