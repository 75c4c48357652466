"""A real HAProxy on loopback, in a directory of its own, with admin sockets of every kind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.programs import find
from tests.integration.nginx import await_condition, free_ports

CONFIGURATION = """
global
    stats socket {directory}/admin.sock mode 600 level admin expose-fd listeners
    stats socket {directory}/operator.sock mode 600 level operator
    stats socket {directory}/user.sock mode 600 level user
    stats socket ipv4@127.0.0.1:{tcp} level admin
    server-state-file {directory}/states
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    load-server-state-from-file global
frontend fleet
    bind 127.0.0.1:{port}
    default_backend web
backend web
    balance roundrobin
    default-server inter 200ms fall 2 rise 1
{servers}
backend api
{tracking}
"""


class Haproxy:
    """One HAProxy. `servers` maps the servers of its backend ``web`` to their ports, and words behind.

    The servers of the backend ``api`` have the same names and ports, and track those of ``web`` that have checks.
    """

    def __init__(self, directory: Path, servers: Mapping[str, str]) -> None:
        self.directory = directory
        self.port, self.tcp = free_ports(2)
        self._process: subprocess.Popen[bytes] | None = None
        checked = {name: words.split()[0] for name, words in servers.items() if "check" in words}
        text = CONFIGURATION.format(
            directory=directory,
            port=self.port,
            tcp=self.tcp,
            servers="\n".join(f"    server {name} 127.0.0.1:{words}" for name, words in servers.items()),
            tracking="\n".join(f"    server {n} 127.0.0.1:{port} track web/{n}" for n, port in checked.items()),
        )
        (directory / "haproxy.cfg").write_text(text)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def socket(self, level: str = "admin") -> str:
        """The Unix socket of that level, as an inventory names it."""
        return f"unix://{self.directory}/{level}.sock"

    @property
    def tcp_socket(self) -> str:
        return f"tcp://127.0.0.1:{self.tcp}"

    def ask(self, command: str) -> str:
        """The admin socket's answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(f"{self.directory}/admin.sock")
            connection.sendall(f"{command}\n".encode())
            with connection.makefile() as answer:
                return answer.read()

    def start(self, *options: str) -> None:
        program = find("haproxy")
        assert program is not None, "HAProxy is not installed: python -m deploy.programs haproxy"
        argv = [str(program), "-db", "-f", str(self.directory / "haproxy.cfg"), *options]
        with (self.directory / "log").open("ab") as log:
            self._process = process = subprocess.Popen(argv, stdout=log, stderr=log)

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"HAProxy ended: {(self.directory / 'log').read_text()}")
            try:
                return f"Pid: {process.pid}\n" in self.ask("show info")
            except OSError:
                return False

        await_condition(answers)

    def stop(self) -> None:
        """As where it crashes: it writes nothing down before."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def freeze(self) -> None:
        """It holds its sockets open and says nothing more."""
        os.kill(self.pid, signal.SIGSTOP)
        # Each of its threads stops when it is told so, which may be after one more answer.
        await_condition(lambda: all(state == "T" for state in _states(self.pid)))


def _states(pid: int) -> list[str]:
    """Of each thread, as proc(5) spells them."""
    texts = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/stat")]
    return [text.rpartition(") ")[2][0] for text in texts]


@contextmanager
def haproxy(directory: Path, servers: Mapping[str, str]) -> Iterator[Haproxy]:
    """Run one from when it answers until the block ends."""
    instance = Haproxy(directory, servers)
    try:
        instance.start()
        yield instance
    finally:
        instance.stop()
