"""Whatever dies, in whatever order: the laws hold in every run. The second half of the seeds."""

from __future__ import annotations

import pytest

from tests.simulator.seeds import SECOND_HALF, assert_lawful


@pytest.mark.parametrize("first", SECOND_HALF)
def test_no_seed_breaks_a_law(first: int) -> None:
    assert_lawful(first)
