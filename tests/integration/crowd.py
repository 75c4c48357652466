"""Clients that ask side by side, each in a thread, while somebody else changes what is served."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from tests.integration.http_client import Client

SECONDS = 30.0

#: One visit of a client: with its own dice, and its own connection to each frontend. Raises where it sees a fault.
Visit = Callable[[random.Random, Sequence[Client]], None]


class Crowd:
    """Threads that repeat their visits until the block ends or one of them fails, which the block then raises."""

    def __init__(self, visits: Sequence[Visit], ports: Sequence[int]) -> None:
        self.visits = 0
        self._ports = ports
        self._ending = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run, args=(visit, random.Random(seed))) for seed, visit in enumerate(visits)
        ]

    def _run(self, visit: Visit, dice: random.Random) -> None:
        clients = [Client(port) for port in self._ports]
        try:
            while not self._ending:
                visit(dice, clients)
                with self._changed:
                    self.visits += 1
                    self._changed.notify_all()
        except BaseException as error:
            with self._changed:
                self._failure = self._failure or error
                self._ending = True
                self._changed.notify_all()
        finally:
            for client in clients:
                client.close()

    def await_visits(self, count: int) -> None:
        """Return when that many more visits have ended; raise what a client found."""
        with self._changed:
            wanted = self.visits + count
            assert self._changed.wait_for(lambda: self.visits >= wanted or self._ending, SECONDS), "no visit ended"
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ending = True
        for thread in self._threads:
            thread.join()
        if error is None and self._failure is not None:
            raise self._failure
