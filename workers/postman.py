"""A worker's postman: from its start to its end, it tells receivers of hooks what happened (docs/notices.md)."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import structlog

from orchestrator.bootstrap import Lockstep
from orchestrator.domain.errors import LockstepError
from orchestrator.ports import Receiver
from orchestrator.services.leading import held
from orchestrator.services.outbox import Outbox, fault

log = structlog.get_logger()

#: The lease of the worker that delivers. Nothing depends on it: a delivery is claimed in the ledger.
LEASE = "outbox"
#: How often it looks for what is new, in seconds.
LOOK_SECONDS = 0.5
#: How long it holds the lease before it asks for it anew, in seconds.
TURN_SECONDS = 30.0
#: Receivers that are told side by side. One that does not answer holds a thread for seconds, then rests for longer.
MOST = 32
#: Deliveries to one receiver before its settings are looked at again.
BATCH = 50


class Postman:
    """The thread that looks, and the threads that deliver."""

    def __init__(self, lockstep: Lockstep, seconds: float = LOOK_SECONDS) -> None:
        self._lockstep = lockstep
        self._seconds = seconds
        self._stopped = threading.Event()
        self._delivering = ThreadPoolExecutor(MOST, thread_name_prefix="deliver")
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="postman", daemon=True)
        self._trouble = ""

    def start(self) -> None:
        """Deliver from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more, and wait for what is being delivered."""
        self._stopped.set()
        self._thread.join()
        self._delivering.shutdown(cancel_futures=True)

    def _watch(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                # A worker that knows no receivers leaves the lease to those that do.
                if self._lockstep.receivers():
                    with held(self._lockstep.leases, LEASE) as known:
                        if known is not None:
                            self._turn()
            except LockstepError as error:
                self._complain(str(error.problem), **error.problem.as_dict())
            except Exception as error:  # a fault of ours must not end the deliveries
                self._complain(repr(error), **fault(error))

    def _turn(self) -> None:
        """Look again and again, while there are receivers, until the lease is asked for anew."""
        outbox = self._lockstep.outbox
        until = time.monotonic() + TURN_SECONDS
        while not self._stopped.is_set() and time.monotonic() < until:
            receivers = self._lockstep.receivers()
            if not receivers:
                return
            for name in outbox.look(receivers):
                self._hand_on(outbox, receivers[name])
            self._trouble = ""
            self._stopped.wait(self._seconds)

    def _hand_on(self, outbox: Outbox, receiver: Receiver) -> None:
        """To a thread, unless one is at this receiver already: its deliveries come one after the other."""
        with self._lock:
            if receiver.name in self._busy:
                return
            self._busy.add(receiver.name)
        self._delivering.submit(self._deliver, outbox, receiver)

    def _deliver(self, outbox: Outbox, receiver: Receiver) -> None:
        try:
            for _ in range(BATCH):
                if self._stopped.is_set() or not outbox.deliver(receiver):
                    return
        except LockstepError as error:
            log.warning("a delivery could not be recorded", receiver=receiver.name, **error.problem.as_dict())
        except Exception as error:  # a fault of ours must not go unseen in a thread that nobody asks
            log.error("delivering ended", receiver=receiver.name, **fault(error))  # noqa: TRY400
        finally:
            with self._lock:
                self._busy.discard(receiver.name)

    def _complain(self, trouble: str, **words: str) -> None:
        """Once: the same is asked again and again until it is right."""
        if trouble != self._trouble:
            log.warning("the postman delivers nothing", **words)
        self._trouble = trouble
