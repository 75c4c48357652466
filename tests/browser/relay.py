"""A way to the fleet that counts the files that are asked for, and can be cut in the middle of them."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

#: A request for a file by its hash: what an update fetches.
FILE = re.compile(rb"^GET (/\S+\?[A-Za-z0-9+_]{22}) HTTP/1\.1\r\n", re.MULTILINE)
END = b"\r\n\r\n"


class Relay:
    """Passes connections on to `port`, from one of its own, until it is cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._lock = threading.Lock()
        self._left: int | None = None
        self._asked: list[str] = []
        self._open: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def asked(self) -> list[str]:
        """The files that were asked for since the last look, and passed on."""
        with self._lock:
            asked, self._asked = self._asked, []
            return asked

    def cut_after(self, files: int) -> None:
        """Pass on so many requests for files; at the next one every connection ends, and none begins."""
        with self._lock:
            self._left = files

    def mend(self) -> None:
        """Pass on everything again."""
        with self._lock:
            self._left = None

    def close(self) -> None:
        """End all connections, and wait until that is done."""
        self._listening.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._end_all()
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                if self._left == 0:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open |= {client, server}
            for pump in (self._to_server, self._to_client):
                thread = threading.Thread(target=pump, args=(client, server))
                self._threads.append(thread)
                thread.start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        waiting = b""
        with suppress(OSError):
            while data := client.recv(65536):
                waiting += data
                # Whole requests alone: a file is asked for, or it is not.
                head, end, waiting = waiting.rpartition(END)
                if end and self._may_pass(head):
                    server.sendall(head + end)
                    # A body, if any, is passed on as it comes: this relay is asked for files.
        self._end(server)

    def _may_pass(self, requests: bytes) -> bool:
        files = [found.decode() for found in FILE.findall(requests)]
        with self._lock:
            if self._left is not None and len(files) > self._left:
                self._left = 0
                self._end_all()
                return False
            if self._left is not None:
                self._left -= len(files)
            self._asked += files
            return True

    def _to_client(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        for each in (client, server):
            self._end(each)
            each.close()
        with self._lock:
            self._open -= {client, server}

    def _end_all(self) -> None:
        for each in self._open:
            self._end(each)

    def _end(self, each: socket.socket) -> None:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(port: int) -> Iterator[Relay]:
    """A relay to `port` of this machine."""
    made = Relay(port)
    try:
        yield made
    finally:
        made.close()
