"""The processes of `lockstep standalone`: Redis where none is configured, a worker with the beat, and the server."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import redis

from orchestrator.adapters.dispatch import CeleryDispatch
from orchestrator.domain.errors import ConflictError, LockstepError
from orchestrator.settings import Settings

START_SECONDS = 30.0
STOP_SECONDS = 30.0
#: sun_path of a Unix socket's address holds 108 bytes, the last of them zero (unix(7)).
LONGEST_SOCKET = 107


class Standalone:
    """The running processes. `processes` are all that were started here, by name.

    `api_url` is None without a server.
    """

    def __init__(self, broker_url: str, api_url: str | None, processes: Mapping[str, subprocess.Popen[bytes]]) -> None:
        self.broker_url = broker_url
        self.api_url = api_url
        self.processes = processes

    def dead(self) -> str | None:
        """The name of a process that ended by itself, or None."""
        return next((name for name, process in self.processes.items() if process.poll() is not None), None)


@contextmanager
def standalone(
    settings: Settings, redis_server: Callable[[], Path], worker_options: Sequence[str], port: int | None
) -> Iterator[Standalone]:
    """Run them until the context ends; then stop them, the server first.

    `redis_server` finds the program, and is asked only where no broker is configured. `port` is the server's on
    127.0.0.1, 0 for any that is free, None for no server.

    Raises:
        ConflictError: another one runs for the same LOCKSTEP_HOME.
        LockstepError: a process did not start.
    """
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    processes: dict[str, subprocess.Popen[bytes]] = {}
    with ExitStack() as stack:
        stack.enter_context(_alone(settings))
        broker_url = settings.broker_url
        if broker_url is None:
            broker_url = stack.enter_context(_redis(settings, redis_server(), processes))
        stack.enter_context(_worker(settings, broker_url, worker_options, processes))
        api_url = None if port is None else stack.enter_context(_server(settings, broker_url, port, processes))
        yield Standalone(broker_url, api_url, processes)


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    with (settings.home / "standalone.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConflictError(
                "another `lockstep standalone` runs",
                where=str(settings.home),
                expected="one for each LOCKSTEP_HOME",
                remedy="use that one, or stop it first",
            ) from error
        # A note that a killed one left behind names a Redis server that is gone.
        settings.broker_note.unlink(missing_ok=True)
        yield


@contextmanager
def _redis(settings: Settings, program: Path, processes: dict[str, subprocess.Popen[bytes]]) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="lockstep-") as short:
        path = settings.home / "redis.sock"
        if len(os.fsencode(path)) > LONGEST_SOCKET:
            path = Path(short) / "redis.sock"
        path.unlink(missing_ok=True)
        # Only for this login, on no network. Nothing is saved: what must last is in the ledger.
        words: list[str | Path] = [program, "--port", "0", "--save", "", "--dir", short]
        words += ["--unixsocket", path, "--unixsocketperm", "600"]
        with _running("redis", words, settings, processes) as process:
            url = f"redis+socket://{path}"
            _until("redis", process, lambda: _pings(path), settings)
            settings.broker_note.write_text(f"{url}\n")
            try:
                yield url
            finally:
                settings.broker_note.unlink(missing_ok=True)


@contextmanager
def _worker(
    settings: Settings, broker_url: str, options: Sequence[str], processes: dict[str, subprocess.Popen[bytes]]
) -> Iterator[None]:
    words = [sys.executable, "-m", "workers.app", "--beat", *options]
    with _running("worker", words, settings, processes, {"LOCKSTEP_BROKER_URL": broker_url}) as process:
        dispatch = CeleryDispatch(broker_url)
        _until("worker", process, lambda: dispatch.workers(0.5), settings)
        yield


@contextmanager
def _server(
    settings: Settings, broker_url: str, port: int, processes: dict[str, subprocess.Popen[bytes]]
) -> Iterator[str]:
    settings.api_note.unlink(missing_ok=True)
    words = [sys.executable, "-m", "orchestrator.cli", "serve", "--port", str(port)]
    with _running("server", words, settings, processes, {"LOCKSTEP_BROKER_URL": broker_url}) as process:
        _until("server", process, lambda: _answers(settings.api_note), settings)
        yield settings.api_note.read_text().strip()


@contextmanager
def _running(
    name: str,
    words: Sequence[str | Path],
    settings: Settings,
    processes: dict[str, subprocess.Popen[bytes]],
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with its log below LOCKSTEP_HOME, stopped when the context ends."""
    with (settings.home / f"{name}.log").open("ab") as output:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  # no thread of ours runs yet
        )
        processes[name] = process
        try:
            yield process
        finally:
            _stop(process)


def _die_with_parent() -> None:
    """prctl(2) PR_SET_PDEATHSIG: even where this process is killed, nothing is left behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(note: Path) -> bool:
    try:
        return httpx.get(f"{note.read_text().strip()}/healthz", trust_env=False).is_success
    except (FileNotFoundError, httpx.HTTPError, httpx.InvalidURL):
        return False


def _pings(path: Path) -> bool:
    try:
        with redis.Redis(unix_socket_path=str(path)) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def _until(name: str, process: subprocess.Popen[bytes], ready: Callable[[], bool], settings: Settings) -> None:
    log = settings.home / f"{name}.log"
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            tail = log.read_text(errors="replace")[-500:]
            state = f"ended with {process.returncode}" if process.returncode is not None else "no answer"
            raise LockstepError(
                f"{name} did not start",
                where=str(log),
                expected=f"an answer within {START_SECONDS:g} s",
                found=f"{state}; its last words: {tail}",
            )
        time.sleep(0.05)
