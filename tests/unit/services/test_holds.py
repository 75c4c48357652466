"""Held deployments: continued at their time, aborted when nobody came, and never left between the two."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.domain.deployment import Decision, Deployment, State
from orchestrator.services.deployments import Schedule
from orchestrator.services.holds import overdue
from tests.unit.services.fleets import NOW, World, fleet


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World.at(tmp_path)
    made.release("ToDo", "1.0.0")
    return made


def held(world: World, schedule: Schedule) -> Deployment:
    made = world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, schedule, "ann")
    world.carry_out(made)
    return made


def row(world: World, number: int) -> Deployment:
    found = world.ledger.deployment(number)
    assert found is not None
    return found


def test_a_hold_without_a_time_waits_for_its_expiry_and_is_then_aborted(world: World) -> None:
    made = held(world, Schedule(hold=True))
    assert overdue(world.ledger, NOW + timedelta(hours=95)) == []
    assert row(world, made.id).state is State.PREPARED
    assert overdue(world.ledger, NOW + timedelta(hours=96)) == [made.id]
    after = row(world, made.id)
    assert (after.decision, after.state) == (Decision.ABORT, State.ABORTING)
    assert after.troubles[0].problem["what"] == "the hold expired"


def test_a_hold_with_a_time_goes_on_then(world: World) -> None:
    made = held(world, Schedule(due_at=NOW + timedelta(hours=2)))
    assert overdue(world.ledger, NOW + timedelta(hours=1)) == []
    assert overdue(world.ledger, NOW + timedelta(hours=2)) == [made.id]
    after = row(world, made.id)
    assert (after.decision, after.plan.hold) == (None, False)


def test_a_hold_that_was_released_but_whose_message_got_lost_goes_on(world: World) -> None:
    made = held(world, Schedule(hold=True))
    world.ledger.release_hold(made.id)
    assert overdue(world.ledger, NOW) == [made.id]


def test_deployments_that_are_on_their_way_are_left_alone(world: World) -> None:
    made = world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, Schedule(due_at=NOW + timedelta(hours=1)), "ann")
    late = NOW + timedelta(days=30)
    for before, after in ((State.PLANNED, State.STAGING), (State.STAGING, State.VERIFYING)):
        assert overdue(world.ledger, late) == []
        world.ledger.move(made.id, before, after)
    assert overdue(world.ledger, late) == []


def test_a_committed_deployment_is_not_due_for_anything(world: World) -> None:
    made = world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, Schedule(), "ann")
    world.commit(made)
    assert overdue(world.ledger, NOW + timedelta(days=30)) == []
