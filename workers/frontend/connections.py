"""The open connections of this process: one per frontend and deployment, shared by all steps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from inventory.model import Frontend
from workers.frontend.transport import CONNECT_SECONDS, Session, connect

#: A connection that nobody used for this long is closed, in seconds: a deployment that is held may rest for days.
IDLE_SECONDS = 120.0


@dataclass(slots=True)
class _Place:
    lock: threading.Lock = field(default_factory=threading.Lock)
    session: Session | None = None
    used: float = 0.0
    opened: int = 0


class Connections:
    """Sessions by deployment and frontend. Safe to use from several threads."""

    def __init__(self, open_session: Callable[[Frontend, float], Session] = connect) -> None:
        self._open = open_session
        self._lock = threading.Lock()
        self._places: dict[tuple[int, str], _Place] = {}

    def session(self, deployment: int, frontend: Frontend, limit: float = CONNECT_SECONDS) -> Session:
        """The session to this frontend, opened within `limit` seconds if there is none that stands.

        Errors as of `transport.connect`.
        """
        self._close_idle()
        with self._lock:
            place = self._places.setdefault((deployment, frontend.name), _Place(used=time.monotonic()))
        with place.lock:
            place.used = time.monotonic()
            if place.session is None or not place.session.alive or place.session.frontend != frontend:
                if place.session is not None:
                    place.session.close()
                place.session = self._open(frontend, min(limit, CONNECT_SECONDS))
                place.opened += 1
            return place.session

    def opened(self, deployment: int, frontend: str) -> int:
        """How many connections this process opened to the frontend for this deployment."""
        place = self._places.get((deployment, frontend))
        return 0 if place is None else place.opened

    def close(self, deployment: int) -> None:
        """Close what this deployment used."""
        self._close([key for key in list(self._places) if key[0] == deployment])

    def _close_idle(self) -> None:
        limit = time.monotonic() - IDLE_SECONDS
        with self._lock:
            idle = [key for key, place in self._places.items() if place.used < limit and not place.lock.locked()]
        self._close(idle)

    def _close(self, keys: list[tuple[int, str]]) -> None:
        for key in keys:
            with self._lock:
                place = self._places.pop(key, None)
            if place is not None and place.session is not None:
                place.session.close()
