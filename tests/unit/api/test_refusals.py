"""A refusal arrives, however much the client still had to send: over a real socket."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from orchestrator.api.app import make_app
from tests.unit.api.server import serving
from tests.unit.api.service import WEB, Here

LARGE = b"x" * 20_000_000
UPLOAD = "/api/v1/releases/ToDo/1.0.0?format=tar"


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
def test_it_is_heard(tmp_path: Path, path: str, role: str, status: int) -> None:
    here = Here(tmp_path)
    headers = here.headers((role, "*")) if role else {}
    with serving(make_app(here)) as url:
        for _ in range(3):
            answer = httpx.post(url + path, content=LARGE, headers={**headers, "Content-Type": "x/y"}, timeout=30)
            assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_who_waits_to_be_asked_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    here = Here(tmp_path)
    (name, value), *_ = here.headers(("deployer", "*")).items()
    with serving(make_app(here)) as url:
        where = urlsplit(url)
        with socket.create_connection((where.hostname or "", where.port or 0), timeout=20) as client:
            head = f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\n{name}: {value}\r\nContent-Length: 20000000\r\n"
            client.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            assert client.recv(100).startswith(b"HTTP/1.1 413 ")
