"""A worker's lookout: from its start to its end, it leads what nobody leads (docs/protocol.md, "Recovery")."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import structlog

from orchestrator.domain.errors import LockstepError
from orchestrator.services.recovery import LOOK_SECONDS, Lookout
from workers.bootstrap import Workshop
from workers.tasks.deployment import coordinate

log = structlog.get_logger()

#: Deployments that one worker leads beside those that reach it through the queue.
MOST = 8


class Watchman:
    """The thread that looks, and the threads that lead."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._stopped = threading.Event()
        self._leading = ThreadPoolExecutor(MOST, thread_name_prefix="lead")
        self._thread = threading.Thread(target=self._watch, name="lookout", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more, and wait for what is being led."""
        self._stopped.set()
        self._thread.join()
        self._leading.shutdown()

    def _watch(self) -> None:
        lockstep = self._workshop.lockstep
        lookout = Lookout(lockstep.ledger, lockstep.leases, lockstep.clock)
        silent = False
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                for number in lookout.look():
                    log.info("nobody leads it", deployment=number)
                    self._leading.submit(self._lead, number)
                silent = False
            except LockstepError as error:
                # Said once: the ledger is asked again and again until it answers.
                if not silent:
                    log.warning("the lookout sees nothing", **error.problem.as_dict())
                silent = True

    def _lead(self, number: int) -> None:
        try:
            coordinate(self._workshop, number)
        except Exception:  # a fault of ours must not go unseen in a thread that nobody asks
            log.exception("leading ended", deployment=number)
