"""The simulator at a terminal: the services of Lockstep against every mishap that a seed can think of.

python -m tests.simulator                       # 20,000 seeds, the searches and the mutants
python -m tests.simulator --seeds 1000000       # for a night
python -m tests.simulator --replay 4711         # what happened, one line each
python -m tests.simulator --only search --json
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any

import structlog
from rich.console import Console
from rich.progress import Progress

from tests.protocol.simulation.laws import ViolationError
from tests.simulator.chance import Run, run
from tests.simulator.mutants import MUTANTS
from tests.simulator.search import search_deployment
from tests.simulator.world import What

SEEDS = 20_000
#: Seeds in which a mutant must be found.
MUTANT_SEEDS = 1_000
BLOCK = 100
#: What is searched: so many frontends, and what goes wrong once.
SEARCHES = ((2, What.CRASH), (2, What.REBOOT), (1, What.LAPSE))

PARTS = ("seeds", "search", "mutants")


def quiet() -> None:
    """Runs say what happened; the services' logs would only repeat it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def runs(first: int) -> tuple[list[Run], str]:
    """A block of seeds; and the first violation, if there is one."""
    done: list[Run] = []
    try:
        for seed in range(first, first + BLOCK):
            done.append(run(seed))
    except ViolationError as error:
        return done, str(error)
    return done, ""


def search_of(place: int) -> dict[str, Any]:
    """One search and its figures."""
    frontends, fault = SEARCHES[place]
    began = time.monotonic()
    found = search_deployment(frontends, fault)
    return {"frontends": frontends, "fault": fault, **asdict(found), "seconds": round(time.monotonic() - began, 1)}


def seed_of(name: str) -> int | None:
    """The first seed in which a mutant breaks its law; None where no seed finds it."""
    mutant = MUTANTS[name]
    for seed in range(MUTANT_SEEDS):
        try:
            mutant.run(seed)
        except ViolationError:
            return seed
    return None


def main(given: list[str] | None = None) -> int:
    """Exit code 0 where every law holds and every mutant is found."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulator", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many seeds are run (20000)")
    parser.add_argument("--from", dest="first", type=int, default=0, metavar="SEED", help="the first of them (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once (one per core)")
    parser.add_argument("--only", choices=PARTS, help="one of the parts")
    parser.add_argument("--replay", type=int, metavar="SEED", help="one seed, and all that happens in it")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    options = parser.parse_args(given)
    quiet()
    if options.replay is not None:
        return replay(options.replay)
    figures, problems = prove(options)
    if options.json:
        say(json.dumps({**figures, "problems": problems}, indent=2))
    else:
        for line in told(figures):
            say(line)
        for problem in problems:
            sys.stderr.write(f"\n{problem}\n")
    return 1 if problems else 0


def say(what: object) -> None:
    """A line on standard output."""
    sys.stdout.write(f"{what}\n")


def replay(seed: int) -> int:
    """Tell a seed's run."""
    try:
        say(run(seed, tell=say))
    except ViolationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def prove(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """The parts that are asked for: their figures, and what is wrong."""
    figures: dict[str, Any] = {}
    problems: list[str] = []
    parts = PARTS if options.only is None else (options.only,)
    with ProcessPoolExecutor(options.jobs, initializer=quiet) as pool, _progress() as progress:
        if "search" in parts:
            follow = partial(progress.track, description="every order", total=len(SEARCHES))
            figures["searches"] = list(follow(pool.map(search_of, range(len(SEARCHES)))))
        if "mutants" in parts:
            follow = partial(progress.track, description="mutants", total=len(MUTANTS))
            figures["mutants"] = dict(zip(MUTANTS, follow(pool.map(seed_of, MUTANTS)), strict=True))
            problems += [f"not found without {name}" for name, seed in figures["mutants"].items() if seed is None]
        if "seeds" in parts:
            began = time.monotonic()
            blocks = range(options.first, options.first + options.seeds, BLOCK)
            follow = partial(progress.track, description="seeds", total=len(blocks))
            figures["seeds"] = _sum(follow(pool.map(runs, blocks)), problems)
            figures["seeds"]["seconds"] = round(time.monotonic() - began, 1)
    return figures, problems


def _sum(blocks: Iterable[tuple[list[Run], str]], problems: list[str]) -> dict[str, Any]:
    total = {"seeds": 0, "steps": 0, "faults": 0, "deployments": 0, "committed": 0}
    for done, problem in blocks:
        total["seeds"] += len(done)
        for name in ("steps", "faults", "deployments", "committed"):
            total[name] += sum(getattr(each, name) for each in done)
        if problem:
            problems.append(problem)
    return total


def told(figures: dict[str, Any]) -> Iterator[str]:
    """The figures in words."""
    for found in figures.get("searches", ()):
        yield (
            f"every order: {found['frontends']} frontends, one deployment, one {found['fault']}: "
            f"{found['states']} states, {found['ways']} ways, {found['ends']} ends, {found['seconds']} s"
        )
    for name, seed in figures.get("mutants", {}).items():
        yield f"without {name!r}: " + ("NOT FOUND" if seed is None else f"found by seed {seed}")
    if seeds := figures.get("seeds"):
        yield (
            f"seeds: {seeds['seeds']} runs, {seeds['steps']} steps, {seeds['faults']} faults, "
            f"{seeds['deployments']} deployments, {seeds['committed']} committed, {seeds['seconds']} s"
        )


def _progress() -> Progress:
    return Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


if __name__ == "__main__":
    sys.exit(main())
