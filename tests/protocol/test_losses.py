"""Messages that get lost, come late or come twice, at every step and in both directions; and every order of them.

A late answer is one to a step that is over, or to an earlier attempt: `What.GIVE_UP` and `What.REPEAT` make both.
"""

from __future__ import annotations

import pytest

from tests.protocol.endings import ABORTED, DONE, UNCONFIRMED, UNFLIPPED, ends, well_ended
from tests.protocol.simulation.explorer import explore
from tests.protocol.simulation.scenario import LOSSES, Scenario, What


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_order_of_the_answers_ends_the_same(count: int) -> None:
    found = explore(Scenario(count), check=well_ended)
    assert ends(found) == {DONE}
    assert len(found) == 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_one_loss_is_survived_wherever_it_happens(count: int) -> None:
    found = explore(Scenario(count, faults=1, kinds=LOSSES), check=well_ended)
    assert ends(found) == {DONE, ABORTED}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_two_losses_are_survived_wherever_they_happen(count: int) -> None:
    found = explore(Scenario(count, faults=2, kinds=LOSSES), check=well_ended)
    assert ends(found) == {DONE, ABORTED, UNFLIPPED, UNCONFIRMED}


def test_answers_that_come_twice_change_nothing() -> None:
    found = explore(Scenario(2, faults=2, kinds=frozenset({What.ECHO})), check=well_ended)
    assert ends(found) == {DONE}


def test_commands_that_come_twice_change_nothing_but_that_arming_again_is_refused() -> None:
    found = explore(Scenario(2, faults=2, kinds=frozenset({What.REPEAT})), check=well_ended)
    assert ends(found) == {DONE, ABORTED}


def test_three_losses_of_one_frontend_are_survived_as_well() -> None:
    found = explore(Scenario(1, faults=3, kinds=LOSSES), check=well_ended)
    assert ends(found) == {DONE, ABORTED, UNFLIPPED, UNCONFIRMED}


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_frontend_that_stood_down_before_the_word_is_activated_without_it(count: int) -> None:
    found = explore(Scenario(count, faults=count, kinds=frozenset({What.STAND_DOWN})), check=well_ended)
    assert ends(found) == {DONE}


@pytest.mark.parametrize("count", [1, 2])
def test_losses_and_refusals_together_are_survived(count: int) -> None:
    kinds = frozenset({What.LOSE, What.REFUSE, What.STAND_DOWN, What.GIVE_UP})
    found = explore(Scenario(count, faults=2, kinds=kinds), check=well_ended)
    assert ends(found) == {DONE, ABORTED, UNFLIPPED, UNCONFIRMED}
