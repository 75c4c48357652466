"""One deployment, measured: what each step of it took, in wall time and in CPU time of whom.

The steps end where the worker's log and the ledger say so. CPU is that of the processes that take part: sshd and nginx
with all below them, the worker, its Redis, and the command itself, from /proc/<pid>/stat (ticks of 10 ms). What the
rest of the machine does meanwhile is told apart, as what /proc/stat says that all of it was busy.
"""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.lab import Lab
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.deployment import Deployment, Report
from orchestrator.settings import Settings
from tests.bench.processes import TICK, processes, stat_of
from tests.integration.operator import Operator

#: How often the worker's log is looked at, in seconds.
LOOK_SECONDS = 0.02
#: How often all processes are looked at again, where some end meanwhile.
SCANS = 20
#: The parts of a deployment in their order. CPU of the two that the decision parts can't be told apart: no line of the
#: log stands between them, so that nothing does between the decision and the flip.
STEPS = ("planned", "staging", "verifying", "arming", "activating", "finishing", "ended")
#: Who takes part.
PARTS = ("command", "worker", "redis", "sshd", "nginx")

Usage = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deployment took. Seconds, but for `skew_ms` and `peak_kb`, the worker's largest resident set.

    `steps` are wall seconds by the state in which they passed; `cpu` by those who take part; `cpu_of_steps` by the
    steps that end with a line in the log; `reported` by step: median and longest of what frontends reported.
    `troubles` counts why it was aborted, where it was.
    """

    name: str
    frontends: int
    state: str
    wall: float
    busy: float
    cpu: Mapping[str, float]
    steps: Mapping[str, float]
    cpu_of_steps: Mapping[str, Usage]
    reported: Mapping[str, tuple[float, float]]
    bytes_sent: int
    skew_ms: float | None
    peak_kb: int
    troubles: Mapping[str, int] = field(default_factory=dict)

    @property
    def per_frontend(self) -> float:
        """Milliseconds of wall time."""
        return self.wall * 1000 / self.frontends


class Machine:
    """The processes of one lab and of the `lockstep standalone` that serves it: both were started by this process."""

    def __init__(self, lab: Lab, home: Path) -> None:
        self.log = home / "worker.log"
        self._sshd = _pids(lab, "sshd")
        self._nginx = _pids(lab, "nginx")
        (self._standalone,) = _children_running(os.getpid(), "standalone")
        (self.worker,) = _children_running(self._standalone, "workers.app")
        self._redis = set(_children_running(self._standalone, "redis-server"))

    def used(self) -> dict[str, float]:
        """CPU seconds so far, by those of `PARTS`."""
        known = self._processes()
        below: dict[int, list[int]] = {}
        for pid, (parent, _, _) in known.items():
            below.setdefault(parent, []).append(pid)

        def total(pids: Collection[int]) -> float:
            seconds, waiting = 0.0, [pid for pid in pids if pid in known]
            while waiting:
                pid = waiting.pop()
                _, own, ended = known[pid]
                seconds += own + ended
                waiting += below.get(pid, [])
            return seconds

        mine = os.getpid()
        others = {*self._sshd, *self._nginx, self._standalone}
        return {
            "command": known[mine][2] + total(set(below.get(mine, [])) - others),
            "worker": total({self.worker}),
            "redis": total(self._redis),
            "sshd": total(self._sshd),
            "nginx": total(self._nginx),
        }

    def _processes(self) -> dict[int, tuple[int, float, float]]:
        """All processes, while none of a server's ended: one that did would be in neither's time, or in both's."""
        servers = {*self._sshd, self._standalone, os.getpid()}
        for _ in range(SCANS):
            ended = {pid: stat_of(pid)[2] for pid in servers}
            known = processes()
            if all(stat_of(pid)[2] == ended[pid] for pid in servers):
                break
        return known

    def forget_peak(self) -> None:
        """The worker's largest resident set is that from now on: proc(5), clear_refs."""
        Path(f"/proc/{self.worker}/clear_refs").write_text("5")

    def peak_kb(self) -> int:
        """The worker's largest resident set."""
        status = Path(f"/proc/{self.worker}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


class Watch(threading.Thread):
    """Reads the worker's log as it grows, and takes down who used how much when a step ends."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(daemon=True)
        self._machine = machine
        self._begin = machine.log.stat().st_size
        self._stopped = threading.Event()
        self.moves: list[tuple[str, datetime, Usage]] = []

    def run(self) -> None:
        with self._machine.log.open("rb") as log:
            log.seek(self._begin)
            rest = b""
            while True:
                last = self._stopped.wait(LOOK_SECONDS)
                *lines, rest = (rest + log.read()).split(b"\n")
                for line in lines:
                    self._read(line)
                if last:
                    return

    def stop(self) -> None:
        self._stopped.set()
        self.join()

    def _read(self, line: bytes) -> None:
        # Most lines are answers, thousands of them: only the few that matter are parsed.
        if b'"event": "moved"' not in line and b'"event": "prepared"' not in line:
            return
        said = json.loads(line)
        self.moves.append((said["state"], datetime.fromisoformat(said["timestamp"]), self._machine.used()))


def deploy(operator: Operator, machine: Machine, name: str, *words: str) -> Deployed:
    """Have the operator type a command that deploys, and measure until it returns."""
    machine.forget_peak()
    with _watched(machine) as watch:
        before, busy, began = machine.used(), busy_seconds(), time.time()
        said = operator.types(*words, "--json")
        ended, busy_then, after = time.time(), busy_seconds(), machine.used()
    document = json.loads(said.output)
    if "error" in document:
        raise SystemExit(f"{' '.join(words)}: {said.output}{said.messages}")
    lockstep = Lockstep(Settings.read(operator.environment))
    row = lockstep.ledger.deployment(document["id"])
    assert row is not None
    reports = [report for _, report in lockstep.ledger.reports(row.id)]
    return Deployed(
        name=name,
        frontends=len(row.plan.frontends),
        state=str(row.state),
        wall=ended - began,
        busy=busy_then - busy,
        cpu=_less(after, before),
        steps=_steps(row, watch.moves, began, ended),
        cpu_of_steps=_cpu_of_steps(watch.moves, before, after),
        reported=_reported(reports),
        bytes_sent=sum(report.detail.get("bytes", 0) for report in reports),
        skew_ms=document["skew_ms"],
        peak_kb=machine.peak_kb(),
        troubles=dict(Counter(f"{each.step}: {each.problem.get('what')}" for each in row.troubles)),
    )


def busy_seconds() -> float:
    """CPU seconds that the machine was busy since it started: the first line of /proc/stat, but for idle and iowait."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(numbers) - numbers[3] - numbers[4]) * TICK


@contextmanager
def _watched(machine: Machine) -> Iterator[Watch]:
    watch = Watch(machine)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()


def _steps(
    row: Deployment, moves: Sequence[tuple[str, datetime, Usage]], began: float, ended: float
) -> Mapping[str, float]:
    """Wall seconds by state; the command's own time before the row is "planned", and what follows its end "ended"."""
    entered = {state: at.timestamp() for state, at, _ in moves}
    if row.decided_at is not None:
        entered["activating" if "finishing" in entered else "aborting"] = row.decided_at.timestamp()
    order = ["planned", *sorted(entered, key=entered.__getitem__)]
    times = [began, *(entered[state] for state in order[1:]), ended]
    return {
        "ended" if state in ("done", "aborted") else state: after - before
        for state, before, after in zip(order, times, times[1:], strict=False)
    }


def _cpu_of_steps(
    moves: Sequence[tuple[str, datetime, Usage]], before: Usage, after: Usage
) -> Mapping[str, Mapping[str, float]]:
    """What was used in each state, as far as the log parts them."""
    found, entered, usage = {}, "planned", before
    for state, _, then in moves:
        found[entered] = _less(then, usage)
        entered, usage = state, then
    found["ended"] = _less(after, usage)
    return found


def _reported(reports: Sequence[Report]) -> Mapping[str, tuple[float, float]]:
    seconds: dict[str, list[float]] = {}
    for report in reports:
        if "seconds" in report.detail:
            seconds.setdefault(str(report.step), []).append(report.detail["seconds"])
    return {step: (statistics.median(each), max(each)) for step, each in seconds.items()}


def _less(after: Usage, before: Usage) -> dict[str, float]:
    return {part: after[part] - before[part] for part in PARTS}


def _pids(lab: Lab, program: str) -> set[int]:
    """The listening processes of one program, as many as there are."""
    daemons: list[Any] = [getattr(lab, program)(each.name) for each in lab.frontends]
    return {daemon.pid for daemon in daemons if daemon.pid is not None}


def _children_running(parent: int, word: str) -> list[int]:
    """The children of a process that have this word in their command lines."""
    children = [pid for pid, (above, _, _) in processes().items() if above == parent]
    return [pid for pid in children if word.encode() in Path(f"/proc/{pid}/cmdline").read_bytes()]
