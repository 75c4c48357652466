"""A real Redis server for the tests, on a Unix socket in a short temporary directory. It saves nothing."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from deploy.programs import find

#: How long anything may take that a test waits for, in seconds: far beyond what it takes on a busy machine.
PATIENCE = 60


class RedisServer:
    """One server; it can be stopped and started, and made to stand still. `url` is a broker's, as Celery spells it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket = directory / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis+socket://{self._socket}"

    def client(self) -> redis.Redis:
        """A connection of the test's own."""
        return redis.Redis(unix_socket_path=str(self._socket))

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        program = find("redis-server")
        assert program is not None, "Redis is not installed: python -m deploy.programs redis-server"
        words: list[str | Path] = [program, "--port", "0", "--save", "", "--dir", self._directory]
        words += ["--unixsocket", self._socket]
        with (self._directory / "log").open("ab") as log:
            self._process = process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

        def answers() -> bool:
            assert process.poll() is None, (self._directory / "log").read_text()
            try:
                return bool(self.client().ping())
            except redis.ConnectionError:
                return False

        until(answers)

    def stop(self) -> None:
        """As if its machine had lost its power. No harm where it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None
        self._socket.unlink(missing_ok=True)

    def stand_still(self) -> None:
        """It answers nothing any more, and its connections stay."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It answers again, also what it was asked meanwhile."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


def until(condition: Callable[[], bool]) -> None:
    """Until it holds; the test fails after `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """An empty server that runs."""
    # A socket's path has at most 107 bytes, so not below pytest's own directories.
    directory = Path(tempfile.mkdtemp(prefix="ls-redis-", dir="/tmp"))
    server = RedisServer(directory)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory)
