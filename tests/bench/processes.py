"""What processes cost, from /proc: CPU seconds of a tree of them, and memory; and how busy the machine is.

Times have the grain of /proc/<pid>/stat: ticks of 10 ms.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterable
from pathlib import Path

#: How long sshd's children may take to end after their connection has, in seconds.
SETTLE_SECONDS = 20.0
TICK = 1 / os.sysconf("SC_CLK_TCK")
#: prctl(2): orphans of a process become children of this one.
PR_SET_CHILD_SUBREAPER = 36


def stat_of(pid: int) -> tuple[int, float, float]:
    """A process: its parent, its own CPU seconds, and those of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system, child_user, child_system = (int(field) for field in fields[11:15])
    return int(fields[1]), (user + system) * TICK, (child_user + child_system) * TICK


def processes() -> dict[int, tuple[int, float, float]]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = stat_of(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def family(pids: Iterable[int], known: dict[int, tuple[int, float, float]]) -> set[int]:
    """These processes and all below them."""
    wanted = set(pids) & known.keys()
    while more := {pid for pid, (parent, _, _) in known.items() if parent in wanted} - wanted:
        wanted |= more
    return wanted


def used(pids: Iterable[int]) -> float:
    """CPU seconds of these processes and of all below them, living or ended."""
    known = processes()
    return sum(own + ended for pid in family(pids, known) for _, own, ended in [known[pid]])


def own(pid: int) -> float:
    """CPU seconds of one process, and of its children that have ended."""
    _, spent, ended = stat_of(pid)
    return spent + ended


def settle(pids: set[int]) -> None:
    """Until no connection has a process any more: only then its time counts as its parent's."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while any(parent in pids for parent, _, _ in processes().values()):
        if time.monotonic() > deadline:
            raise SystemExit("the frontends' sshd still have children")
        time.sleep(0.05)


def busy() -> float:
    """CPU seconds that the whole machine has worked: all but idle, waiting for disks, and what other guests took."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _idle, _wait, irq, softirq = (int(field) for field in fields[:7])
    return (user + nice + system + irq + softirq) * TICK


def resident(pid: int) -> int:
    """Memory that a process holds, in kB; 0 where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(found[0].split()[1]) if found else 0


def words_of(pid: int) -> list[str]:
    """A process' command line; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def adopt_orphans() -> None:
    """From now on, what a process below this one leaves behind becomes a child of this one."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
