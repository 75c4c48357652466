"""The seeds that every test run takes, in two halves, so that two processes can share them."""

from __future__ import annotations

from tests.simulator.__main__ import BLOCK, runs

#: `make simulate` takes five times as many.
SEEDS = 2_000

FIRST_HALF = range(0, SEEDS // 2, 10 * BLOCK)
SECOND_HALF = range(SEEDS // 2, SEEDS, 10 * BLOCK)


def assert_lawful(first: int) -> None:
    """A thousand seeds, each of which ends with every law kept; together they commit and meet faults."""
    committed = faults = 0
    for block in range(first, first + 10 * BLOCK, BLOCK):
        done, problem = runs(block)
        assert not problem, problem
        assert len(done) == BLOCK
        committed += sum(each.committed for each in done)
        faults += sum(each.faults for each in done)
    assert committed > 10 * BLOCK, "hardly anything was committed: these runs prove nothing"
    assert faults > 10 * BLOCK, "hardly anything went wrong: these runs prove nothing"
