"""The processes that share the inputs. What runs in them can't be in the command's own module."""

from __future__ import annotations

import itertools
import resource
import warnings
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from tests.fuzz.runs import Crash, Tally, run
from tests.fuzz.targets import TARGETS

#: Inputs that a process takes at once.
CHUNK = 500
#: What a process may take in all, in bytes: what needs more fails as a crash, and not the machine.
MEMORY = 4 * 2**30


def _begin() -> None:
    """Before the first inputs. Warnings are errors, as they are in the tests."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    warnings.simplefilter("error")


def _take(name: str, seed: str, chunk: range) -> Tally:
    with TARGETS[name]() as target:
        return run(target, seed, chunk)


def spread(name: str, seed: str, inputs: int, jobs: int) -> Iterator[Tally]:
    """The inputs of a target shared among so many processes: what came of each chunk, as they end."""
    chunks = (range(start, min(start + CHUNK, inputs)) for start in range(0, inputs, CHUNK))
    with ProcessPoolExecutor(jobs, get_context("forkserver"), _begin) as pool:
        running: dict[Future[Tally], range] = {}
        while True:
            for chunk in itertools.islice(chunks, 2 * jobs - len(running)):
                running[pool.submit(_take, name, seed, chunk)] = chunk
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                chunk = running.pop(future)
                try:
                    part = future.result()
                except BrokenProcessPool as error:
                    what = f"a process died in the inputs {chunk.start} to {chunk.stop - 1}: {error}"
                    yield Tally(crashes=[Crash(name, seed, chunk.start, what, ())])
                    return
                yield part
