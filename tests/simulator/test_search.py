"""Every order of everything in a small world: one deployment, and one thing that goes wrong at any moment."""

from __future__ import annotations

import pytest

from tests.protocol.simulation.laws import ViolationError
from tests.simulator.mutants import MUTANTS
from tests.simulator.search import search_deployment
from tests.simulator.world import What


def test_a_crash_at_any_moment_of_a_deployment() -> None:
    """To one frontend: two, and a lease that lapses, take so long that `make simulate` searches them."""
    found = search_deployment(1, What.CRASH)
    assert found.states > 400
    assert found.ends > 1


def test_a_reboot_of_a_frontend_at_any_moment() -> None:
    found = search_deployment(2, What.REBOOT)
    assert found.states > 1_000


@pytest.mark.parametrize(
    ("rule", "frontends", "fault"),
    [("compare-and-set", 1, What.LAPSE), ("all armed before the commit", 2, What.REBOOT)],
)
def test_without_a_rule_the_search_finds_the_way_to_a_violation(rule: str, frontends: int, fault: What) -> None:
    with pytest.raises(ViolationError, match="after: take"):
        search_deployment(frontends, fault, MUTANTS[rule].rules)
