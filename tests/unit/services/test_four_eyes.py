"""Four eyes: what is deployed is held until somebody else lets it go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from inventory.model import Fleet
from orchestrator.adapters.ledger.engine import open_engine
from orchestrator.adapters.ledger.trail import SqlTrail
from orchestrator.domain.access import EVERYWHERE, Grant, Principal, Role, same_person
from orchestrator.domain.deployment import Decision, Deployment, Kind, State
from orchestrator.domain.errors import ConflictError, ForbiddenError, UsageError
from orchestrator.services.access import require_continue
from orchestrator.services.deployments import Schedule
from orchestrator.services.recovery import Due, due
from tests.unit.services.fleets import NOW, World, fleet

WEB = fleet(("ToDo",), 2).model_copy(update={"four_eyes": True})
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A fleet that serves its second release."""
    world = World.at(tmp_path)
    for version in ("1", "2", "3"):
        world.release("ToDo", version)
    for version in ("1", "2"):
        world.commit(world.deploying.deploy(ordinary(WEB), {"ToDo": version}, Schedule(), "ann"))
    return world


def ordinary(web: Fleet) -> Fleet:
    """The same fleet, without."""
    return web.model_copy(update={"four_eyes": False})


def deploy(world: World, actor: str = "ann#1", web: Fleet = WEB) -> Deployment:
    """Release 3, as far as it goes by itself."""
    made = world.deploying.deploy(web, {"ToDo": "3"}, Schedule(), actor)
    world.carry_out(made)
    return row(world, made)


def row(world: World, made: Deployment) -> Deployment:
    """As the ledger has it."""
    found = world.ledger.deployment(made.id)
    assert found is not None
    return found


@pytest.mark.parametrize("schedule", [Schedule(), Schedule(hold=True)])
def test_deployments_and_rollbacks_are_held_whatever_was_asked(world: World, schedule: Schedule) -> None:
    begins: list[Callable[[], Deployment]] = [
        lambda: world.deploying.deploy(WEB, {"ToDo": "3"}, schedule, "ann"),
        lambda: world.deploying.rollback(WEB, None, schedule, "ann"),
    ]
    for begin in begins:
        made = begin()
        world.carry_out(made)
        held = row(world, made)
        assert (held.state, held.plan.hold, held.plan.four_eyes) == (State.PREPARED, True, True)
        assert held.plan.expires_at == NOW + timedelta(hours=96)
        world.ledger.decide(made.id, Decision.ABORT, [])
        world.ledger.move(made.id, State.ABORTING, State.ABORTED)


def test_a_readmission_is_not_held(world: World) -> None:
    drain = world.ledger.add_drain(WEB.key, "fe1", {}, "ann", "")
    world.ledger.confirm_drain(drain.number, "haproxy")
    made = world.deploying.readmit(WEB, ["fe1"], "ann")
    assert (made.plan.kind, made.plan.hold, made.plan.four_eyes) == (Kind.READMIT, False, False)
    world.carry_out(made)
    assert row(world, made).state is State.ARMING


def test_a_time_is_refused_and_nothing_is_planned(world: World) -> None:
    at = Schedule(due_at=LATER)
    for ask in (
        lambda: world.deploying.deploy(WEB, {"ToDo": "3"}, at, "ann"),
        lambda: world.deploying.plan(WEB, {"ToDo": "3"}, at, "ann"),
        lambda: world.deploying.rollback(WEB, None, at, "ann"),
    ):
        with pytest.raises(UsageError, match="asks for four eyes"):
            ask()
    assert world.ledger.unfinished() == []
    assert world.deploying.plan(ordinary(WEB), {"ToDo": "3"}, at, "ann").due_at == LATER


@pytest.mark.parametrize("who", ["ann#1", "ann#2", "ann", "Ann#1", "ANN"])
def test_who_deploys_is_not_who_continues(world: World, who: str) -> None:
    made = deploy(world)
    sent = list(world.messages.coordinated)
    with pytest.raises(ForbiddenError, match="who deploys can't be who continues") as refused:
        world.deploying.proceed(made.id, who)
    assert refused.value.problem.expected == "somebody else than ann#1"
    assert row(world, made) == made
    assert world.messages.coordinated == sent


@pytest.mark.parametrize("who", ["bob#1", "ann.b#1", "an#1", "hook:ann", "ann@desk"])
def test_somebody_else_lets_it_go_on_and_the_trail_names_both(world: World, tmp_path: Path, who: str) -> None:
    made = deploy(world)
    world.deploying.proceed(made.id, who)
    assert not row(world, made).plan.hold
    assert world.messages.coordinated == [1, 2, made.id, made.id]
    trail = SqlTrail(open_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}"), world.clock)
    told = {entry.action.name: entry.action.actor for entry in trail.all() if entry.action.deployment == made.id}
    assert (told["deployment.planned"], told["deployment.continued"]) == ("ann#1", who)


