"""The kill matrix: a real fleet, deployments one after another, and at each point somebody dies. docs/chaos.md.

examples:
  python -m tests.chaos
  python -m tests.chaos --only sqlite/worker-killed
  python -m tests.chaos --only between-words --only redis --json
  python -m tests.chaos --list

A cell of the table says how the deployment ended, how long after the deed, and how many answers the clients checked
meanwhile. The exit code is 0 only if everything was as it must be, 1 if not, 2 if nothing could be played.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.text import Text

from deploy.lab.errors import LabError
from deploy.programs import ProgramError
from tests.chaos.matrix import Matrix, chosen
from tests.chaos.points import MATRIX, Database
from tests.chaos.processes import ChaosError
from tests.chaos.tables import WIDTH, print_report
from tests.integration import postgres

#: Takeovers that are measured, unless `--takeovers` says how many.
TAKEOVERS = 24


def main(words: Sequence[str] | None = None) -> int:
    """The command line."""
    given = _parser().parse_args(words)
    cells = chosen(given.only, MATRIX)
    if given.list:
        sys.stdout.write("".join(f"{cell.key}\n" for cell in cells))
        return 0
    if not cells:
        return _unable(f"no cell has {' or '.join(given.only)} in its name; see --list")
    if any(cell.database is Database.POSTGRESQL for cell in cells) and postgres.programs() is None:
        return _unable("PostgreSQL is not installed; without it: --only sqlite")
    takeovers = given.takeovers if given.takeovers is not None else 0 if given.only else TAKEOVERS
    messages = Console(stderr=True, highlight=False)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with _directory(given.directory) as directory:
        try:
            report = Matrix(directory, cells, takeovers, lambda text: messages.print(Text(text), soft_wrap=True)).play()
        except (ChaosError, LabError, ProgramError) as error:
            return _unable(str(error))
    if given.json:
        sys.stdout.write(f"{json.dumps(report.as_dict(), indent=2)}\n")
    else:
        console = Console(highlight=False)
        print_report(report, console if console.is_terminal else Console(highlight=False, width=WIDTH))
    return 0 if report.good else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="only cells with TEXT in their names; repeatable"
    )
    parser.add_argument("--list", action="store_true", help="print the cells' names, and play none")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the tables")
    parser.add_argument(
        "--takeovers",
        type=int,
        metavar="N",
        help=f"measure at least N takeovers (default: {TAKEOVERS}; with --only: those of its cells)",
    )
    parser.add_argument("--directory", type=Path, metavar="DIR", help="work there, and leave the logs there")
    return parser


@contextmanager
def _directory(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given.absolute()
        return
    with TemporaryDirectory(prefix="lockstep-chaos-") as made:
        yield Path(made)


def _unable(why: str) -> int:
    sys.stderr.write(f"error: {why}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
