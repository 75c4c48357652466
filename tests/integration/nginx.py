"""A real nginx on loopback, in a directory of its own: it needs neither root nor the system's paths."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.programs import find

SECONDS_TO_START = 20.0
SECONDS_TO_STOP = 10.0

MAIN = """
{user}
daemon off;
worker_processes 2;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log notice;
events {{ worker_connections 512; }}
http {{
    types {{
        text/html html;
        text/css css;
        text/javascript js;
        image/png png;
    }}
    default_type application/octet-stream;
    access_log {prefix}/access.log;
    keepalive_requests 1000000;
    client_body_temp_path {prefix}/body;
    proxy_temp_path {prefix}/proxy;
    fastcgi_temp_path {prefix}/fastcgi;
    uwsgi_temp_path {prefix}/uwsgi;
    scgi_temp_path {prefix}/scgi;
{http}
}}
"""


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


@contextmanager
def nginx(prefix: Path, http: str, ports: Sequence[int]) -> Iterator[None]:
    """Run nginx with `http` inside its http context, from when it answers on all `ports` until the block ends."""
    program = find("nginx")
    assert program is not None, "nginx is not installed: python -m deploy.programs nginx"
    prefix.mkdir(parents=True, exist_ok=True)
    # Workers would give up root for a user who may not enter pytest's directories.
    user = "user root;" if os.geteuid() == 0 else ""
    configuration = prefix / "nginx.conf"
    configuration.write_text(MAIN.format(user=user, prefix=prefix, http=http), encoding="utf-8")
    with (
        (prefix / "stderr").open("wb") as stderr,
        subprocess.Popen([program, "-p", str(prefix), "-c", str(configuration)], stderr=stderr) as process,
    ):
        try:
            _await_ports(process, ports, prefix)
            yield
        finally:
            process.terminate()
            try:
                process.wait(SECONDS_TO_STOP)
            finally:
                process.kill()


def await_condition(holds: Callable[[], bool], seconds: float = SECONDS_TO_START) -> None:
    """Return once `holds()`; `TimeoutError` where it does not within that time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"a condition did not come about within {seconds} s")
        time.sleep(0.01)  # between two looks at the condition


def _await_ports(process: subprocess.Popen[bytes], ports: Sequence[int], prefix: Path) -> None:
    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"nginx ended: {(prefix / 'stderr').read_text()}")
        return all(_is_open(port) for port in ports)

    await_condition(answers)


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
