"""The open connections of this process: one per frontend, shared by all steps, and kept for the next deployment.

To log in costs a frontend's deployment more than any command in it. A connection that was kept is tried before another
deployment uses it: a frontend that is gone meanwhile is noticed here, where nothing was asked of it yet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from inventory.model import Frontend
from orchestrator.domain.errors import UnansweredError
from workers.frontend.transport import CONNECT_SECONDS, Session, connect

#: A connection that nobody used for this long is closed, in seconds: a deployment that is held may rest for days.
IDLE_SECONDS = 120.0
#: How long a connection that was kept has to answer, in seconds; what is left of the limit is for a new one.
TRY_SECONDS = 2.0


@dataclass(slots=True)
class _Place:
    lock: threading.Lock = field(default_factory=threading.Lock)
    session: Session | None = None
    used: float = 0.0
    opened: int = 0
    #: Nobody finds it any more: what were opened for it from now on would never be closed.
    left: bool = False


class Connections:
    """Sessions by deployment and frontend, and those that wait for a deployment. Safe to use from several threads.

    No two deployments share a session. What was idle for `idle` seconds is closed.
    """

    def __init__(
        self, open_session: Callable[[Frontend, float], Session] = connect, idle: float = IDLE_SECONDS
    ) -> None:
        self._open = open_session
        self._idle = idle
        self._lock = threading.Lock()
        self._places: dict[tuple[int, str], _Place] = {}
        #: By all that the inventory says of a frontend: another address, account or host key is another one.
        self._kept: dict[Frontend, tuple[Session, float]] = {}
        self._timer: threading.Timer | None = None

    def session(self, deployment: int, frontend: Frontend, limit: float = CONNECT_SECONDS) -> Session:
        """The session to this frontend, opened within `limit` seconds if there is none that stands.

        Errors as of `transport.connect`; `UnansweredError` as well where the deployment is closed meanwhile.
        """
        self.close_idle()
        with self._lock:
            place = self._places.setdefault((deployment, frontend.name), _Place())
            place.used = time.monotonic()
        with place.lock:
            place.used = time.monotonic()
            if place.session is not None and place.session.alive and place.session.frontend == frontend:
                return place.session
            if place.session is not None:
                place.session.close()
                place.session = None
            if place.left:
                raise _left(frontend)
            deadline = place.used + min(limit, CONNECT_SECONDS)
            session = self._take(frontend, min(TRY_SECONDS, limit / 2))
            if session is None:
                session = self._open(frontend, max(0.1, deadline - time.monotonic()))
                place.opened += 1
            return self._put(place, session)

    def opened(self, deployment: int, frontend: str) -> int:
        """How many connections this process opened to the frontend for this deployment: none where it had one."""
        place = self._places.get((deployment, frontend))
        return 0 if place is None else place.opened

    def close(self, deployment: int) -> None:
        """End what this deployment used, and keep for the next one the sessions in which nothing runs."""
        self._leave([key for key in list(self._places) if key[0] == deployment])

    def close_idle(self) -> None:
        """Close what nobody used for long."""
        limit = time.monotonic() - self._idle
        with self._lock:
            idle = [key for key, place in self._places.items() if _is_idle(place, limit)]
            kept = [frontend for frontend, (_, since) in self._kept.items() if since < limit]
            sessions = [self._pop(key) for key in idle]
            sessions += [self._kept.pop(frontend)[0] for frontend in kept]
        for session in sessions:
            if session is not None:
                session.close()

    def end(self) -> None:
        """Close all of them."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            sessions = [self._pop(key) for key in list(self._places)]
            sessions += [session for session, _ in self._kept.values()]
            self._kept.clear()
        for session in sessions:
            if session is not None:
                session.close()

    def _take(self, frontend: Frontend, limit: float) -> Session | None:
        """The session that was kept to this frontend, if it answers within `limit` seconds."""
        with self._lock:
            session, _ = self._kept.pop(frontend, (None, 0.0))
        if session is None or (session.alive and session.answers(limit)):
            return session
        session.close()
        return None

    def _put(self, place: _Place, session: Session) -> Session:
        """It has its place, unless that was left while it was opened."""
        with self._lock:
            if not place.left:
                place.session = session
                return session
        session.close()
        raise _left(session.frontend)

    def _pop(self, key: tuple[int, str]) -> Session | None:
        """Leave a place: its session. Call it under the lock."""
        place = self._places.pop(key, None)
        if place is None:
            return None
        place.left = True
        return place.session

    def _leave(self, keys: list[tuple[int, str]]) -> None:
        for key in keys:
            with self._lock:
                session = self._pop(key)
                if session is not None and self._may_be_kept(session):
                    self._kept[session.frontend] = session, time.monotonic()
                    self._close_later()
                    continue
            if session is not None:
                session.close()

    def _may_be_kept(self, session: Session) -> bool:
        """A command that still runs in it is to get end of file; one session to a frontend is enough."""
        return session.alive and not session.busy and session.frontend not in self._kept

    def _close_later(self) -> None:
        """A worker that has no work closes what it kept as well. Call it under the lock."""
        if self._timer is None and self._kept:
            self._timer = threading.Timer(self._idle, self._look_again)
            self._timer.daemon = True
            self._timer.start()

    def _look_again(self) -> None:
        self.close_idle()
        with self._lock:
            self._timer = None
            self._close_later()


def _left(frontend: Frontend) -> UnansweredError:
    return UnansweredError(
        "the deployment's connections are closed",
        where=frontend.name,
        expected="a connection as long as somebody leads the deployment here",
        found="it was closed while the connection was opened",
    )


def _is_idle(place: _Place, limit: float) -> bool:
    """A long command keeps a session at work, though nobody asked for it since."""
    return place.used < limit and not place.lock.locked() and (place.session is None or not place.session.busy)
