"""What runs in each process of a fuzz. A module of its own: a new process can't import the command itself."""

from __future__ import annotations

import os
import resource
import warnings

from tests.fuzz.target import Tally, run
from tests.fuzz.targets import TARGETS

#: What a process may take in all, in bytes: what needs more fails as a crash, and not the machine.
MEMORY = 4 * 2**30
#: Frontends are served before anybody who fuzzes.
NICENESS = 10


def begin() -> None:
    """Before the first inputs. Warnings are errors, as they are in the tests."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    os.nice(NICENESS)
    warnings.simplefilter("error")


def take(name: str, seed: str, chunk: range) -> Tally:
    """These inputs of a target."""
    with TARGETS[name]() as target:
        return run(target, seed, chunk)
