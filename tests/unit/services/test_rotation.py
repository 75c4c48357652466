"""Draining and readmitting: what is written, handed on, refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from inventory.model import Fleet
from orchestrator.domain.activation import NOTHING
from orchestrator.domain.deployment import Decision, Deployment, Kind, State
from orchestrator.domain.errors import ConflictError, LockstepError, UnansweredError, UsageError
from orchestrator.domain.rotation import Drain
from orchestrator.services.deployments import Schedule
from orchestrator.services.rotation import Rotating, known_frontend, present_rotation
from tests.unit.services.fleets import World, fleet

AT_ONCE = Schedule()
WEB = fleet()


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World.at(tmp_path)
    for version in ("1.0.0", "2.0.0"):
        made.release("ToDo", version)
    return made


@pytest.fixture
def serving(world: World) -> World:
    """A fleet of three that serves something."""
    deploy(world)
    world.messages.coordinated.clear()
    return world


def deploy(world: World, version: str = "1.0.0", to: Fleet = WEB) -> Deployment:
    made = world.deploying.deploy(to, {"ToDo": version}, AT_ONCE, "ann")
    world.commit(made)
    return made


def drain(world: World, frontend: str, of: Fleet = WEB) -> Drain:
    return Rotating(world.ledger, world.messages).drain(of, frontend, "bob", "new disk")


def out(world: World, frontend: str) -> Drain:
    """Drained, and confirmed."""
    made = drain(world, frontend)
    world.ledger.confirm_drain(made.number, "haproxy")
    return made


def readmit(world: World, *frontends: str, to: Fleet = WEB) -> Deployment:
    return world.deploying.readmit(to, frontends, "bob")


def serving_now(world: World, of: Fleet = WEB) -> tuple[str, ...]:
    return present_rotation(world.ledger, of).serving


# ── drain ──


def test_a_drain_is_written_and_handed_on_and_counts_when_it_is_confirmed(serving: World) -> None:
    made = drain(serving, "fe2")
    assert (made.fleet, made.frontend, made.actor, made.reason) == (WEB.key, "fe2", "bob", "new disk")
    assert Fleet.model_validate(made.snapshot) == WEB
    assert made.name == serving.ledger.committed(WEB.key)[0].name
    assert serving.messages.drained == [made.number]
    assert serving_now(serving) == ("fe1", "fe2", "fe3")
    serving.ledger.confirm_drain(made.number, "haproxy")
    assert serving_now(serving) == ("fe1", "fe3")


def test_a_drain_before_the_first_deployment_has_no_activation(world: World) -> None:
    assert drain(world, "fe1").name == NOTHING


def test_a_drain_that_is_not_confirmed_is_asked_for_again_and_its_old_trouble_forgotten(serving: World) -> None:
    first = drain(serving, "fe2")
    serving.ledger.doubt_drain(first.number, {"what": "nobody answers"})
    again = drain(serving, "fe2")
    assert (again.number, again.problem) == (first.number, {})
    assert serving.messages.drained == [first.number] * 2
    standing = serving.ledger.drain(first.number)
    assert standing is not None
    assert standing.problem == {}


def test_one_that_is_out_already_is_asked_for_nothing(serving: World) -> None:
    first = out(serving, "fe2")
    again = drain(serving, "fe2")
    assert (again.number, again.confirmed) == (first.number, True)
    assert serving.messages.drained == [first.number]


def test_the_last_one_in_rotation_is_not_drained(serving: World) -> None:
    for frontend in ("fe1", "fe2"):
        out(serving, frontend)
    with pytest.raises(ConflictError, match="fe3 is the last frontend of Production/web in rotation"):
        drain(serving, "fe3")
    assert [standing.frontend for standing in serving.ledger.drains()] == ["fe1", "fe2"]


def test_those_that_are_about_to_go_are_no_reason_to_let_the_last_one_go(serving: World) -> None:
    """Nobody has confirmed them yet, but somebody will."""
    for frontend in ("fe1", "fe2"):
        drain(serving, frontend)
    with pytest.raises(ConflictError, match="fe3 is the last"):
        drain(serving, "fe3")
    # Asking again for one of those is no news.
    assert drain(serving, "fe2").number == 2


def test_what_the_fleet_does_not_have_is_not_drained(serving: World) -> None:
    with pytest.raises(UsageError, match="Production/web has no frontend fe9") as caught:
        drain(serving, "fe9")
    assert caught.value.problem.expected == "one of fe1, fe2, fe3"
    known_frontend(WEB, "fe1")
    assert serving.ledger.drains() == []


def test_one_that_was_never_in_rotation_is_not_drained(serving: World) -> None:
    with pytest.raises(ConflictError, match="fe4 was never in rotation") as caught:
        drain(serving, "fe4", fleet(frontends=4))
    assert caught.value.problem.remedy == "bring it in: lockstep readmit Production/web fe4"
    assert serving.ledger.drains() == []


def test_a_drain_that_could_not_be_handed_on_stands(serving: World) -> None:
    """Workers look for drains that are not confirmed: whoever asked is told that nobody knows, yet."""
    serving.messages.broken = True
    with pytest.raises(UnansweredError):
        drain(serving, "fe2")
    assert [standing.frontend for standing in serving.ledger.drains(WEB.key)] == ["fe2"]


def test_one_that_is_being_readmitted_gets_a_new_number(serving: World) -> None:
    first = out(serving, "fe2")
    readmit(serving, "fe2")
    anew = drain(serving, "fe2")
    assert anew.number > first.number
    assert not anew.confirmed
    assert [standing.number for standing in serving.ledger.drains(WEB.key)] == [anew.number]
    lifted = serving.ledger.drain(first.number)
    assert lifted is not None
    assert lifted.lifted_at is not None


def test_a_readmission_of_others_or_an_ordinary_deployment_is_no_reason_for_a_new_number(serving: World) -> None:
    first = out(serving, "fe2")
    other = out(serving, "fe3")
    made = readmit(serving, "fe3")
    assert drain(serving, "fe2").number == first.number
    serving.commit(made)
    serving.deploying.deploy(WEB, {"ToDo": "2.0.0"}, AT_ONCE, "ann")
    assert drain(serving, "fe2").number == first.number
    assert other.number != first.number


# ── readmit ──


def test_a_readmission_is_planned_at_what_the_fleet_serves_for_the_drain_that_stands(serving: World) -> None:
    standing = out(serving, "fe2")
    made = readmit(serving, "fe2", "fe2")
    present = serving.ledger.committed(WEB.key)[0]
    assert (made.plan.kind, made.state, made.name) == (Kind.READMIT, State.PLANNED, present.name)
    assert made.plan.placements == present.plan.placements
    assert (made.plan.frontends, made.plan.readmits) == (("fe2",), {"fe2": standing.number})
    assert (made.plan.changes, made.plan.hold, made.plan.actor) == ({}, False, "bob")
    assert serving.messages.coordinated == [made.id]
    assert serving_now(serving) == ("fe1", "fe3")
    serving.commit(made)
    assert serving.ledger.drains() == []
    assert serving_now(serving) == ("fe1", "fe2", "fe3")


def test_several_come_back_at_once_in_the_order_that_was_asked_for(serving: World) -> None:
    numbers = {name: out(serving, name).number for name in ("fe1", "fe2")}
    made = readmit(serving, "fe2", "fe1")
    assert made.plan.frontends == ("fe2", "fe1")
    assert made.plan.readmits == numbers


def test_a_drain_that_nobody_confirmed_can_be_ended(serving: World) -> None:
    standing = drain(serving, "fe2")
    assert readmit(serving, "fe2").plan.readmits == {"fe2": standing.number}


def test_a_new_frontend_is_drained_first_and_let_in_by_the_same_way(serving: World) -> None:
    four = fleet(frontends=4)
    made = readmit(serving, "fe4", to=four)
    (standing,) = serving.ledger.drains(WEB.key)
    assert (standing.frontend, standing.reason, standing.confirmed) == ("fe4", "new", False)
    assert made.plan.readmits == {"fe4": standing.number}
    assert serving_now(serving, four) == ("fe1", "fe2", "fe3")
    serving.commit(made)
    assert serving_now(serving, four) == ("fe1", "fe2", "fe3", "fe4")


def test_one_that_missed_a_deployment_comes_back_at_the_epoch_of_now(serving: World) -> None:
    out(serving, "fe2")
    second = deploy(serving, "2.0.0")
    assert second.plan.frontends == ("fe1", "fe3")
    assert readmit(serving, "fe2").name == second.name


def test_one_that_was_readmitted_takes_part_in_the_next_deployment(serving: World) -> None:
    out(serving, "fe2")
    deploy(serving, "2.0.0")
    serving.commit(readmit(serving, "fe2"))
    assert deploy(serving, "1.0.0").plan.frontends == ("fe1", "fe2", "fe3")


def test_what_is_in_rotation_is_not_readmitted_and_nothing_is_planned(serving: World) -> None:
    standing = out(serving, "fe2")
    with pytest.raises(ConflictError, match="fe1 is in rotation already"):
        readmit(serving, "fe2", "fe1")
    assert serving.ledger.open_deployment(WEB.key) is None
    assert [drain.number for drain in serving.ledger.drains()] == [standing.number]


def test_what_the_fleet_does_not_have_is_not_readmitted(serving: World) -> None:
    with pytest.raises(UsageError, match="no frontend fe9"):
        readmit(serving, "fe9")


def test_there_is_nothing_to_come_back_to_before_the_first_deployment(world: World) -> None:
    drain(world, "fe1")
    with pytest.raises(UsageError, match="serves nothing yet"):
        readmit(world, "fe1")


def test_while_another_deployment_holds_the_fleet_nobody_is_readmitted(serving: World) -> None:
    out(serving, "fe2")
    held = serving.deploying.deploy(WEB, {"ToDo": "2.0.0"}, AT_ONCE, "ann")
    with pytest.raises(ConflictError, match=f"deployment {held.id} of Production/web is open"):
        readmit(serving, "fe2")


def test_a_readmission_that_nobody_could_be_asked_for_leaves_the_drain_and_frees_the_fleet(serving: World) -> None:
    standing = out(serving, "fe2")
    serving.messages.broken = True
    with pytest.raises(LockstepError) as caught:
        readmit(serving, "fe2")
    assert not isinstance(caught.value, UnansweredError), "its outcome is known: nothing was changed"
    assert serving.ledger.history(None, 1)[0].decision is Decision.ABORT
    assert [drain.number for drain in serving.ledger.drains()] == [standing.number]
    serving.messages.broken = False
    assert readmit(serving, "fe2").plan.readmits == {"fe2": standing.number}


def test_where_nobody_is_in_rotation_nothing_is_deployed(serving: World) -> None:
    for frontend in ("fe1", "fe2", "fe3"):
        # As coordinators do, which ask nobody who is left.
        made = serving.ledger.add_drain(WEB.key, frontend, {}, "ann", "")
        serving.ledger.confirm_drain(made.number, "haproxy")
    with pytest.raises(UsageError, match="no frontend of Production/web is in rotation"):
        deploy(serving, "2.0.0")


def test_a_rollback_goes_to_who_is_in_rotation(serving: World) -> None:
    deploy(serving, "2.0.0")
    out(serving, "fe1")
    assert serving.deploying.rollback(WEB, None, AT_ONCE, "ann").plan.frontends == ("fe2", "fe3")
