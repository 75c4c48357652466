"""A way to PostgreSQL that can be cut at COMMIT: the client does not hear whether it was carried out."""

from __future__ import annotations

import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from tests.integration.postgres import DATABASE, Postgres

#: The client's message (PostgreSQL's manual, "Frontend/Backend Protocol"): a query, 11 bytes with its length.
COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"

SOCKET = ".s.PGSQL.5432"


class Cut(StrEnum):
    """Where the way is cut."""

    BEFORE = "before the server hears of it"
    AFTER = "after the server has done it"


class Severed:
    """A listening Unix socket in `directory`. Passes all on to the server; once `cut` is set, up to the next COMMIT."""

    def __init__(self, server: Postgres, directory: Path) -> None:
        self.url = f"postgresql://lockstep:secret@/{DATABASE}?host={quote(str(directory), safe='')}"
        self._server = server
        self.cut: Cut | None = None
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(directory / SOCKET))
        self._listening.listen()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Accept no more, and wait until what was accepted has ended."""
        self._listening.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server.sockets / SOCKET))
            silence = threading.Event()
            for pump in (self._to_server, self._to_client):
                thread = threading.Thread(target=pump, args=(client, server, silence))
                self._threads.append(thread)
                thread.start()

    def _to_server(self, client: socket.socket, server: socket.socket, silence: threading.Event) -> None:
        # Where the server ends a session by itself, the other thread has closed both.
        with suppress(OSError):
            while message := client.recv(65536):
                cut = self.cut if message.endswith(COMMIT) else None
                if cut is not None:
                    silence.set()
                if cut is not Cut.BEFORE:
                    server.sendall(message)
                if cut is not None:
                    break
            # The server does what it was sent, then ends the session; the client sees that alone.
            server.shutdown(socket.SHUT_WR)

    def _to_client(self, client: socket.socket, server: socket.socket, silence: threading.Event) -> None:
        with client, server:
            while answer := server.recv(65536):
                if not silence.is_set():
                    client.sendall(answer)


@contextmanager
def severed(server: Postgres) -> Iterator[Severed]:
    """A way to `server`, in a directory short enough for a socket."""
    directory = Path(tempfile.mkdtemp(prefix="ls-cut-", dir="/tmp"))
    way = Severed(server, directory)
    try:
        yield way
    finally:
        way.close()
        shutil.rmtree(directory)
