"""The exchange: one thread of a process has all its requests over HTTP in hand at once.

With a thread for each frontend, every line of a header and every piece of a body is a callback that takes the
interpreter's lock from the others. Here a thread hands over a series of requests and waits once, for the result.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import pycurl
import structlog

from orchestrator.domain.errors import UnansweredError

T = TypeVar("T")

#: libcurl's code and words for a transfer that failed.
Failure = tuple[int, str]
#: At each `yield` the client has been told what is asked next, and what comes back is how that transfer failed, None
#: where it did not. All of it runs in the exchange's thread: it must not wait for anything.
Series = Generator[None, Failure | None, T]

#: So long an exchange without work keeps its thread, and with it the certificates that libcurl has read.
IDLE_SECONDS = 5.0
#: How long one who gives up waits until its client is its own again.
RETURN_SECONDS = 10.0

log = structlog.get_logger()


class Exchange:
    """Asks for whoever calls, from a thread of its own, which begins with the first call and ends without any.

    `idle_seconds`: how long it waits for the next call before it ends.
    """

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._operator: _Operator | None = None

    def ask(self, curl: pycurl.Curl, series: Series[T]) -> T:
        """What the series returns, or raises. `curl` is the exchange's until then.

        Raises `UnansweredError` where the thread came to an end.
        """
        with self.asking(curl, series) as answer:
            return answer()

    @contextmanager
    def asking(self, curl: pycurl.Curl, series: Series[T]) -> Iterator[Callable[[], T]]:
        """The same while the caller does something else: what is given waits, and answers as `ask` does.

        A series that has not ended by the end of the context is given up.
        """
        call = _Call(curl, series)
        try:
            with self._lock:
                self._present().put(call)
            yield call.result.result
        finally:
            # Nobody is there for an answer any more.
            if not call.result.done():
                self._withdraw(call)

    def _present(self) -> _Operator:
        """The one whose thread runs; a process that was forked has none of its parent's."""
        if self._operator is None or not self._operator.is_alive():
            operator = _Operator(self._idle_seconds, self._leave)
            operator.start()
            self._operator = operator
        return self._operator

    def _withdraw(self, call: _Call) -> None:
        call.withdrawn = True
        with self._lock:
            # Whoever left has told all that were his.
            if self._operator is None:
                return
            self._operator.put(call)
        wait([call.result], RETURN_SECONDS)

    def _leave(self, operator: _Operator, *, only_idle: bool) -> bool:
        """Whether it may end: from then on nothing is put to it."""
        with self._lock:
            if only_idle and operator.has_post():
                return False
            if self._operator is operator:
                self._operator = None
            return True


class _Call:
    """A series, who asks it, and what comes of it."""

    def __init__(self, curl: pycurl.Curl, series: Series[Any]) -> None:
        self.curl = curl
        self.series = series
        self.result: Future[Any] = Future()
        self.withdrawn = False


class _Operator(threading.Thread):
    """The thread, and what it alone touches."""

    def __init__(self, idle_seconds: float, leave: Callable[..., bool]) -> None:
        super().__init__(name="http-exchange", daemon=True)
        self._idle_seconds = idle_seconds
        self._leave = leave
        self._post: deque[_Call] = deque()
        self._calls: dict[pycurl.Curl, _Call] = {}
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._sockets = select.epoll()
        self._sockets.register(self._bell, select.EPOLLIN)
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)

    def put(self, call: _Call) -> None:
        """A call that is new, or withdrawn. Whoever puts it holds the exchange's lock, so that nobody has left."""
        self._post.append(call)
        os.eventfd_write(self._bell, 1)

    def has_post(self) -> bool:
        """Whether something was put that nobody has looked at."""
        return bool(self._post)

    def run(self) -> None:
        """Drive all calls until there have been none for a while."""
        found = "the thread that asks ended"
        try:
            while self._turn() or not self._leave(self, only_idle=True):
                pass
        except BaseException as error:
            log.exception("the exchange's thread failed")
            found = f"the thread that asks ended: {type(error).__name__}"
        finally:
            self._leave(self, only_idle=False)
            self._close(found)

    def _turn(self) -> bool:
        """Wait for what comes next, and go on with it; False where nothing came, and nothing is asked."""
        events = self._sockets.poll(self._seconds())
        for fd, event in events:
            if fd == self._bell:
                os.eventfd_read(self._bell)
                self._take()
            else:
                self._multi.socket_action(fd, _ready(event))
        if self._multi.timeout() == 0:
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        _, done, failed = self._multi.info_read()
        for curl in done:
            self._go_on(curl, None)
        for curl, code, text in failed:
            self._go_on(curl, (code, text))
        return bool(events or self._calls)

    def _seconds(self) -> float:
        """How long nothing is to be done unless a socket says so."""
        if not self._calls:
            return self._idle_seconds
        milliseconds = self._multi.timeout()
        return -1 if milliseconds < 0 else milliseconds / 1000

    def _take(self) -> None:
        """Begin what is new, and end what was withdrawn."""
        while self._post:
            # It stays there until it is in other hands.
            self._begin(self._post[0])
            self._post.popleft()

    def _begin(self, call: _Call) -> None:
        if call.result.done():
            return
        if call.withdrawn:
            self._drop(call, UnansweredError("nobody waits for the answer"))
        else:
            self._calls[call.curl] = call
            self._advance(call, None)

    def _go_on(self, curl: pycurl.Curl, failure: Failure | None) -> None:
        self._multi.remove_handle(curl)
        self._advance(self._calls[curl], failure)

    def _advance(self, call: _Call, failure: Failure | None) -> None:
        """To the next request, or to the end. Whatever the series raises is its caller's."""
        try:
            call.series.send(failure)
            self._multi.add_handle(call.curl)
        except StopIteration as end:
            del self._calls[call.curl]
            call.result.set_result(end.value)
        except BaseException as error:
            self._drop(call, error)

    def _drop(self, call: _Call, error: BaseException) -> None:
        """End it where it stands; an answer that was still coming in takes its connection with it."""
        if self._calls.pop(call.curl, None) is not None:
            with suppress(pycurl.error):
                self._multi.remove_handle(call.curl)
        with suppress(Exception):
            call.series.close()
        call.result.set_exception(error)

    def _watch(self, wanted: int, fd: int, _multi: object, _data: object) -> None:
        """Hear from libcurl what it waits for."""
        if wanted == pycurl.POLL_REMOVE:
            # It may have been closed already, and is then watched by nobody.
            with suppress(OSError):
                self._sockets.unregister(fd)
            return
        events = _EVENTS[wanted]
        try:
            self._sockets.register(fd, events)
        except FileExistsError:
            self._sockets.modify(fd, events)

    def _close(self, found: str) -> None:
        """Whoever still waits is told that nothing will come."""
        for call in (*self._calls.values(), *self._post):
            if not call.result.done():
                self._drop(call, UnansweredError("nobody asks over HTTP any more", found=found))
        self._multi.close()
        self._sockets.close()
        os.close(self._bell)


_EVENTS = {
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}


def _ready(event: int) -> int:
    """What epoll says, in libcurl's words. An end is something to read."""
    ready: int = pycurl.CSELECT_IN if event & (select.EPOLLIN | select.EPOLLHUP) else 0
    if event & select.EPOLLOUT:
        ready |= pycurl.CSELECT_OUT
    if event & select.EPOLLERR:
        ready |= pycurl.CSELECT_ERR
    return ready


#: This process's.
EXCHANGE = Exchange()
