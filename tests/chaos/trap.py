"""A trap at one point of a deployment: files that the harness and its workers share.

The harness sets it; the first worker that comes by springs it, once, says so, does to itself what it was told, and
waits until it is let go.
"""

from __future__ import annotations

import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.chaos.points import Act, Point

#: How long a worker waits to be let go, in seconds: nothing that it leads may hang for ever.
LONGEST_WAIT = 90.0
LOOK_SECONDS = 0.005

_SIGNALS = {Act.KILL: signal.SIGKILL, Act.STOP: signal.SIGSTOP}


@dataclass(frozen=True, slots=True)
class Sprung:
    """Who walked into it, with which deployment, and when (seconds since 1970)."""

    pid: int
    deployment: int
    at: float


class Trap:
    """The files below `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._set = directory / "set"
        self._sprung = directory / "sprung"
        self._let_go = directory / "let-go"
        directory.mkdir(parents=True, exist_ok=True)

    # ── the harness ──

    def set(self, point: Point, act: Act) -> None:
        """Lie in wait. What an earlier trap left is cleared."""
        for path in self._directory.iterdir():
            path.unlink()
        _write(self._set, {"act": act, "point": point})

    def sprung(self) -> Sprung | None:
        """Who walked into it; None while nobody has."""
        try:
            return Sprung(**json.loads(self._sprung.read_text()))
        except FileNotFoundError:
            return None

    def let_go(self) -> None:
        """Whoever waits in it goes on."""
        self._let_go.touch()

    def rested(self, pid: int, deployment: int) -> bool:
        """Whether the coordinator of this deployment in this process has come to its end."""
        return self._rest(pid, deployment).exists()

    # ── the workers ──

    def pass_by(self, point: Point, deployment: int) -> None:
        """Come to a point. Where the trap lies there, and nobody was here before, it springs."""
        try:
            wanted = json.loads(self._set.read_text())
            if wanted["point"] != point:
                return
            self._set.rename(self._directory / f"claimed-{os.getpid()}")
        except FileNotFoundError:
            return
        _write(self._sprung, asdict(Sprung(os.getpid(), deployment, time.time())))
        if (number := _SIGNALS.get(Act(wanted["act"]))) is not None:
            os.kill(os.getpid(), number)
        # A signal to a process reaches its threads one after another: this one must not get any further meanwhile.
        deadline = time.monotonic() + LONGEST_WAIT
        while not self._let_go.exists() and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)

    def rest(self, deployment: int) -> None:
        """This process' coordinator of the deployment has come to its end."""
        self._rest(os.getpid(), deployment).touch()

    def _rest(self, pid: int, deployment: int) -> Path:
        return self._directory / f"rested-{pid}-{deployment}"


def _write(path: Path, document: object) -> None:
    """Whole or not at all."""
    new = path.with_suffix(f".{os.getpid()}")
    new.write_text(json.dumps(document))
    new.rename(path)
