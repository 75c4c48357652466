"""What the lab's servers answer, asked at their own addresses."""

from __future__ import annotations

import csv
import json
import socket
from collections.abc import Mapping
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ASK_SECONDS = 2.0
#: RFC 4253, section 4.2: the line with which a server begins.
SSH_BANNER = b"SSH-2.0-"
#: The frontends' backend in haproxy.cfg; the sample app's service has another.
BACKEND = "web"
NO_ANSWER = (OSError, HTTPException)


def says_ssh(address: str, port: int) -> bool:
    """Whether an SSH server shows its banner."""
    try:
        with socket.create_connection((address, port), timeout=ASK_SECONDS) as connection:
            return connection.recv(len(SSH_BANNER), socket.MSG_WAITALL) == SSH_BANNER
    except OSError:
        return False


def says_http(url: str) -> bool:
    """Whether a web server answers at all, with whatever status."""
    try:
        _get(f"{url}/-/lockstep/health")
    except NO_ANSWER:
        return False
    return True


def activation(url: str) -> dict[str, Any] | str:
    """What the frontend says it serves (docs/protocol.md, "Serving"), or in words why it does not say so."""
    try:
        status, body = _get(f"{url}/-/lockstep/activation")
    except NO_ANSWER as error:
        return f"no answer: {error}"
    if status != HTTPStatus.OK:
        return f"HTTP status {status}"
    try:
        document = json.loads(body)
    except ValueError:
        return "an answer that is not JSON"
    return document if isinstance(document, dict) else "an answer that is not a JSON object"


def rotation(admin_socket: Path) -> Mapping[str, str]:
    """HAProxy's word on each frontend: ``UP L7OK``, ``DOWN L4CON``, ``MAINT``, …; empty where HAProxy does not answer.

    Format of `show stat`: HAProxy's management guide, section 9.1.
    """
    rows = csv.DictReader(_admin(admin_socket, "show stat").removeprefix("# ").splitlines())
    return {
        row["svname"]: f"{row['status']} {row['check_status'].lstrip('* ')}".strip()
        for row in rows
        if row["pxname"] == BACKEND and row["svname"] not in ("FRONTEND", "BACKEND")
    }


def _get(url: str) -> tuple[int, bytes]:
    # Never by way of a proxy that the environment names: these are loopback addresses.
    parts = urlsplit(url)
    with closing(HTTPConnection(parts.hostname or "", parts.port, timeout=ASK_SECONDS)) as connection:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        return answer.status, answer.read()


def _admin(admin_socket: Path, command: str) -> str:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ASK_SECONDS)
            connection.connect(str(admin_socket))
            connection.sendall(f"{command}\n".encode())
            with connection.makefile(errors="replace") as answer:
                return answer.read()
    except OSError:
        return ""
