"""The threads of one worker process that do steps on frontends, however many batches it holds."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import structlog

from orchestrator.domain.deployment import Report
from orchestrator.domain.effects import Ask
from orchestrator.domain.errors import LockstepError
from orchestrator.ports import Deployments
from workers.attempt import attempt
from workers.frontend.steps import Detail

log = structlog.get_logger()

#: Frontends that one process stages or verifies at once, over all its batches. Threads wait for the network most of
#: the time; but one interpreter gets through some 40 frontends a second, so that these keep it busy as long as a step
#: takes no more than 0.6 s. Each more makes every other thread wait longer for its turn, the one that renews the leases
#: among them. On a machine that carries the frontends as well, 48 at once take a tenth more CPU time, and 12 as much.
AT_ONCE = 24


class Crew:
    """One pool for all batches. Safe to use from several threads. `do` does one step of a deployment's frontend."""

    def __init__(self, do: Callable[[int, Ask], Detail], at_once: int = AT_ONCE) -> None:
        self._do = do
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="crew")

    def begin(self, number: int, asks: Sequence[Ask], deliver: Callable[[Report], None]) -> list[Future[None]]:
        """Do these steps, in this order, as threads come free. Each report is delivered from its own thread.

        What is cancelled before it has begun is neither done nor reported.
        """
        return [self._threads.submit(self._step, number, ask, deliver) for ask in asks]

    def work(self, number: int, asks: Sequence[Ask], ledger: Deployments) -> None:
        """Do these steps and put their reports into the ledger: all that are there at a time in one write.

        A frontend that is slow holds back no other's report. Returns when each is recorded, or nobody waits for it any
        more since the deployment is decided. A write that fails is made again with the next reports; `LockstepError`
        where the last one fails.
        """
        done: queue.SimpleQueue[Report] = queue.SimpleQueue()
        begun = self.begin(number, asks, done.put)
        left, waiting = len(begun), list[Report]()
        while left:
            arrived = _all_there(done)
            waiting += arrived
            left -= len(arrived)
            try:
                ledger.record(number, waiting)
                waiting.clear()
                over = left > 0 and ledger.decision(number) is not None
            except LockstepError:
                if not left:
                    raise
                continue
            if over:
                left -= sum(future.cancel() for future in begun)
                begun = []

    def _step(self, number: int, ask: Ask, deliver: Callable[[Report], None]) -> None:
        with structlog.contextvars.bound_contextvars(deployment=number, frontend=ask.frontend):
            deliver(attempt(ask, partial(self._do, number, ask)))


def _all_there(reports: queue.SimpleQueue[Report]) -> list[Report]:
    """Wait for one, and take all that are there."""
    found = [reports.get()]
    while not reports.empty():
        found.append(reports.get_nowait())
    return found
