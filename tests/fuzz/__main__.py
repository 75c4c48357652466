"""`python -m tests.fuzz [TARGET…]`: see docs/fuzzing.md."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from tests.fuzz.processes import begin, take
from tests.fuzz.target import Tally, random_of, run
from tests.fuzz.targets import TARGETS

#: Inputs that a process takes at once.
CHUNK = 250
#: How many crashes are shown of each target.
SHOWN = 5


def main() -> int:
    """Returns 1 where anything crashed."""
    given = _arguments()
    names = given.targets or list(TARGETS)
    if given.only is not None:
        return _again(names, given.seed, given.only)
    rows = [_fuzz(name, given) for name in names]
    print(f"\n{'target':14}{'inputs':>10}{'seconds':>10}{'accepted':>10}{'refused':>10}{'crashes':>10}")
    for name, (tally, seconds) in zip(names, rows, strict=True):
        counts = (tally.accepted, tally.refused, len(tally.crashes))
        print(f"{name:14}{tally.inputs:>10}{seconds:>10.1f}" + "".join(f"{count:>10}" for count in counts))
    return int(any(tally.crashes for tally, _ in rows))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Hostile bytes for all that parses some.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all, unless named")
    parser.add_argument("--inputs", type=int, default=100_000, help="for each target (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="for each target, at most")
    parser.add_argument("--seed", default="1", help="another seed, other inputs (default %(default)s)")
    parser.add_argument("--only", type=int, metavar="N", help="input N of the seed alone, and show it")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default %(default)s)")
    given = parser.parse_args()
    unknown = set(given.targets) - set(TARGETS)
    if unknown or (given.only is not None and len(given.targets) != 1):
        parser.error(f"no such target: {', '.join(sorted(unknown))}" if unknown else "--only takes one target")
    return given


def _again(names: list[str], seed: str, index: int) -> int:
    with TARGETS[names[0]]() as target:
        print(f"input: {target.show(target.make(random_of(names[0], seed, index)))}")
        tally = run(target, seed, [index])
    for crash in tally.crashes:
        print(crash)
    print("accepted" if tally.accepted else "crashed" if tally.crashes else "refused")
    return int(bool(tally.crashes))


def _fuzz(name: str, given: argparse.Namespace) -> tuple[Tally, float]:
    tally, began = Tally(), time.monotonic()
    chunks = _chunks(given.inputs)
    with ProcessPoolExecutor(given.jobs, get_context("forkserver"), begin) as pool:
        running: dict[Future[Tally], range] = {}
        while True:
            if time.monotonic() - began < given.seconds:
                for chunk in itertools.islice(chunks, 2 * given.jobs - len(running)):
                    running[pool.submit(take, name, given.seed, chunk)] = chunk
            if not running:
                return tally, time.monotonic() - began
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                _count(tally, future, name, given.seed, running.pop(future))
            _say(name, tally, given.inputs, time.monotonic() - began)


def _count(tally: Tally, future: Future[Tally], name: str, seed: str, chunk: range) -> None:
    try:
        part = future.result()
    except BrokenProcessPool as error:
        sys.exit(f"{name} seed {seed}: a process died in the inputs {chunk.start} to {chunk.stop - 1}: {error}")
    for crash in part.crashes[: max(0, SHOWN - len(tally.crashes))]:
        print(f"\n{crash}\n", flush=True)
    tally.add(part)


def _chunks(inputs: int) -> Iterator[range]:
    return (range(start, min(start + CHUNK, inputs)) for start in range(0, inputs, CHUNK))


def _say(name: str, tally: Tally, inputs: int, seconds: float) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    if end == "\r" or tally.inputs % (CHUNK * 20) == 0:
        rate = tally.inputs / seconds
        print(
            f"{name}: {tally.inputs} of {inputs}, {rate:.0f}/s, {len(tally.crashes)} crashes", end=end, file=sys.stderr
        )


if __name__ == "__main__":
    sys.exit(main())
