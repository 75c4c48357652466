"""Somebody who listens: a real HTTP server on loopback that keeps what it gets and answers as it is told."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Write = Callable[[bytes], object]


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Listener:
    """Its port stays the same, whether it listens or not. `slowly` writes an answer by itself, if set."""

    port: int = 0
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b"thanks"
    got: list[Got] = field(default_factory=list)
    #: Who hangs waits for this.
    released: threading.Event = field(default_factory=threading.Event)
    slowly: Callable[[Listener, Write], None] | None = None
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        return f"http{'' if self.tls is None else 's'}://127.0.0.1:{self.port}"

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        server.daemon_threads = True
        self.port = server.server_address[1]
        if self.tls is not None:
            server.socket = self.tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.released.set()
            server.shutdown()
            server.server_close()
            thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                listener.got.append(Got(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                try:
                    if listener.slowly is not None:
                        listener.slowly(listener, self.wfile.write)
                    else:
                        self.answer()
                except OSError:
                    # Whoever asked has hung up.
                    self.close_connection = True

            def answer(self) -> None:
                self.send_response(listener.status)
                for name, value in listener.headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(listener.content)))
                self.end_headers()
                self.wfile.write(listener.content)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                del format, args

        return Handler


def closed_port() -> Listener:
    """A listener that does not listen yet, at a port that was free a moment ago."""
    with Listener().listening() as listener:
        port = listener.port
    return Listener(port)


def hang(listener: Listener, write: Write) -> None:
    """Answer nothing until it is released."""
    del write
    listener.released.wait(60)


def drip(head: bytes) -> Callable[[Listener, Write], None]:
    """Answer `head` at once, then a byte after the other, for ever."""

    def write_slowly(listener: Listener, write: Write) -> None:
        write(head)
        while not listener.released.wait(0.02):
            write(b"x")

    return write_slowly
