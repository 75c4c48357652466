"""Lockstep beside what users would take instead, on the same lab in one run (docs/bench.md)."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import figures, tables
from tests.bench.child import keep_bytecode
from tests.bench.contained import PeerError
from tests.bench.figures import LOCKSTEP, Figures, Results
from tests.bench.goals import FEW, MANY, goals
from tests.bench.measure import Setting, measure
from tests.bench.peers.known import PEERS
from tests.bench.peers.peer import MissingError
from tests.bench.release import Release, make_releases
from tests.bench.tools import LockstepTool, PeerTool, Tool

EXAMPLES = """\
examples:
  python -m tests.bench                                         everything; half an hour
  python -m tests.bench --frontends 16 --peers rsync,fabric
  python -m tests.bench --frontends 64 --peers rsync --repeat 3 --json bench.jsonl
  python -m tests.bench --tables bench.jsonl                    the tables of the last run in a file, again
"""
#: Measures fleets that are too large for a lab. Where it is not there, the goal was not measured.
MANY_MODULE = "tests.bench.many"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Exit code 1 where a tool fails."""
    given = _parser().parse_args(arguments)
    keep_bytecode()
    if given.tables is not None:
        _say_all(Results(figures.read(given.tables)), None)
        return 0
    tools: list[Tool] = [LockstepTool(), *(PeerTool(PEERS[name]) for name in given.peers)]
    try:
        for name in given.peers:
            PEERS[name].check()
        measured = _run(given, tools)
    except (MissingError, PeerError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 -- a command line
        return 1
    _say_all(Results(measured), _growth() if given.many else None)
    return 0


def _run(given: argparse.Namespace, tools: Sequence[Tool]) -> list[Figures]:
    measured = []
    name = datetime.now(UTC).isoformat(timespec="seconds")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=given.directory) as directory:
        first, second = make_releases(Path(directory) / "releases", given.files, given.size)
        setting = Setting(first, second, Path(directory), given.rate, given.pause)
        _say(f"releases of {given.files} files, {first.size / 1e6:.1f} MB; {_differing(first, second)} files change")
        for _ in range(given.repeat):
            for frontends in given.frontends:
                for tool in tools:
                    for each in measure(tool, frontends, setting):
                        measured.append(each)
                        _say(tables.line(each))
                        if given.json is not None:
                            figures.append(given.json, name, each)
    return measured


def _differing(first: Release, second: Release) -> int:
    ours, theirs = first.digests, second.digests
    return sum(theirs[path] != digest for path, digest in ours.items())


def _growth() -> float | None:
    """Time a frontend of large fleets over that of small ones; None where nothing measures them, or one was aborted.

    `measure(frontends)` of that module deploys to a fleet on servers that its frontends share: no lab is that large.
    """
    if importlib.util.find_spec(MANY_MODULE) is None:
        return None
    each = []
    for frontends in (FEW, MANY):
        measured = importlib.import_module(MANY_MODULE).measure(frontends)
        first = measured.deployments[0]
        _say(f"lockstep   {frontends:,} frontends on shared servers: {first.wall:.2f} s wall")
        if not measured.whole:
            _say(f"a deployment to {frontends:,} frontends was aborted")
            return None
        each.append(float(first.per_frontend))
    return each[1] / each[0]


def _say_all(results: Results, growth: float | None) -> None:
    size = max(results.sizes)
    _say(f"\n{tables.figures_table(results)}\n\n{tables.notes(results)}")
    if LOCKSTEP in results.tools:
        _say(f"\nLockstep's numbers over each peer's\n{tables.ratios_table(results)}")
        _say(f"\ngoals, at {size} frontends\n{tables.goals_table(goals(results, size, growth))}")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 -- a command line


def in_memory() -> Path | None:
    """A directory in memory, where there is one: otherwise the one disk of all frontends would be measured."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--frontends", type=_sizes, default=[4, 16, 64], metavar="N,…", help="sizes of fleets: 4,16,64")
    parser.add_argument(
        "--peers",
        type=_peers,
        default=list(PEERS),
        metavar="NAME,…",
        help=f"of {','.join(PEERS)}; none: Lockstep alone",
    )
    parser.add_argument(
        "--repeat", type=int, default=1, metavar="N", help="measure all of it N times; medians are told"
    )
    parser.add_argument("--files", type=int, default=400, help="of a release")
    parser.add_argument("--size", type=int, default=20_000_000, help="bytes of a release, about")
    parser.add_argument("--rate", type=float, default=10.0, help="pages a second that each of 8 clients loads")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds of watching before and after a deployment")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append what is measured, a line for each deployment")
    parser.add_argument("--directory", type=Path, default=in_memory(), help="where the labs lie; without: in memory")
    parser.add_argument("--many", action="store_true", help=f"also Lockstep on {MANY:,} frontends, where that is there")
    parser.add_argument(
        "--tables", type=Path, metavar="FILE", help="measure nothing; the tables of the file's last run"
    )
    return parser


def _sizes(text: str) -> list[int]:
    sizes = [int(word) for word in text.split(",")]
    if not all(1 <= size <= 64 for size in sizes):
        raise argparse.ArgumentTypeError("a lab has 1 to 64 frontends")
    return sizes


def _peers(text: str) -> list[str]:
    names = [] if text == "none" else text.split(",")
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(PEERS)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
