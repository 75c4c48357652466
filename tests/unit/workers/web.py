"""A web server on a socket that says what it is told to, keeps connections open, and notes when they end."""

from __future__ import annotations

import queue
import socketserver
import ssl
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, cast

from pydantic import AnyHttpUrl

from inventory.model import Fleet, Frontend, MountedApp, Policy
from orchestrator.domain.activation import ActivationName
from tests.unit.inventory.documents import host_key

NAME = ActivationName(7, "0" * 16)


def page(body: bytes, name: ActivationName = NAME) -> bytes:
    """An answer with this body."""
    return b"HTTP/1.1 200 OK\r\nLockstep-Activation: %b\r\nContent-Length: %d\r\n\r\n%b" % (
        *(str(name).encode(), len(body), body),
    )


class Web(socketserver.ThreadingTCPServer):
    """`pages` maps paths to whole answers; a path without one is never answered.

    `asked` has the paths so far, `open` the number of connections; `ended` gets one entry for each that is over.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, secure: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.pages: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.open = 0
        self.unanswered: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.ended: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.counting = threading.Lock()
        scheme = "http" if secure is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.server_address[1]}"
        self._secure = secure
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    def get_request(self) -> tuple[Any, Any]:
        plain, where = super().get_request()
        return plain if self._secure is None else self._secure.wrap_socket(plain, server_side=True), where

    def fleet(self, seconds: float = 60) -> Fleet:
        """A fleet whose one frontend this is."""
        url = AnyHttpUrl(self.url)
        frontend = Frontend(name="f", address="127.0.0.1", user="d", root="/r", url=url, host_key=host_key(1))
        apps, policy = (MountedApp(name="ToDo", mount="/ToDo/"),), Policy(verify_seconds=seconds)
        return Fleet(environment="P", name="w", apps=apps, frontends=(frontend,), policy=policy)

    def all_ended(self) -> None:
        """Wait until no connection is left: each end is seen within 30 s, or this raises."""
        for _ in range(self.open):
            self.ended.get(timeout=30)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Connection(socketserver.StreamRequestHandler):
    """One connection, until its client ends it."""

    def handle(self) -> None:
        web = cast(Web, self.server)
        with web.counting:
            web.open += 1
        with suppress(OSError):
            while first := self.rfile.readline():
                while self.rfile.readline().strip():
                    pass
                path = first.split()[1].decode()
                web.asked.append(path)
                if path in web.pages:
                    self.wfile.write(web.pages[path])
                else:
                    web.unanswered.put(path)
        web.ended.put(None)
