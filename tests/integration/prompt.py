"""A prompt at which commands of `lockstep` are typed: each is a process of its own, with its modules loaded already.

It is forked from one that has loaded them. To do so takes each command that starts from nothing 0.7 s of CPU, which was
half of what the tests with a lab took. What a person waits for at a cold start is in `make bench`.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

CHECKOUT = Path(__file__).parents[2]
#: What commands import, most of it when they need it.
LOADED = ("orchestrator.cli", "orchestrator.adapters", "orchestrator.services")
#: A request: words, environment, directory and niceness.
MOST_BYTES = 128 << 10


class Typed:
    """A command that was typed: as much of `subprocess.Popen` as the tests need."""

    def __init__(self, words: Sequence[str], line: socket.socket, stdout: IO[str] | None) -> None:
        self.stdout = stdout
        self.returncode: int | None = None
        self._words = list(words)
        self._line = line
        self.pid = self._said()

    def _said(self) -> int:
        said = self._line.recv(64)
        if not said:
            raise RuntimeError("the prompt's process has ended")
        return int(said)

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0.001)
        return self.returncode

    def wait(self, seconds: float) -> int:
        """Its exit code, once it has ended. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            if not select.select([self._line], [], [], seconds)[0]:
                raise subprocess.TimeoutExpired(self._words, seconds)
            self.returncode = self._said()
            self._line.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it printed, once it has ended."""
        assert self.stdout is not None
        with self.stdout:
            printed = self.stdout.read()
        self.wait(timeout)
        return printed, ""


class Prompt:
    """Its process begins with the first command, and ends with this one. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, words: Sequence[str], environment: Mapping[str, str], patience: float) -> tuple[int, str, str]:
        """`lockstep WORDS…`: its exit code, what it printed, and its messages.

        Raises `subprocess.TimeoutExpired` where it took longer than `patience` seconds: it is ended then.
        """
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as messages:
            typed = Typed(words, self._fork(words, environment, output.fileno(), messages.fileno()), None)
            try:
                code = typed.wait(patience)
            except subprocess.TimeoutExpired:
                typed.send_signal(signal.SIGKILL)
                typed.wait(patience)
                raise
            output.seek(0)
            messages.seek(0)
            return code, output.read().decode(), messages.read().decode()

    def start(self, words: Sequence[str], environment: Mapping[str, str], messages: IO[str], nice: int = 0) -> Typed:
        """The same in the background: its messages go to a file."""
        end, output = os.pipe()
        try:
            line = self._fork(words, environment, output, messages.fileno(), nice)
        finally:
            os.close(output)
        return Typed(words, line, os.fdopen(end))

    def _fork(
        self, words: Sequence[str], environment: Mapping[str, str], output: int, messages: int, nice: int = 0
    ) -> socket.socket:
        request = json.dumps([list(words), dict(environment), str(Path.cwd()), nice]).encode()
        mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with its:
            socket.send_fds(self._standing(), [request], [output, messages, its.fileno()])
        return mine

    def _standing(self) -> socket.socket:
        with self._lock:
            if self._line is None:
                mine, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                with its:
                    # It ends with its line, also where this process is killed.
                    self._process = subprocess.Popen(
                        [sys.executable, "-m", __name__, str(its.fileno())],
                        stdin=subprocess.DEVNULL,
                        cwd=CHECKOUT,
                        pass_fds=[its.fileno()],
                    )
                self._line = mine
            return self._line

    def close(self) -> None:
        """End its process. Commands that still run go on."""
        with self._lock:
            if self._line is not None and self._process is not None:
                self._line.close()
                self._process.wait()


class _Started:
    """The processes of one prompt, and who waits for each."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._waiting = selectors.DefaultSelector()
        self._waiting.register(line, selectors.EVENT_READ)

    def forked(self) -> list[str] | None:
        """Fork for each request. Returns the words in the new process, None in this one when nobody asks any more."""
        while True:
            for key, _ in self._waiting.select():
                if key.fileobj is not self._line:
                    self._tell(key)
                    continue
                request, fds, _, _ = socket.recv_fds(self._line, MOST_BYTES, 3)
                if not request:
                    return None
                if (words := self._fork(request, fds)) is not None:
                    return words

    def _fork(self, request: bytes, fds: list[int]) -> list[str] | None:
        words, environment, directory, nice = json.loads(request)
        output, messages, asking = fds
        pid = os.fork()
        if pid:
            os.close(output)
            os.close(messages)
            os.write(asking, b"%d" % pid)
            self._waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, asking))
            return None
        os.dup2(output, 1)
        os.dup2(messages, 2)
        others = [fd for key in self._waiting.get_map().values() if key.data for fd in (key.fd, key.data[1])]
        # Whoever closes a number that an object still has closes somebody else's later.
        self._waiting.close()
        self._line.close()
        for fd in (*fds, *others):
            os.close(fd)
        os.nice(nice)
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(directory)
        return [str(word) for word in words]

    def _tell(self, key: selectors.SelectorKey) -> None:
        pid, asking = key.data
        self._waiting.unregister(key.fileobj)
        os.close(key.fd)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with suppress(BrokenPipeError):
            os.write(asking, b"%d" % code)
        os.close(asking)


def _load() -> None:
    for package in LOADED:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            # Migrations are run, not imported.
            if ".migrations" not in module.name and not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    gc.freeze()


if __name__ == "__main__":
    _load()
    typed = _Started(socket.socket(fileno=int(sys.argv[1]))).forked()
    if typed is not None:
        from orchestrator.cli import main

        sys.argv = ["lockstep", *typed]
        main()
