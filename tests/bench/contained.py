"""A peer's command and everything that it leaves behind, so that its cost can be told and nothing of it stays.

A process of its own: orphans of the command, such as ssh's masters, become its children, so that their CPU time is
below its own. It ends them when its standard input ends.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.bench import processes
from tests.bench.child import CHECKOUT

LAST_LINES = 60


@dataclass(frozen=True, slots=True)
class Command:
    """What a peer runs: words, the directory to run them in, and variables beside this process' own."""

    argv: Sequence[str]
    directory: Path
    environment: Mapping[str, str]


class PeerError(Exception):
    """A peer's command failed; the text has its last lines."""


@dataclass(frozen=True, slots=True)
class Ran:
    """Exit code; seconds it took; CPU seconds of its processes, living or ended."""

    code: int
    wall: float
    cpu: float


def main() -> None:
    processes.adopt_orphans()
    directory, log, *argv = sys.argv[1:]
    before = processes.used([os.getpid()])
    with Path(log).open("wb") as output:
        began = time.monotonic()
        command = subprocess.Popen(argv, cwd=directory, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        code = command.wait()
        wall = time.monotonic() - began
    # Those that it left are this process' children now; the ones that ended count once they are waited for.
    _reap()
    cpu = processes.used([os.getpid()]) - before
    print(json.dumps({"code": code, "wall": wall, "cpu": cpu}), flush=True)  # noqa: T201 -- a command line
    sys.stdin.read()
    _end_rest()


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _end_rest() -> None:
    """One by one, and again for what they started meanwhile, until nothing is below this process."""
    while left := processes.family([os.getpid()], processes.processes()) - {os.getpid()}:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap()
        time.sleep(0.01)


class Contained:
    """One run of a command. `run` returns when it has ended; `close` ends what it left behind."""

    def __init__(self, command: Command, log: Path) -> None:
        self._command, self._log = command, log
        self._process: subprocess.Popen[str] | None = None

    def run(self) -> Ran:
        """Run it. `PeerError` where it fails."""
        words = [sys.executable, "-m", "tests.bench.contained", str(self._command.directory), str(self._log)]
        environment = {**os.environ, **self._command.environment}
        self._process = subprocess.Popen(
            [*words, *self._command.argv],
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        ran = Ran(**json.loads(self._process.stdout.readline()))
        if ran.code != 0:
            raise PeerError(f"exit {ran.code}: {' '.join(self._command.argv)}\n{self._last_words()}")
        return ran

    def close(self) -> None:
        """End what is left of it."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _last_words(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LAST_LINES:])


if __name__ == "__main__":
    main()
