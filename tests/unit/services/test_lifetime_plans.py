"""LifeTime's plans while they are saved: what may be one, who may have it, and how long it is listed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.access import Grant, Principal, Role
from orchestrator.domain.deployment import Deployment
from orchestrator.domain.errors import (
    ForbiddenError,
    UsageError,
)
from orchestrator.domain.lifetime.plan import DeploymentPlan, ImpossibleError, Status, UnknownKeyError
from tests.unit.services.fleets import NOW
from tests.unit.services.lifetimes import CI, DEVELOPMENT, PRODUCTION, LifetimeWorld, fleet_of, request


@pytest.fixture
def lifetime(tmp_path: Path) -> LifetimeWorld:
    return LifetimeWorld.at(tmp_path)


def status(lifetime: LifetimeWorld, plan: DeploymentPlan) -> Status:
    return lifetime.following().standing(plan.key).status


def deployment(lifetime: LifetimeWorld, plan: DeploymentPlan) -> Deployment:
    number = lifetime.planning().plan(plan.key).deployment
    assert number is not None
    found = lifetime.world.ledger.deployment(number)
    assert found is not None
    return found


# ── what a plan may be ──


def test_applications_of_one_zone_become_one_deployment(lifetime: LifetimeWorld) -> None:
    plan = lifetime.saved(ToDo="2.0.0", Portal="1.0.0")
    assert (plan.fleet, plan.target, plan.source) == ("Production/web", "Production", "")
    assert status(lifetime, plan) is Status.SAVED
    lifetime.executing().start(plan.key)
    assert status(lifetime, plan) is Status.RUNNING
    became = deployment(lifetime, plan)
    assert (became.plan.fleet, became.plan.actor) == ("Production/web", CI.name)
    assert became.plan.changes == {"ToDo": "2.0.0", "Portal": "1.0.0"}
    assert not became.plan.hold
    assert lifetime.world.messages.coordinated == [became.id]


def test_a_source_environment_gives_what_is_active_there(lifetime: LifetimeWorld) -> None:
    lifetime.serves(DEVELOPMENT, ToDo="2.0.0")
    plan = lifetime.planning().save(request("Production", "Development", ToDo=""))
    assert plan.changes == {"ToDo": "2.0.0"}
    assert plan.source == "Development"


def test_a_version_that_the_source_has_served_may_still_be_promoted(lifetime: LifetimeWorld) -> None:
    lifetime.serves(DEVELOPMENT, ToDo="1.0.0")
    lifetime.serves(DEVELOPMENT, ToDo="2.0.0")
    plan = lifetime.planning().save(request("Production", "Development", ToDo="1.0.0"))
    assert plan.changes == {"ToDo": "1.0.0"}


NO_PLANS = (
    (request("Production", ""), "the plan deploys nothing"),
    (request("Production", "Development", ToDo="2.0.0"), "ToDo 2.0.0 was never active in Development"),
    (request("Production", "Development", Portal=""), "Portal is not active in Development"),
    (request("Production", "", ToDo=""), "does not say what to deploy"),
    (request("Production", "", ToDo="3.0.0"), "no application version of that key"),
    (request("Production", "", Gone=""), "no application of that key"),
    (request("Production", "", Shop="1.0.0", ToDo="1.0.0"), "no deployment zone of Production has all of"),
    (request("Development", "", Shop="1.0.0"), "no deployment zone of Development has all of Shop"),
    (request("Production", "", "Production/gone", ToDo="1.0.0"), "Production has no deployment zone of that key"),
    (request("Production", "", "Development/web", ToDo="1.0.0"), "Production has no deployment zone of that key"),
    (request("Production", "", "Production/shop", ToDo="1.0.0"), "no deployment zone of Production has all of"),
    (request("Production", "", notes="n" * 2001, ToDo="1.0.0"), "Notes are too long"),
)


def test_what_can_be_no_plan(lifetime: LifetimeWorld) -> None:
    lifetime.serves(DEVELOPMENT, ToDo="1.0.0")
    for asked, said in NO_PLANS:
        with pytest.raises(UsageError, match=said):
            lifetime.planning().save(asked)
    assert lifetime.actions == []


def test_two_versions_of_one_application_are_no_plan(lifetime: LifetimeWorld) -> None:
    one, other = request("Production", "", ToDo="1.0.0"), request("Production", "", ToDo="2.0.0")
    both = replace(one, operations=(*one.operations, *other.operations))
    with pytest.raises(UsageError, match="two versions of ToDo"):
        lifetime.planning().save(both)
    again = replace(one, operations=(*one.operations, *one.operations))
    assert lifetime.planning().save(again).changes == {"ToDo": "1.0.0"}


def test_zones_that_have_the_same_application_must_be_told_apart(lifetime: LifetimeWorld) -> None:
    second = fleet_of("Production", "east")
    fleets = (*lifetime.inventory.fleets, second)
    lifetime.inventory = lifetime.inventory.model_copy(update={"fleets": fleets})
    with pytest.raises(UsageError, match="several deployment zones of Production have ToDo"):
        lifetime.saved(ToDo="1.0.0")
    plan = lifetime.planning().save(request("Production", "", "Production/east", ToDo="1.0.0", Portal="1.0.0"))
    assert plan.fleet == "Production/east"
    east, web = (request("Production", "", f"Production/{zone}", ToDo="1.0.0") for zone in ("east", "web"))
    apart = replace(east, operations=(*east.operations, *web.operations))
    with pytest.raises(UsageError, match="the plan deploys to several deployment zones"):
        lifetime.planning().save(apart)


def test_environments_that_are_not_there(lifetime: LifetimeWorld) -> None:
    for target, source in (("Nowhere", ""), ("Production", "Nowhere")):
        with pytest.raises(UnknownKeyError):
            lifetime.planning().save(request(target, source, ToDo="1.0.0"))


def test_who_may_not_deploy_saves_changes_deletes_and_starts_nothing(lifetime: LifetimeWorld) -> None:
    viewer = Principal("eve#1", (Grant(Role.VIEWER), Grant(Role.DEPLOYER, "Development")))
    plan = lifetime.saved(ToDo="1.0.0")
    asked = request("Production", "", ToDo="2.0.0")
    for attempt in (
        lambda: lifetime.planning(viewer).save(asked),
        lambda: lifetime.planning(viewer).change(plan.key, asked),
        lambda: lifetime.planning(viewer).delete(plan.key),
        lambda: lifetime.executing(viewer).start(plan.key),
        lambda: lifetime.executing(viewer).proceed(plan.key),
        lambda: lifetime.executing(viewer).abort(plan.key),
    ):
        with pytest.raises(ForbiddenError):
            attempt()
    assert lifetime.planning(viewer).plan(plan.key) == plan
    stranger = Principal("eve#1", (Grant(Role.ADMIN, "Development"),))
    with pytest.raises(ForbiddenError):
        lifetime.following(stranger).standing(plan.key)
    assert lifetime.planning(stranger).listed(NOW - timedelta(days=1), None, "", 60) == []


# ── saved plans ──


def test_a_plan_is_changed_and_deleted_only_while_it_is_saved(lifetime: LifetimeWorld) -> None:
    plan = lifetime.saved(ToDo="1.0.0")
    lifetime.world.clock.pass_hours(1)
    changed = lifetime.planning().change(plan.key, request("Production", "", Portal="2.0.0"))
    assert changed == lifetime.planning().plan(plan.key)
    assert (changed.changes, changed.created_at, changed.saved_at) == (
        {"Portal": "2.0.0"},
        NOW,
        NOW + timedelta(hours=1),
    )
    other = lifetime.saved(ToDo="1.0.0")
    lifetime.planning().delete(other.key)
    with pytest.raises(UnknownKeyError):
        lifetime.planning().plan(other.key)
    lifetime.executing().start(plan.key)
    with pytest.raises(ImpossibleError):
        lifetime.planning().change(plan.key, request("Production", "", ToDo="1.0.0"))
    with pytest.raises(ImpossibleError):
        lifetime.planning().delete(plan.key)
    assert [name for name, _ in lifetime.actions] == [
        "plan.saved",
        "plan.changed",
        "plan.saved",
        "plan.deleted",
        "plan.started",
        "plan.bound",
    ]
    assert {actor for _, actor in lifetime.actions} == {CI.name}


def test_of_those_who_change_delete_or_start_at_the_same_time_one_does(lifetime: LifetimeWorld) -> None:
    plan = lifetime.saved(ToDo="1.0.0")
    assert lifetime.plans.start_plan(plan, "one") is not None
    # The others have read the plan before.
    assert lifetime.plans.start_plan(plan, "other") is None
    assert not lifetime.plans.change_plan(plan)
    assert not lifetime.plans.delete_plan(plan, "other")
    assert [name for name, _ in lifetime.actions] == ["plan.saved", "plan.started"]


def listed(lifetime: LifetimeWorld, seconds: float = 60) -> list[str]:
    since = lifetime.world.clock.now - timedelta(days=1)
    return [plan.key for plan in lifetime.planning().listed(since, None, "", seconds)]


def test_a_saved_plan_is_listed_until_it_is_stale(lifetime: LifetimeWorld) -> None:
    first = lifetime.saved(ToDo="1.0.0")
    assert listed(lifetime) == [first.key]
    shop = lifetime.planning().save(request("Production", "", Shop="1.0.0"))
    assert listed(lifetime) == [shop.key, first.key]
    # Another plan of its fleet is in its place.
    second = lifetime.saved(ToDo="2.0.0")
    assert listed(lifetime) == [second.key, shop.key]
    # Nobody started it.
    lifetime.world.clock.now += timedelta(seconds=60)
    assert listed(lifetime) == []
    assert listed(lifetime, 61) == [second.key, shop.key]
    # Its fleet has moved on.
    lifetime.serves(PRODUCTION, ToDo="1.0.0")
    assert listed(lifetime, 61) == [shop.key]
    # It is there all the same, and can be started.
    lifetime.executing().start(second.key)
    assert listed(lifetime) == [second.key]


def test_a_stale_plan_blocks_neither_a_plan_nor_a_deployment(lifetime: LifetimeWorld) -> None:
    lifetime.saved(ToDo="1.0.0")
    other = lifetime.saved(ToDo="2.0.0")
    lifetime.serves(PRODUCTION, Portal="1.0.0")
    lifetime.executing().start(other.key)
    assert status(lifetime, other) is Status.RUNNING


def test_lists_are_of_a_time_and_of_what_may_be_read(lifetime: LifetimeWorld) -> None:
    old = lifetime.planning().save(request("Development", "", ToDo="1.0.0"))
    lifetime.world.clock.pass_hours(2)
    new = lifetime.saved(ToDo="1.0.0")
    hour = timedelta(hours=1)

    def found(since: Any, until: Any = None, target: str = "") -> list[str]:
        return [plan.key for plan in lifetime.planning().listed(since, until, target, 1e6)]

    assert found(NOW) == [new.key, old.key]
    assert found(NOW + hour) == [new.key]
    assert found(NOW, NOW + hour) == [old.key]
    assert found(NOW, None, lifetime.here().environment_documents()[0]["Key"]) == [old.key]
    with pytest.raises(UsageError):
        found(NOW, None, "00000000-0000-0000-0000-000000000000")


def test_a_plan_that_was_changed_since_it_was_read_is_not_started(lifetime: LifetimeWorld) -> None:
    plan = lifetime.saved(ToDo="1.0.0")
    changed = replace(plan, saved_at=plan.saved_at + timedelta(microseconds=1))
    assert lifetime.plans.change_plan(changed)
    assert lifetime.plans.start_plan(plan, "ci") is None
    assert lifetime.planning().plan(plan.key).saved
    assert lifetime.plans.start_plan(changed, "ci") is not None
