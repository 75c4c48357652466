"""`orchestrator.ports.Gates` on this machine: one process at a time, in a session of its own, that has to end in time.

The command is run as it is, by no shell. Its whole process group is ended with it (docs/gates.md, "Time").
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from inventory.problem import shown
from orchestrator.domain.effects import GateName
from orchestrator.domain.errors import Problem
from orchestrator.ports import GateRun

log = structlog.get_logger()

#: How long a command that was told to end may take for that, in seconds, before it is killed.
GRACE_SECONDS = 2.0
#: How often it is looked whether it has ended, or has to, in seconds.
LOOK_SECONDS = 0.02
#: What is kept of its output: the last bytes, and of these the last lines, each so many characters.
KEPT_BYTES, KEPT_LINES, KEPT_LINE = 8_192, 10, 200
#: What is still in the pipe when it has ended is read in so many pieces: others may hold the pipe, and write on.
MOST_READS = 8
#: Why a command is told to end: what is said of its gate, and what was found.
OVERDUE = ("took too long", "it still ran, and was ended")
CALLED_OFF = ("was called off", "nobody waits for it any more, and it was ended")
#: What it gets of the worker's own environment. Where a variable is not set: what stands here.
INHERITED = {"PATH": os.defpath, "HOME": "/", "LANG": "C.UTF-8"}


class LocalGates:
    """Runs one command at a time. Safe to use from several threads."""

    def __init__(self, grace_seconds: float = GRACE_SECONDS) -> None:
        self._grace_seconds = grace_seconds
        self._lock = threading.Lock()
        self._present: Command | None = None

    def run(
        self,
        name: GateName,
        command: Sequence[str],
        seconds: float,
        environment: Mapping[str, str],
        deliver: Callable[[GateRun], None],
    ) -> None:
        """Begin to run it, in a thread of its own."""
        present = Command(name, command, seconds, environment, self._grace_seconds)
        with self._lock:
            self._present = present

        def see_through() -> None:
            present.run()
            with self._lock:
                wanted, self._present = self._present is present, None
            if wanted and present.ended is not None:
                deliver(present.ended)

        thread = threading.Thread(target=see_through, name=f"gate-{name}", daemon=True)
        thread.start()
        # Not before: nobody can wait for one that could not be started.
        present.thread = thread

    def call_off(self) -> GateRun | None:
        """End what runs, and wait for its end; it is not delivered any more."""
        with self._lock:
            present, self._present = self._present, None
        if present is None or present.thread is None:
            return None
        present.called_off.set()
        present.thread.join()
        return present.ended


class Command:
    """One run of a command."""

    def __init__(
        self, name: GateName, words: Sequence[str], seconds: float, environment: Mapping[str, str], grace: float
    ) -> None:
        self._name = name
        self._words = words
        self._seconds = seconds
        self._environment = {**{key: os.environ.get(key, other) for key, other in INHERITED.items()}, **environment}
        self._grace = grace
        self._began = 0.0
        self._output = bytearray()
        self.called_off = threading.Event()
        self.thread: threading.Thread | None = None
        self.ended: GateRun | None = None

    def run(self) -> None:
        """Run it to its end; `ended` then says how that was."""
        self._began = time.monotonic()
        try:
            self.ended = self._run()
        except (OSError, ValueError) as error:
            found = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self.ended = self._end(None, self._problem("could not be run", found))
        except Exception as error:  # a fault of ours must not leave a coordinator waiting
            log.exception("gate failed", gate=str(self._name))
            self.ended = self._end(None, self._problem("could not be run", repr(error)))

    def _run(self) -> GateRun:
        process = subprocess.Popen(
            self._words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            cwd="/",
            start_new_session=True,
        )
        assert process.stdout is not None
        with process.stdout as output:
            try:
                os.set_blocking(output.fileno(), False)
                ended = self._attend(process.pid, output.fileno())
            finally:
                # Before it is reaped: until then its number, which is the group's, is nobody else's.
                _signal(process.pid, signal.SIGKILL)
            for _ in range(MOST_READS):
                if not self._read(output.fileno(), 0):
                    break
        return self._judged(process.poll(), ended)

    def _attend(self, pid: int, output: int) -> tuple[str, str] | None:
        """Read what it prints until it has ended, or can't be. Returns why it was told to end, or None."""
        told: float | None = None
        why: tuple[str, str] | None = None
        while not _has_ended(pid):
            now = time.monotonic()
            if told is None and (self.called_off.is_set() or now >= self._began + self._seconds):
                told, why = now, CALLED_OFF if self.called_off.is_set() else OVERDUE
                _signal(pid, signal.SIGTERM)
            elif told is not None and now >= told + 2 * self._grace:
                break
            elif told is not None and now >= told + self._grace:
                _signal(pid, signal.SIGKILL)
            self._read(output, LOOK_SECONDS)
        return why

    def _read(self, output: int, seconds: float) -> bool:
        """Wait so long for more, and keep the end of it. False where there was nothing."""
        # Not select(): it takes no descriptors above 1023, and a worker may have many.
        poll = select.poll()
        poll.register(output, select.POLLIN)
        if not poll.poll(seconds * 1000):
            return False
        more = os.read(output, 65_536)
        self._output += more
        del self._output[:-KEPT_BYTES]
        if not more:
            # Nobody can write there any more, so there is nothing to wait for but the end.
            time.sleep(seconds)
        return bool(more)

    def _judged(self, code: int | None, why: tuple[str, str] | None) -> GateRun:
        said = self._said()
        if code is None:
            return self._end(None, self._problem("can't be ended", f"it still runs{said}"))
        if why is not None:
            what, found = why
            return self._end(None, self._problem(what, f"{found}{said}"))
        if code < 0:
            return self._end(None, self._problem("was ended by a signal", f"{_signal_name(-code)}{said}"))
        problem = None if code == 0 else self._problem("refused", f"exit code {code}{said}")
        return self._end(code, problem)

    def _said(self) -> str:
        lines = self._output.decode(errors="replace").rstrip().splitlines()[-KEPT_LINES:]
        # What moves a cursor or sets a colour would do so on the terminal of whoever reads it.
        text = " | ".join(shown(line[-KEPT_LINE:], 2 * KEPT_LINE) for line in lines if line.strip())
        return f"; it printed: {text}" if text else "; it printed nothing"

    def _problem(self, what: str, found: str) -> Problem:
        return Problem(
            f"the gate {self._name} {what}",
            # Not its arguments: nobody knows what they tell.
            where=f"{self._words[0]} on {socket.gethostname()}",
            expected=f"exit code 0 within {self._seconds:g} s",
            found=found,
            remedy="see what the command says of it, and docs/gates.md",
        )

    def _end(self, code: int | None, problem: Problem | None) -> GateRun:
        return GateRun(self._name, time.monotonic() - self._began, code, problem)


def _has_ended(pid: int) -> bool:
    """Whether a child has ended, without reaping it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _signal(pid: int, number: signal.Signals) -> None:
    """To everybody in its group, as far as there is anybody."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
