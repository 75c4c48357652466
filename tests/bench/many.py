"""Lockstep on large fleets: `python -m tests.bench.many --frontends 64,256,1000 --files 40 --size 5000`.

Real sshd, nginx and frontend script, all frontends on the same two servers (tests/bench/shared_servers.py). For each
size of the fleet a small release goes out to empty frontends, then one of which 5 % differ, then the first again, of
which every object is there. Time per frontend that grows with the fleet is work that grows faster than it.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.child import keep_bytecode
from tests.bench.deployed import PARTS, STEPS, Deployed, Machine, deploy
from tests.bench.shared_servers import shared_servers
from tests.integration.operator import Operator, tree

#: How long a command may take, in seconds, for each frontend and beyond.
PATIENCE = (3, 300)
#: The limits of the steps in which all frontends take part at once, in seconds, for each frontend and at least: here
#: two cores do what a fleet's own would.
TOGETHER = (0.25, 10)
CHANGED = 20


@dataclass(frozen=True, slots=True)
class Measured:
    """The three deployments to one fleet: first, with 5 % changed, and with nothing to send."""

    frontends: int
    files: int
    size: int
    deployments: tuple[Deployed, ...]

    @property
    def whole(self) -> bool:
        """Whether all of them were carried out."""
        return len(self.deployments) == 3 and all(each.state == "done" for each in self.deployments)


def measure(
    frontends: int,
    files: int = 40,
    size: int = 5000,
    *,
    directory: Path | None = None,
    keep: Path | None = None,
    environment: Mapping[str, str] | None = None,
    say: Callable[[Deployed], None] = lambda _: None,
) -> Measured:
    """Deploy three times to a new fleet. One that is aborted is the last.

    `size` is that of a file in bytes; `directory` has the place for the frontends' trees, and is emptied again; `keep`
    gets a copy of Lockstep's home, with the ledger and the logs. `environment` is Lockstep's; `say`
    hears of each deployment when it has ended.
    """
    with (
        tempfile.TemporaryDirectory(dir=directory) as place,
        shared_servers(Path(place) / "lab", frontends) as lab,
    ):
        each, least = PATIENCE
        operator = Operator(Path(place), lab, environment, patience=each * frontends + least)
        _prepare(operator, frontends)
        with operator.standalone():
            machine = Machine(lab, operator.home)
            _build(operator, files, size)
            measured = Measured(frontends, files, size, _deployments(operator, machine, say))
        if keep is not None:
            shutil.copytree(operator.home, keep / str(frontends), ignore=shutil.ignore_patterns("artifacts", "packs"))
        return measured


def _deployments(operator: Operator, machine: Machine, say: Callable[[Deployed], None]) -> tuple[Deployed, ...]:
    done: list[Deployed] = []
    for name, words in (
        ("first", ("deploy", "web", "ToDo=1.0.0")),
        ("5 % changed", ("deploy", "web", "ToDo=2.0.0")),
        ("nothing to send", ("rollback", "web")),
    ):
        done.append(deploy(operator, machine, name, *words))
        say(done[-1])
        if done[-1].state != "done":
            break
    return tuple(done)


def _prepare(operator: Operator, frontends: int) -> None:
    """No load balancer stands before it, and the machine has its time for what a real fleet does at once."""
    each, least = TOGETHER
    limit = max(least, each * frontends)
    operator.policy(
        arm_seconds=limit, activate_seconds=limit, stage_seconds=3 * limit + 900, verify_seconds=limit + 300
    )
    with operator.inventory() as fleet:
        del fleet["load_balancer"], fleet["url"]


def _build(operator: Operator, files: int, size: int) -> None:
    first = tree("many", files, size)
    source = random.Random("changed")
    changed = [path for path in first if path != "index.html"][::CHANGED]
    operator.builds("1.0.0", first)
    operator.builds("2.0.0", {**first, **{path: source.randbytes(size) for path in changed}})


def told(each: Deployed) -> str:
    """For people: a deployment, its steps, and who used the CPU."""
    used = sum(each.cpu.values())
    skew = "-" if each.skew_ms is None else f"{each.skew_ms:.1f} ms"
    reported = [f"{step} {median:.2f} s, at most {longest:.2f} s" for step, (median, longest) in each.reported.items()]
    lines = [
        f"{each.frontends} frontends, {each.name}: {each.state}, {each.wall:.2f} s, {each.per_frontend:.0f} ms each; "
        f"CPU {used:.1f} s, {1000 * used / each.frontends:.0f} ms each (machine busy {each.busy:.1f} s); "
        f"skew {skew}; worker at most {each.peak_kb / 1024:.0f} MB; {each.bytes_sent} bytes sent",
        f"  {'ms per frontend':16}" + "".join(f"{part:>12}" for part in ("wall", *PARTS)),
        *(_row(step, each) for step in dict.fromkeys((*STEPS, *each.steps)) if step in each.steps),
        f"  {'reported':16}" + "; ".join(reported),
        *(f"  {count} x {what}" for what, count in each.troubles.items()),
    ]
    return "\n".join(lines)


def _row(step: str, each: Deployed) -> str:
    used: Mapping[str, float] = each.cpu_of_steps.get(step, {})
    cells = [each.steps[step], *(used.get(part) for part in PARTS)]
    scale = 1000 / each.frontends
    return f"  {step:16}" + "".join(f"{'-':>12}" if cell is None else f"{cell * scale:12.1f}" for cell in cells)


def numbers(text: str) -> Sequence[int]:
    """``64,256``."""
    return [int(word) for word in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frontends", type=numbers, default=(64, 256, 1000), help="sizes of the fleet: 64,256,1000")
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--size", type=int, default=5000, help="bytes of each file")
    parser.add_argument("--dir", type=Path, help="where the frontends' trees have their place")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append each result, a line of JSON")
    parser.add_argument("--lease", metavar="SECONDS", help="LOCKSTEP_LEASE_SECONDS")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep ledgers and logs there")
    given = parser.parse_args()
    keep_bytecode()
    # What was started is ended as well where this is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    failed = False
    for frontends in given.frontends:
        measured = measure(
            frontends,
            given.files,
            given.size,
            directory=given.dir,
            keep=given.keep,
            environment={"LOCKSTEP_LEASE_SECONDS": given.lease} if given.lease else None,
            say=_say,
        )
        failed = failed or not measured.whole
        if given.json:
            with given.json.open("a") as file:
                file.write(f"{json.dumps(asdict(measured))}\n")
    sys.exit(failed)


def _say(deployed: Deployed) -> None:
    sys.stdout.write(f"{told(deployed)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
