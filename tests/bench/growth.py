"""How each step of a deployment grows: `python -m tests.bench.growth`, for the tables of docs/performance.md.

Three rows of measurements on the normal lab, one sshd and one nginx for each frontend: more frontends, more files of
the same bytes in all, more bytes in as many files. Each is the first deployment to empty frontends.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.lab import Lab
from tests.bench.child import keep_bytecode
from tests.bench.deployed import STEPS, Deployed, Machine, deploy
from tests.bench.many import numbers
from tests.integration.operator import Operator, tree

#: How long a command may take, in seconds.
PATIENCE = 900
#: What is not varied.
FRONTENDS, FILES = 4, 400
#: Bytes in all while frontends or files are varied.
SMALL = 2_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """A fleet, and a release of so many files with so many bytes in all."""

    frontends: int
    files: int
    size: int

    def __str__(self) -> str:
        return f"{self.frontends} frontends, {self.files} files, {self.size / 1_000_000:g} MB"


def measure(size: Size, *, directory: Path | None = None, environment: Mapping[str, str] | None = None) -> Deployed:
    """The first deployment to a new lab.

    `directory` has the place for it, and is emptied again; `environment` is Lockstep's.
    """
    with (
        tempfile.TemporaryDirectory(dir=directory) as place,
        Lab.up(Path(place) / "lab", size.frontends) as lab,
    ):
        operator = Operator(Path(place), lab, environment, patience=PATIENCE)
        with operator.standalone():
            machine = Machine(lab, operator.home)
            operator.builds("1.0.0", tree("growth", size.files, size.size // size.files))
            return deploy(operator, machine, str(size), "deploy", "web", "ToDo=1.0.0")


def head() -> str:
    """The head of the table: wall seconds of each step, and CPU seconds of all who take part, arming with the flip."""
    cells = ["", "wall s", *STEPS, "CPU s", *(step for step in STEPS if step != "activating")]
    return f"{_row(cells)}\n{_row(['---', *(['---:'] * (len(cells) - 1))])}"


def told(each: Deployed) -> str:
    """One row. The time from the command to the plan, and from the end to its last word, is the command's own."""
    wall = [each.steps.get(step) for step in STEPS]
    used = [each.cpu_of_steps.get(step) for step in STEPS if step != "activating"]
    cpu = [None if parts is None else sum(parts.values()) for parts in used]
    cells = [each.wall, *wall, sum(each.cpu.values()), *cpu]
    state = "" if each.state == "done" else f" ({each.state})"
    return _row([f"{each.name}{state}", *("-" if cell is None else f"{cell:.2f}" for cell in cells)])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def sizes(frontends: Sequence[int], files: Sequence[int], megabytes: Sequence[int]) -> list[Size]:
    """Each once, row by row."""
    wanted = [
        *(Size(number, FILES, SMALL) for number in frontends),
        *(Size(FRONTENDS, number, SMALL) for number in files),
        *(Size(FRONTENDS, FILES, number * 1_000_000) for number in megabytes),
    ]
    return list(dict.fromkeys(wanted))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frontends", type=numbers, default=(4, 16, 64), help="4,16,64")
    parser.add_argument("--files", type=numbers, default=(40, 400, 4000), help="40,400,4000")
    parser.add_argument("--megabytes", type=numbers, default=(2, 20, 200), help="2,20,200")
    parser.add_argument("--lease", metavar="SECONDS", help="LOCKSTEP_LEASE_SECONDS")
    parser.add_argument("--dir", type=Path, help="where the labs have their place")
    given = parser.parse_args()
    keep_bytecode()
    # What was started is ended as well where this is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    environment = {"LOCKSTEP_LEASE_SECONDS": given.lease} if given.lease else None
    sys.stdout.write(f"{head()}\n")
    for size in sizes(given.frontends, given.files, given.megabytes):
        sys.stdout.write(f"{told(measure(size, directory=given.dir, environment=environment))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