def test_before_it_is_prepared_nobody_who_deploys_continues_it_either(world: World) -> None:
    made = world.deploying.deploy(WEB, {"ToDo": "3"}, Schedule(), "ann#1")
    with pytest.raises(ForbiddenError):
        world.deploying.proceed(made.id, "ann#2")
    world.ledger.move(made.id, State.PLANNED, State.STAGING)
    with pytest.raises(ConflictError, match="is not held"):
        world.deploying.proceed(made.id, "bob#1")
    assert row(world, made).plan.hold


def test_who_deploys_may_abort_it_and_carry_on_what_is_committed(world: World) -> None:
    aborted = deploy(world)
    assert world.deploying.abort(aborted.id, "ann#1").decision is Decision.ABORT
    world.ledger.move(aborted.id, State.ABORTING, State.ABORTED)
    made = deploy(world)
    world.deploying.proceed(made.id, "bob#1")
    world.ledger.move(made.id, State.PREPARED, State.VERIFYING)
    world.ledger.prepare(made.id)
    world.ledger.decide(made.id, Decision.COMMIT, [])
    world.deploying.proceed(made.id, "ann#1")
    assert world.messages.coordinated[-1] == made.id


def test_an_edit_of_the_inventory_changes_nothing_for_what_is_planned(world: World) -> None:
    made = deploy(world, web=ordinary(WEB))
    assert made.state is State.ARMING
    assert not made.plan.four_eyes
    world.ledger.decide(made.id, Decision.ABORT, [])
    world.ledger.move(made.id, State.ABORTING, State.ABORTED)
    # The snapshot says it, of whatever fleet the inventory speaks now.
    held = deploy(world)
    with pytest.raises(ForbiddenError):
        world.deploying.proceed(held.id, "ann#1")


def test_no_time_releases_such_a_hold_but_its_expiry_aborts_it(world: World) -> None:
    held = deploy(world)
    assert due(held, NOW + timedelta(hours=95)) is None
    assert due(held, NOW + timedelta(hours=96)) is Due.EXPIRE
    # Not even where a time got into the row.
    plan = world.deploying.plan(ordinary(WEB), {"ToDo": "3"}, Schedule(due_at=LATER), "ann")
    world.ledger.decide(held.id, Decision.ABORT, [])
    world.ledger.move(held.id, State.ABORTING, State.ABORTED)
    timed = world.ledger.plan(replace(plan, snapshot=WEB.model_dump(mode="json"), after=None))
    world.carry_out(timed)
    assert due(row(world, timed), LATER) is None
    assert due(row(world, timed), LATER + timedelta(hours=96)) is Due.EXPIRE


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ci#0123456789ab", "ci#ba9876543210", True),
        ("ci#0123456789ab", "CI", True),
        ("ann@desk", "ann@desk", True),
        ("ann@desk", "ann#1", False),
        ("ci#1", "ci2#1", False),
        ("hook:ci", "ci#1", False),
        ("", "#1", True),
    ],
)
def test_actors_are_compared_by_name(one: str, other: str, same: bool) -> None:
    assert same_person(one, other) is same
    assert same_person(other, one) is same


# ── over the API ──

FREE, WATCHED, COMMITTED = "free", "watched", "committed"
MAY_CONTINUE = {
    Role.VIEWER: (),
    Role.DEPLOYER: (FREE, COMMITTED),
    Role.APPROVER: (FREE, WATCHED, COMMITTED),
    Role.ADMIN: (FREE, WATCHED, COMMITTED),
}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("environment", [EVERYWHERE, "Production", "Test"])
def test_where_four_eyes_are_asked_for_approvers_and_admins_continue(
    world: World, role: Role, environment: str
) -> None:
    allowed = MAY_CONTINUE[role] if environment != "Test" else ()
    who = Principal("bob#1", (Grant(role, environment), Grant(Role.ADMIN, "Test")))
    rows = {FREE: deploy(world, web=ordinary(WEB))}
    world.ledger.decide(rows[FREE].id, Decision.ABORT, [])
    world.ledger.move(rows[FREE].id, State.ABORTING, State.ABORTED)
    rows[WATCHED] = deploy(world)
    world.deploying.proceed(rows[WATCHED].id, "eve")
    world.ledger.move(rows[WATCHED].id, State.PREPARED, State.VERIFYING)
    world.ledger.prepare(rows[WATCHED].id)
    world.ledger.decide(rows[WATCHED].id, Decision.COMMIT, [])
    rows[COMMITTED] = row(world, rows[WATCHED])
    for name, deployment in rows.items():
        if name in allowed:
            require_continue(who, deployment)
        else:
            with pytest.raises(ForbiddenError, match="bob#1 may not continue"):
                require_continue(who, deployment)
