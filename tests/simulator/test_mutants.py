"""With any one rule switched off the simulator finds a violation: each rule is needed, and each law can be broken."""

from __future__ import annotations

import pytest

from tests.protocol.simulation.laws import ViolationError
from tests.simulator.__main__ import MUTANT_SEEDS
from tests.simulator.chance import run
from tests.simulator.mutants import MUTANTS


@pytest.mark.parametrize("name", MUTANTS)
def test_without_a_rule_some_seed_breaks_a_law(name: str) -> None:
    mutant = MUTANTS[name]
    with pytest.raises(ViolationError, match=mutant.breaks):
        for seed in range(MUTANT_SEEDS):
            mutant.run(seed)


@pytest.mark.parametrize("seed", [0, 17, 4711])
def test_a_seed_gives_the_same_run_again(seed: int) -> None:
    first: list[str] = []
    second: list[str] = []
    assert run(seed, tell=lambda option: first.append(str(option))) == run(
        seed, tell=lambda option: second.append(str(option))
    )
    assert first == second
    assert len(first) > 20
