"""What a worker makes of answers over HTTP that no frontend of ours gives."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import UnansweredError
from tests.fuzz.sockets import Replier
from tests.unit.adapters.test_webhook import self_signed
from workers.frontend.reading import LONGEST_HEADER
from workers.frontend.serving import Site

NAME = ActivationName(7, "0" * 16)
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as made:
        yield made


@pytest.fixture
def replier(listener: socket.socket) -> Iterator[Replier]:
    with closing(Replier(listener)) as made:
        yield made


def site(listener: socket.socket, scheme: str = "http") -> Site:
    return Site("f", f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", 30, "app.example.com")


def test_it_asks_as_it_is_told_and_keeps_nothing_to_itself(listener: socket.socket, replier: Replier) -> None:
    replier.reply = OK + b"Lockstep-Activation: 7-x\r\nContent-Length: 2\r\n\r\nhi"
    with site(listener) as asked:
        answer = asked.get("/a/../b%20c?x", NAME, "text/html", native=True)
    assert (answer.status, answer.activation, answer.size) == (200, "7-x", 2)
    assert answer.sha256 == hashlib.sha256(b"hi").hexdigest()
    first, *headers = replier.heard.decode().strip().split("\r\n")
    assert first == "GET /a/../b%20c?x HTTP/1.1"
    assert {
        *("Host: app.example.com", "Accept: text/html", "Accept-Encoding: identity"),
        *("OutSystems-client-env: native", f"Cookie: lockstep={NAME}"),
    } <= set(headers)


def test_proxies_of_the_environment_are_not_asked(
    listener: socket.socket, replier: Replier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    replier.reply = OK + b"\r\n"
    with site(listener) as asked:
        assert asked.get("/", None).status == 200


def test_no_redirect_is_followed(listener: socket.socket, replier: Replier) -> None:
    replier.reply = b"HTTP/1.1 302 x\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    with site(listener) as asked:
        assert asked.get("/", None).status == 302
    assert asked.requests == 1


def test_what_was_packed_on_the_way_is_hashed_as_it_came(listener: socket.socket, replier: Replier) -> None:
    replier.reply = OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    with site(listener) as asked:
        assert asked.get("/", None).sha256 == hashlib.sha256(b"abc").hexdigest()


def test_no_more_of_a_body_is_read_than_is_wanted(listener: socket.socket, replier: Replier) -> None:
    replier.reply = OK + b"Content-Length: 100000000\r\n\r\n" + b"x" * 3_000_000
    with site(listener) as asked:
        answer = asked.get("/", None, most=10)
    assert (answer.cut, answer.status) == (True, 200)
    assert str(answer) == f"at least {answer.size} bytes from activation (not named)"


@pytest.mark.parametrize(
    ("said", "activation"),
    [
        (b"Lockstep-Activation: 7-x\r\nLockstep-Activation: 8-x\r\n", "7-x, 8-x"),
        (b"X: y\r\n", ""),
        (b"lockstep-activation:7-x \r\n", "7-x"),
    ],
)
def test_an_activation_is_named_once_and_in_the_header(
    listener: socket.socket, replier: Replier, said: bytes, activation: str
) -> None:
    trailer = b"1\r\nx\r\n0\r\nLockstep-Activation: 9-x\r\n\r\n"
    replier.reply = OK + said + b"Transfer-Encoding: chunked\r\n\r\n" + trailer
    with site(listener) as asked:
        assert asked.get("/", None).activation == activation


@pytest.mark.parametrize(
    "reply",
    [
        OK + b"X: " + b"y" * LONGEST_HEADER + b"\r\n\r\n",
        OK + b"X: y\r\n" * LONGEST_HEADER + b"\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * LONGEST_HEADER,
        b"hello\r\n\r\n",
        OK + b"Content-Length: 5\r\n\r\nabc",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"",
    ],
)
def test_odd_answers_are_no_answers(listener: socket.socket, replier: Replier, reply: bytes) -> None:
    replier.reply = reply
    with site(listener) as asked, pytest.raises(UnansweredError) as caught:
        asked.get("/", None)
    assert caught.value.problem.what == "the frontend's web server does not answer"
    assert len(caught.value.problem.found) < 300


def test_a_certificate_that_nobody_vouches_for_is_refused(listener: socket.socket, tmp_path: Path) -> None:
    def serve(context: ssl.SSLContext) -> None:
        with suppress(OSError), listener.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as secure:
            secure.recv(65536)

    thread = threading.Thread(target=serve, args=(self_signed(tmp_path),), daemon=True)
    thread.start()
    with site(listener, "https") as asked, pytest.raises(UnansweredError, match="certificate"):
        asked.get("/", None)
    thread.join(30)
