"""What the fuzz has found stays mended. (What it found in the script: tests/remote/test_own_content.py.)"""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from pydantic import AnyHttpUrl

from inventory.model import Fleet, Frontend, MountedApp, Policy
from orchestrator.domain.activation import ActivationName, Placement
from orchestrator.domain.errors import UnansweredError
from tests.fuzz.runs import outcome
from tests.fuzz.sockets import Replier
from tests.fuzz.targets import TARGETS
from tests.unit.inventory.documents import blob, host_key
from workers.frontend.serving import Served

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
BAD_COOKIE = b"Set-Cookie: a=b; Expires=Thu, 99 Foo 9999 99:99:99 GMT\r\n"
PLACEMENT = Placement("ToDo", "/ToDo/", "1", "ab" * 32)


def _point(point: bytes) -> str:
    kind = b"ecdsa-sha2-nistp256"
    return f"{kind.decode()} {base64.b64encode(blob(kind, b'nistp256', point)).decode()}"


FOUND = {
    "a message with a whole header line in it": (
        "http",
        ("digest", b"HTTP/1.1 200 OK\r\n" + b"y" * 9000 + b"\r\n\r\n"),
    ),
    "a message with what moves a cursor in it": ("http", ("check", OK + b"Lockstep-Activation: \x1b[2J\r\n\r\n")),
    "a cookie that can't be sent back": ("http", ("observe", OK + b"Set-Cookie: lockstep=7-\x82x; Path=/\r\n\r\n")),
    "a date that is none, to a worker": ("http", ("drained", OK + BAD_COOKIE + b"\r\n")),
    "a date that is none, to the observer": ("http", ("observe", OK + BAD_COOKIE + b"\r\n")),
    "padding behind the end of a key": ("names", ("key", f"{host_key(1)}=")),
    "a point on no curve": ("names", ("key", _point(b"\4" + b"x" * 64))),
    "a backslash in an address": ("names", ("url", "https://apps.example.org\\b")),
}


@pytest.mark.parametrize("what", FOUND)
def test_what_broke_something_once_breaks_nothing(what: str) -> None:
    name, made = FOUND[what]
    with TARGETS[name]() as target:
        target.reset()
        came: Any = outcome(target, made)
    assert isinstance(came, bool), came


def fleet(listener: socket.socket, seconds: float) -> Fleet:
    url = AnyHttpUrl(f"http://127.0.0.1:{listener.getsockname()[1]}")
    frontend = Frontend(name="f", address="127.0.0.1", user="d", root="/r", url=url, host_key=host_key(1))
    apps = (MountedApp(name="ToDo", mount="/ToDo/"),)
    return Fleet(environment="P", name="w", apps=apps, frontends=(frontend,), policy=Policy(verify_seconds=seconds))


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as made:
        yield made


def test_an_answer_without_an_end_is_no_answer(listener: socket.socket) -> None:
    def drip() -> None:
        with listener.accept()[0] as connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(b"x" * 100)

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    asked = fleet(listener, 0.3)
    with Served(asked, asked.frontends[0]) as served, pytest.raises(UnansweredError, match="without an end"):
        served.manifest_digest(PLACEMENT, ActivationName(7, "0" * 16))
    thread.join(10)
    assert not thread.is_alive()


def test_a_worker_keeps_no_cookie(listener: socket.socket) -> None:
    asked = fleet(listener, 60)
    replier = Replier(listener)
    with closing(replier), Served(asked, asked.frontends[0]) as served:
        # Said, because it is what the replier does: else the next request may meet the end of this connection.
        closing_down = b"Connection: close\r\n"
        replier.reply = OK + closing_down + b"Set-Cookie: lockstep=7-0000000000000000; Path=/\r\n\r\n"
        assert not served.drained()
        assert not served.drained()
        assert b"GET /-/lockstep/health" in replier.heard
        assert b"cookie" not in replier.heard.lower()
