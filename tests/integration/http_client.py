"""A client that sends exactly what it is told to: no redirects, no cookie jar, no tidying of paths."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPMessage
from types import TracebackType
from typing import Any, Self

SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `pin` is what its Set-Cookie sets, or None."""

    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def activation(self) -> str | None:
        return self.headers["Lockstep-Activation"]

    @property
    def cache(self) -> list[str]:
        return self.headers.get_all("Cache-Control", [])

    @property
    def pin(self) -> str | None:
        cookies = self.headers.get_all("Set-Cookie", [])
        if not cookies:
            return None
        (cookie,) = cookies
        value, attributes = cookie.removeprefix("lockstep=").split("; ", 1)
        assert attributes == "Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax"
        return str(value)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One connection, kept open, to a port of 127.0.0.1. Not for several threads at once."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def get(
        self, path: str, *, pin: str | None = None, dest: str | None = None, method: str = "GET", **headers: str
    ) -> Answer:
        """Ask for `path` as it is. `dest` is Sec-Fetch-Dest; other headers have `_` for `-` in their names."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if pin is not None:
            sent["Cookie"] = f"lockstep={pin}"
        if dest is not None:
            sent["Sec-Fetch-Dest"] = dest
        self._connection.request(method, path, headers=sent)
        response = self._connection.getresponse()
        return Answer(response.status, response.headers, response.read())


def raw(port: int, target: bytes, *headers: bytes) -> bytes:
    """The whole answer to a GET whose request target and header lines are these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        lines = [b"GET " + target + b" HTTP/1.1", b"Host: frontend", b"Connection: close", *headers, b"", b""]
        connection.sendall(b"\r\n".join(lines))
        received = b""
        while block := connection.recv(65_536):
            received += block
        return received
