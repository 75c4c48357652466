"""What an audit of a healthy fleet costs, on a lab: `python -m tests.bench.audit --frontends 64 --files 400`.

Wall time is that of the survey and the comparison. CPU on the frontends is the user and system time of each sshd and
of all its children that have ended, and of each nginx and its workers, from /proc/<pid>/stat (ticks of 10 ms). Bytes
are those that this process hands to its sockets and takes from them: SSH, HTTP and HAProxy's, without TCP's headers.
"""

from __future__ import annotations

import argparse
import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deploy.lab import Lab
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import choose
from orchestrator.domain.audit.audit import Audit, AuditPlan
from orchestrator.domain.audit.drift import drift
from orchestrator.services.audits.expecting import Expecting
from orchestrator.settings import Settings
from tests.bench.processes import settle, used
from tests.integration.operator import Operator, tree
from workers.audit.survey import SshSurveyor
from workers.frontend.script import script_sha256

#: A stamp is kept only of what was not changed for so long before it was inspected: docs/audits.md.
REST_SECONDS = 3.0


class CountingSocket(socket.socket):
    """Counts what all sockets of this process move."""

    sent = received = 0
    _counting = threading.Lock()

    @classmethod
    def _count(cls, sent: int, received: int) -> None:
        with cls._counting:
            CountingSocket.sent += sent
            CountingSocket.received += received

    @classmethod
    def moved(cls) -> tuple[int, int]:
        """Bytes out and back, so far."""
        with cls._counting:
            return CountingSocket.sent, CountingSocket.received

    def send(self, data: Any, *flags: int) -> int:
        count = super().send(data, *flags)
        self._count(count, 0)
        return count

    def sendall(self, data: Any, *flags: int) -> None:
        super().sendall(data, *flags)
        self._count(len(memoryview(data)), 0)

    def recv(self, *words: int) -> bytes:
        data = super().recv(*words)
        self._count(0, len(data))
        return data

    def recv_into(self, *words: Any) -> int:
        count = super().recv_into(*words)
        self._count(0, count)
        return count


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of wall and CPU time, and bytes."""

    wall: float
    sshd: float
    nginx: float
    here: float
    sent: int
    received: int
    files: int
    read: int


class Bench:
    """A lab that was deployed to, and whose deployers are gone."""

    def __init__(self, operator: Operator, pids: tuple[set[int], set[int]]) -> None:
        lockstep = Lockstep(Settings.read(operator.environment))
        self._fleet = choose(lockstep, "web")
        epoch = lockstep.ledger.committed(self._fleet.key)[0].epoch
        self._expecting = Expecting(
            lockstep.ledger, lambda _: epoch, lockstep.artifacts, lockstep.clock, script_sha256()
        )
        self._sshd, self._nginx = pids

    def audit(self, number: int, *, deep: bool) -> Cost:
        settle(self._sshd)
        plan = AuditPlan(self._fleet.key, self._fleet.model_dump(mode="json"), deep, "report", "bench")
        before = (used(self._sshd), used(self._nginx), time.process_time(), *CountingSocket.moved())
        began = time.monotonic()
        expectation = self._expecting(self._fleet, Audit(number, plan, datetime.now(UTC)), ())
        seen = SshSurveyor().survey(plan.snapshot, expectation)
        findings = drift(expectation, seen).findings
        wall = time.monotonic() - began
        here, moved = time.process_time(), CountingSocket.moved()
        settle(self._sshd)
        after = (used(self._sshd), used(self._nginx), here, *moved)
        if findings:
            raise SystemExit("\n".join(str(each.problem()) for each in findings[:5]))
        sshd, nginx, cpu, out, back = (now - then for now, then in zip(after, before, strict=True))
        hashed = [each.hashed for each in seen.frontends.values()]
        files, read = (sum(column) for column in zip(*hashed, strict=True))
        return Cost(wall, sshd, nginx, cpu, int(out), int(back), files, read)


def told(name: str, cost: Cost, frontends: int) -> str:
    each = 1000 / frontends
    return (
        f"{name:10} {cost.wall:7.2f} s wall, {cost.here:6.2f} s CPU here; per frontend: "
        f"sshd {cost.sshd * each:5.0f} ms, nginx {cost.nginx * each:4.0f} ms, "
        f"{cost.sent / frontends / 1000:6.1f} kB out, {cost.received / frontends / 1000:8.1f} kB back, "
        f"{cost.files // frontends} files of {cost.read / frontends / 1_000_000:.1f} MB hashed"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frontends", type=int, default=8)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--size", type=int, default=20_000, help="bytes of each file")
    given = parser.parse_args()
    socket.socket = CountingSocket  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as directory, Lab.up(Path(directory) / "lab", given.frontends) as lab:
        operator = Operator(Path(directory), lab)
        with operator.standalone():
            for version in ("1.0.0", "2.0.0"):
                operator.builds(version, tree(version, files=given.files, size=given.size))
                said = operator.types("deploy", "web", f"ToDo={version}")
                if said.code:
                    raise SystemExit(said.messages)
        bench = Bench(operator, (pids_of(lab, "sshd"), pids_of(lab, "nginx")))
        time.sleep(REST_SECONDS)
        for number, (name, deep) in enumerate(
            (("first", False), ("unchanged", False), ("unchanged", False), ("deep", True)), 1
        ):
            sys.stdout.write(f"{told(name, bench.audit(number, deep=deep), given.frontends)}\n")
            sys.stdout.flush()


def pids_of(lab: Lab, program: str) -> set[int]:
    """The listening processes of one program, one a frontend."""
    daemons = [getattr(lab, program)(each.name) for each in lab.frontends]
    return {daemon.pid for daemon in daemons}


if __name__ == "__main__":
    main()
