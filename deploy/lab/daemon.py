"""One server program of the lab: started so that it outlives its starter, found again, and ended with all it started.

Its directory holds `log` (its standard error) and `process.json` (which process it is). Nothing is ended by its pid
alone: the process must have started at the recorded tick of the recorded boot, or carry a mark of this directory.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from deploy.lab.errors import LabError
from deploy.lab.processes import Process, family, has_variable, identify, is_alive, send, writes_errors_to
from deploy.lab.wait import wait_until

#: The variable that marks a daemon's processes; its value is the daemon's directory.
MARK = "LOCKSTEP_LAB_DAEMON"
START_SECONDS = 60.0
#: After the polite signal.
STOP_SECONDS = 5.0
#: After the other one.
KILL_SECONDS = 20.0
LOG_LINES = 5


class DaemonState(StrEnum):
    """Dead is what ended by itself or by somebody else; stopped is what the lab has ended."""

    RUNNING = "running"
    STOPPED = "stopped"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Daemon:
    """A program that stays in the foreground. `answers` is whether it does its work: a banner, an HTTP answer."""

    name: str
    directory: Path
    argv: tuple[str, ...]
    answers: Callable[[], bool]

    @property
    def log(self) -> Path:
        """What it writes to standard output and standard error."""
        return self.directory / "log"

    @property
    def state(self) -> DaemonState:
        """Running, stopped or dead."""
        recorded = self._recorded()
        if recorded is None:
            return DaemonState.STOPPED
        return DaemonState.RUNNING if is_alive(recorded) else DaemonState.DEAD

    @property
    def pid(self) -> int | None:
        """The pid while it runs, else None."""
        recorded = self._recorded()
        return recorded.pid if recorded is not None and is_alive(recorded) else None

    def start(self) -> None:
        """Start it in a session of its own and record it. Does nothing while it runs; does not wait for answers."""
        if self.state is DaemonState.RUNNING:
            return
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        try:
            pid = os.posix_spawn(
                self.argv[0],
                self.argv,
                # Nothing of the caller's environment reaches the servers, and through them the sessions.
                {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", MARK: str(self.directory)},
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(self.log), append, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
                setsigmask=[],
                # Python ignores some signals, and who ignores one passes that on.
                setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD],
            )
        except OSError as error:
            raise LabError(f"{self.name} can't be started", where=self.argv[0], found=str(error)) from error
        started = identify(pid)
        if started is not None:
            _write(self._record, {"pid": started.pid, "start": started.start, "boot": started.boot})

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Wait until it answers. `LabError` with the end of its log when it ends instead, or says nothing in time."""
        answered = wait_until(lambda: self.state is not DaemonState.RUNNING or self.answers(), seconds)
        self.check()
        if not answered:
            raise LabError(
                f"{self.name} runs but does not answer within {seconds:.0f} seconds",
                where=str(self.log),
                found=self.last_words(),
            )

    def check(self) -> None:
        """`LabError` with the end of its log where it does not run."""
        if self.state is not DaemonState.RUNNING:
            raise LabError(f"{self.name} has ended", where=str(self.log), found=self.last_words())

    def send(self, number: signal.Signals) -> None:
        """Send its main process a signal, if it runs."""
        recorded = self._recorded()
        if recorded is not None:
            send(recorded, number)

    def children(self) -> set[Process]:
        """The processes that it started, and theirs."""
        pid = self.pid
        return set() if pid is None else {member for member in family(lambda p: p == pid) if member.pid != pid}

    def last_words(self) -> str:
        """The last lines of its log."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return "no log"
        return "\n    ".join(lines[-LOG_LINES:]) or "an empty log"

    def forget(self) -> None:
        """Note that it was stopped on purpose."""
        self._record.unlink(missing_ok=True)

    @property
    def _record(self) -> Path:
        return self.directory / "process.json"

    def _recorded(self) -> Process | None:
        try:
            document = json.loads(self._record.read_text())
            return Process(int(document["pid"]), int(document["start"]), str(document["boot"]))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise LabError(
                "this is not a record of a process",
                where=str(self._record),
                expected='{"pid": …, "start": …, "boot": …}',
                found=repr(error),
                remedy="remove the file; `lockstep lab down` finds the daemon's processes without it",
            ) from error


def stop(daemons: Sequence[Daemon]) -> None:
    """End these daemons and everything that they started: politely first, then for good. Returns when all are gone.

    What a killed server left behind (nginx' workers, SSH sessions and their commands) is found by its marks: the log
    as standard error, or the variable `MARK`. `LabError` where a process outlives it.
    """
    for daemon in daemons:
        daemon.send(signal.SIGTERM)
    wait_until(lambda: not any(daemon.state is DaemonState.RUNNING for daemon in daemons), STOP_SECONDS)
    left: set[Process] = set()

    def all_gone() -> bool:
        nonlocal left
        left = _left_of(daemons)
        # All are halted before the first one ends: a session must not report how its command was killed.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for member in left:
                send(member, number)
        return not left

    if not wait_until(all_gone, KILL_SECONDS):
        raise LabError(
            "processes of the lab do not end",
            found=", ".join(str(pid) for pid in sorted(member.pid for member in left)),
            remedy="find out what they wait for (ps -o pid,stat,wchan,args), then `lockstep lab down` again",
        )
    for daemon in daemons:
        daemon.forget()


def _left_of(daemons: Sequence[Daemon]) -> set[Process]:
    logs = {daemon.log for daemon in daemons}
    marks = {str(daemon.directory) for daemon in daemons}
    pids = {pid for daemon in daemons if (pid := daemon.pid) is not None}
    return family(lambda pid: pid in pids or writes_errors_to(pid, logs) or has_variable(pid, MARK, marks))


def _write(path: Path, document: dict[str, object]) -> None:
    """Whole or not at all: a reader never finds half of it."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(document))
    new.replace(path)
