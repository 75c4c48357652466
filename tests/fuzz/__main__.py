"""`python -m tests.fuzz`: see docs/fuzzing.md."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from tests.fuzz.findings import keep, replay
from tests.fuzz.processes import spread
from tests.fuzz.runs import Crash, Tally
from tests.fuzz.targets import TARGETS

#: How many findings of each target are kept and shown.
SHOWN = 5
#: Seconds between two lines of progress where it goes to a file.
REPORT = 10.0
EXAMPLES = """\
examples:
  python -m tests.fuzz                                    everything, 100,000 inputs each
  python -m tests.fuzz --target words --target packs      two targets
  python -m tests.fuzz --inputs 2000 --seed 7 --json      a short run with other inputs, the figures as JSON
  python -m tests.fuzz --replay .fuzz/packs-1-42-0f.txt   once more what was found

exit code: 0 where nothing was found, 1 where something was, 2 for a wrong command line
"""


def main() -> int:
    """Returns the exit code."""
    given = _arguments()
    if given.replay is not None:
        return _replay(given.replay)
    rows = []
    for name in given.target or TARGETS:
        began = time.monotonic()
        tally = _fuzz(name, given)
        rows.append(_row(name, tally, time.monotonic() - began))
    if given.json:
        _say(json.dumps({"seed": given.seed, "jobs": given.jobs, "targets": rows}, indent=2))
    else:
        _table(rows)
    return int(any(row["findings"] for row in rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Gives hostile input to everything that reads bytes from outside.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--target", action="append", choices=tuple(TARGETS), metavar="TARGET", help=f"of {', '.join(TARGETS)}"
    )
    parser.add_argument("--inputs", type=_count, default=100_000, help="for each target (default %(default)s)")
    parser.add_argument("--seed", default="1", help="another seed, other inputs (default %(default)s)")
    parser.add_argument("--jobs", type=_count, default=os.cpu_count(), help="processes (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON on standard output")
    parser.add_argument("--failures", type=Path, default=Path(".fuzz"), help="where findings go (default %(default)s)")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="do again what is in a file of a finding")
    return parser.parse_args()


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"a number above 0 was expected, not {text}")
    return number


def _replay(path: Path) -> int:
    try:
        broke = replay(path)
    except (OSError, ValueError, SyntaxError) as error:
        _complain(f"can't be replayed: {error}")
        return 2
    _say(f"it still breaks:\n{broke}" if broke else "it does not break any more")
    return int(broke is not None)


def _fuzz(name: str, given: argparse.Namespace) -> Tally:
    tally, progress = Tally(), _Progress(name, given.inputs)
    for part in spread(name, given.seed, given.inputs, given.jobs):
        for crash in part.crashes[: max(0, SHOWN - len(tally.crashes))]:
            _show(crash, given.failures)
        tally.add(part)
        progress.show(tally)
    return tally


def _show(crash: Crash, directory: Path) -> None:
    last = crash.what.splitlines()[-1][:300] if crash.what else ""
    _complain(f"\nFOUND {crash.target}, seed {crash.seed}, input {crash.index}: {last}")
    if crash.inputs:
        _complain(f"  again: python -m tests.fuzz --replay {keep(crash, directory)}")
    else:
        _complain(crash.what)


class _Progress:
    """One line on standard error, over and over."""

    def __init__(self, name: str, inputs: int) -> None:
        self._name, self._inputs = name, inputs
        self._began = self._said = time.monotonic()

    def show(self, tally: Tally) -> None:
        """How far it has come."""
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if not terminal and now - self._said < REPORT and tally.inputs < self._inputs:
            return
        self._said = now
        rate = tally.inputs / max(now - self._began, 1e-6)
        line = f"{self._name}: {tally.inputs} of {self._inputs}, {rate:.0f}/s, {len(tally.crashes)} found"
        _complain(line, end="\r" if terminal and tally.inputs < self._inputs else "\n")


def _row(name: str, tally: Tally, seconds: float) -> dict[str, str | int | float]:
    return {
        "target": name,
        "inputs": tally.inputs,
        "seconds": round(seconds, 1),
        "per_second": round(tally.inputs / seconds),
        "accepted": tally.accepted,
        "refused": tally.refused,
        "findings": len(tally.crashes),
    }


def _table(rows: list[dict[str, str | int | float]]) -> None:
    lines = [[name.replace("_", " ") for name in rows[0]], *(list(map(str, row.values())) for row in rows)]
    for first, *rest in lines:
        _say(f"{first:14}" + "".join(f"{cell:>12}" for cell in rest))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _complain(text: str, end: str = "\n") -> None:
    sys.stderr.write(f"{text}{end}")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
