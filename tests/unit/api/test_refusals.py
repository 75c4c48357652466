"""A refusal arrives, however much the client still had to send: over a real socket."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from orchestrator.api.app import make_app
from tests.unit.api.server import serving
from tests.unit.api.service import WEB, Here

LARGE = b"x" * 20_000_000
UPLOAD = "/api/v1/releases/ToDo/1.0.0?format=tar"


def connected(url: str) -> socket.socket:
    where = urlsplit(url)
    return socket.create_connection((where.hostname or "", where.port or 0), timeout=20)


@pytest.mark.parametrize(
    ("path", "role", "status"),
    [
        (UPLOAD, "deployer", 413),
        (UPLOAD, "viewer", 403),
        (UPLOAD, "", 401),
        ("/api/v1/releases/ToDo/1.0.0", "deployer", 422),
        (f"{WEB}/deployments", "deployer", 413),
    ],
)
def test_it_is_heard_by_who_sends_everything_first(tmp_path: Path, path: str, role: str, status: int) -> None:
    here = Here(tmp_path)
    headers = {**(here.headers((role, "*")) if role else {}), "Host": "x", "Content-Length": str(len(LARGE))}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
    with serving(make_app(here)) as url:
        for _ in range(3):
            with connected(url) as client:
                client.sendall(head.encode() + LARGE)
                answer = client.recv(1000)
            assert answer.startswith(f"HTTP/1.1 {status} ".encode())
            assert b"content-type: application/problem+json" in answer


def test_who_waits_to_be_asked_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    here = Here(tmp_path)
    (name, value), *_ = here.headers(("deployer", "*")).items()
    with serving(make_app(here)) as url, connected(url) as client:
        head = f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\nContent-Length: 20000000\r\n"
        client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")
