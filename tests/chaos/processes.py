"""The processes that the harness kills and stops: workers, and the Redis server. Each with its log."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import redis

from deploy import programs

#: How long anything may take that the harness waits for, in seconds.
PATIENCE = 60.0
LOOK_SECONDS = 0.02


class ChaosError(Exception):
    """The harness itself could not go on: something that it did not touch does not do its work."""


def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Until it holds; `ChaosError` with `what` was waited for where that takes longer."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ChaosError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(LOOK_SECONDS)


class Server:
    """A process with a log. Ended with SIGKILL: nothing that is tested here may need more."""

    def __init__(self, words: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
            )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs, or is stopped."""
        return self._process.poll() is None

    @property
    def stopped(self) -> bool:
        """Whether all of it stands still: proc(5), state T."""
        states = {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in self._tasks()}
        return states == {"T"}

    def send(self, number: signal.Signals) -> None:
        """A signal to it alone, not to what it started."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it, and what it started, wherever it stands. No harm where it has ended."""
        if self.alive:
            self._process.kill()
        self.reap()

    def reap(self) -> None:
        """Wait for its end, and end what it left behind: the beat is a process of its own."""
        self._process.wait(PATIENCE)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _tasks(self) -> Iterator[Path]:
        return Path(f"/proc/{self.pid}/task").iterdir()


class Worker(Server):
    """A worker process."""

    def __init__(
        self,
        name: str,
        module: str,
        options: Sequence[str],
        logs: Path,
        environment: Mapping[str, str],
        *,
        trapped: bool,
    ) -> None:
        self.name = name
        self.trapped = trapped
        words = [sys.executable, "-m", module, f"--hostname={name}@chaos", "--concurrency=8", *options]
        super().__init__(words, logs / f"{name}.log", environment)

    @property
    def ready(self) -> bool:
        """Whether it has said that it takes work."""
        return f"{self.name}@chaos ready." in self.log.read_text()

    def took_the_lead(self, deployment: int) -> float | None:
        """When its lookout said first that nobody leads this deployment, in seconds since 1970; None where never."""
        for line in self.log.read_text().splitlines():
            if '"nobody leads it"' in line:
                said = json.loads(line)
                if said["deployment"] == deployment:
                    return datetime.fromisoformat(said["timestamp"]).timestamp()
        return None


class RedisServer:
    """A Redis server on a Unix socket, which keeps nothing: each start begins empty."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.url = f"redis+socket://{self.socket}"
        (self._program,) = programs.require(["redis-server"]).values()
        self._server: Server | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.socket.unlink(missing_ok=True)
        words: list[str | Path] = [self._program, "--port", "0", "--save", "", "--dir", self.directory]
        words += ["--unixsocket", self.socket, "--unixsocketperm", "600"]
        self._server = Server(words, self.directory / "redis.log", os.environ)
        wait_until(self._answers, "an answer of Redis")

    def kill(self) -> None:
        """SIGKILL. No harm where it does not run."""
        if self._server is not None:
            self._server.kill()
            self._server = None

    def _answers(self) -> bool:
        try:
            with redis.Redis(unix_socket_path=str(self.socket)) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False
