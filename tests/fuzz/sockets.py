"""A server that answers every connection with the bytes that it was last given, whatever it is asked."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Replier:
    """Listens on a socket until it is closed. `reply` is what the next connection gets, then its end.

    `heard` is what the last one said first.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.reply = b""
        self.heard = b""
        self._listener = listener
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(10)
                self.heard = connection.recv(65_536)
                connection.sendall(self.reply)
                connection.shutdown(socket.SHUT_WR)
                # Closed with something unread, it would take back what was sent.
                while connection.recv(65_536):
                    pass

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
