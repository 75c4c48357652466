"""Processes as /proc shows them. A pid alone says nothing: another process may have it by now.

Format of /proc/<pid>/stat, environ and fd: proc(5).
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
STANDARD_ERROR = 2
#: The states of a process that does nothing any more.
ENDED = ("Z", "X")


@dataclass(frozen=True, slots=True)
class Process:
    """One process and no other: its pid and its start, in clock ticks since `boot`, the kernel's id of this boot."""

    pid: int
    start: int
    boot: str


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    parent: int
    start: int


def boot_id() -> str:
    """Another one after each start of the machine."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def identify(pid: int) -> Process | None:
    """The process that has this pid now, or None. It may have ended, and wait for its parent to take note."""
    stat = _stat(pid)
    return None if stat is None else Process(pid, stat.start, boot_id())


def is_alive(wanted: Process) -> bool:
    """Whether exactly this process runs. If it ended and is a child of this Python, it is laid to rest."""
    stat = _stat(wanted.pid)
    if stat is None or Process(wanted.pid, stat.start, boot_id()) != wanted:
        return False
    if stat.state in ENDED:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(wanted.pid, os.WNOHANG)
        return False
    return True


def send(wanted: Process, number: signal.Signals) -> None:
    """Send a signal to exactly this process, if it still runs."""
    try:
        # Once opened, the descriptor means this process, whatever becomes of the pid.
        handle = os.pidfd_open(wanted.pid)
    except ProcessLookupError:
        return
    try:
        if identify(wanted.pid) == wanted:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def family(is_member: Callable[[int], bool]) -> set[Process]:
    """The processes of which `is_member` (asked with a pid) is true, and all that descend from them."""
    boot = boot_id()
    stats = {pid: stat for pid in _pids() if pid != os.getpid() and (stat := _stat(pid)) is not None}
    stats = {pid: stat for pid, stat in stats.items() if stat.state not in ENDED}
    members = {pid for pid in stats if is_member(pid)}
    newest = members
    while newest:
        newest = {pid for pid, stat in stats.items() if stat.parent in newest} - members
        members = members | newest
    return {Process(pid, stats[pid].start, boot) for pid in members}


def writes_errors_to(pid: int, logs: Iterable[Path]) -> bool:
    """Whether the process has one of these files as its standard error."""
    try:
        return (PROC / str(pid) / "fd" / str(STANDARD_ERROR)).readlink() in logs
    except OSError:
        # It ended, or it belongs to another user, to whom the lab's files are closed.
        return False


def has_variable(pid: int, variable: str, values: Iterable[str]) -> bool:
    """Whether the process was started with the environment variable at one of these values."""
    try:
        environment = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(f"{variable}={value}".encode() in environment for value in values)


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in PROC.iterdir() if entry.name.isdecimal())


def _stat(pid: int) -> _Stat | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field, the name in parentheses, may hold blanks and parentheses itself.
    fields = text.rpartition(")")[2].split()
    return _Stat(state=fields[0], parent=int(fields[1]), start=int(fields[19]))
