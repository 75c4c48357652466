"""Deployments that are held between verify and arm."""

from __future__ import annotations

import pytest

from orchestrator.domain.deployment import Decision, State, Step
from orchestrator.ports import Deployments
from tests.protocol.endings import ABORTED, DONE, ends, well_ended
from tests.protocol.fleets import Site
from tests.protocol.simulation.explorer import explore
from tests.protocol.simulation.scenario import LOSSES, Scenario, What

HELD = (State.PREPARED, None)


def held(ledger: Deployments) -> Site:
    """A fleet of two with a deployment that is prepared and held."""
    site = Site(ledger, 2)
    site.plan(hold=True)
    assert site.coordinate().state is State.PREPARED
    return site


def test_a_held_deployment_has_armed_nobody(ledger: Deployments) -> None:
    site = held(ledger)
    assert not site.asked(lambda ask: ask.step is Step.ARM)
    assert [(frontend.fence, frontend.armed) for frontend in site.frontends.values()] == [(0, frozenset())] * 2
    assert site.serving == {0}


def test_continued_it_is_verified_again_before_anybody_arms(ledger: Deployments) -> None:
    site = held(ledger)
    ledger.release_hold(site.number)
    assert site.coordinate().state is State.DONE
    asked = [(ask.step, ask.attempt) for ask in site.asked(lambda ask: ask.frontend == "a")]
    assert asked == [(Step.VERIFY, 2), (Step.ARM, 1), (Step.ACTIVATE, 1), (Step.CONFIRM, 1)]
    assert site.serving == {1}


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_file_that_changed_during_the_hold_aborts(ledger: Deployments, name: str) -> None:
    site = held(ledger)
    site.frontends[name].tamper(site.row.name)
    ledger.release_hold(site.number)
    row = site.coordinate()
    assert (row.state, site.serving) == (State.ABORTED, {0})
    assert [(trouble.step, trouble.frontend) for trouble in row.troubles] == [(Step.VERIFY, name)]


def test_aborted_during_the_hold_everybody_disarms(ledger: Deployments) -> None:
    site = held(ledger)
    ledger.decide(site.number, Decision.ABORT, [])
    row = site.coordinate()
    assert (row.state, site.serving) == (State.ABORTED, {0})
    assert [(ask.step, ask.frontend) for ask in site.asked(lambda ask: True)] == [
        (Step.DISARM, "a"),
        (Step.DISARM, "b"),
    ]
    assert [frontend.fence for frontend in site.frontends.values()] == [1, 1]


def test_a_message_that_comes_twice_does_not_end_the_hold(ledger: Deployments) -> None:
    site = held(ledger)
    row = site.coordinate()
    assert (row.state, row.plan.hold) == (State.PREPARED, True)
    assert not site.asked(lambda ask: ask.step is Step.ARM)


def test_a_hold_that_ends_while_it_is_being_verified_is_none(ledger: Deployments) -> None:
    site = Site(ledger, 2)
    site.plan(hold=True)
    ledger.release_hold(site.number)
    assert site.coordinate().state is State.DONE


@pytest.mark.parametrize("count", [1, 2, 3])
def test_continued_twice_at_any_moment_it_is_done_once(count: int) -> None:
    # Two processes beside the first one, and one that is started by a message that came twice.
    found = explore(Scenario(count, hold=True, coordinators=2, continues=2), check=well_ended)
    assert ends(found) == {DONE}


@pytest.mark.parametrize("count", [1, 2])
def test_continued_and_aborted_at_any_moment_it_ends_all_new_or_all_old(count: int) -> None:
    found = explore(Scenario(count, hold=True, continues=1, aborts=1), check=well_ended)
    assert ends(found) == {DONE, ABORTED}


@pytest.mark.parametrize("count", [1, 2])
def test_files_that_change_before_they_are_verified_never_become_current(count: int) -> None:
    kinds = frozenset({What.TAMPER, What.LOSE})
    found = explore(Scenario(count, hold=True, continues=1, faults=2, kinds=kinds), check=well_ended)
    assert {DONE, ABORTED} <= ends(found)


def test_a_hold_survives_one_loss_wherever_it_happens() -> None:
    found = explore(Scenario(2, hold=True, continues=1, faults=1, kinds=LOSSES), check=well_ended)
    assert ends(found) == {DONE, ABORTED}


def test_held_and_never_continued_it_waits() -> None:
    found = explore(Scenario(2, hold=True), check=well_ended)
    assert ends(found) == {HELD}
