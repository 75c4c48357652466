"""Planning deployments and rollbacks, continuing and aborting: what is written, handed on, refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from inventory.model import Fleet
from orchestrator.domain.deployment import Decision, Kind, State
from orchestrator.domain.errors import ConflictError, LockstepError, ReleaseError, UnansweredError, UsageError
from orchestrator.services.deployments import Schedule
from tests.unit.services.fleets import NOW, World, fleet

AT_ONCE = Schedule()


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World.at(tmp_path)
    for version in ("1.0.0", "2.0.0"):
        made.release("ToDo", version)
        made.release("Portal", version)
    return made


def versions(world: World, number: int) -> dict[str, str]:
    found = world.ledger.deployment(number)
    assert found is not None
    return {p.app: p.version for p in found.plan.placements}


def test_a_first_deployment_serves_what_it_names_on_every_frontend(world: World) -> None:
    made = world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann@ops")
    assert (made.epoch, made.state, made.decision) == (1, State.PLANNED, None)
    assert made.plan.frontends == ("fe1", "fe2", "fe3")
    assert versions(world, made.id) == {"ToDo": "1.0.0"}
    assert world.messages.coordinated == [made.id]


def test_what_a_deployment_does_not_name_stays_as_it_was_committed(world: World) -> None:
    world.commit(world.deploying.deploy(fleet(), {"ToDo": "1.0.0", "Portal": "1.0.0"}, AT_ONCE, "ann"))
    made = world.deploying.deploy(fleet(), {"Portal": "2.0.0"}, AT_ONCE, "ann")
    assert (made.epoch, versions(world, made.id)) == (2, {"ToDo": "1.0.0", "Portal": "2.0.0"})


def test_what_was_aborted_is_not_what_the_next_one_builds_on(world: World) -> None:
    world.commit(world.deploying.deploy(fleet(), {"ToDo": "1.0.0", "Portal": "1.0.0"}, AT_ONCE, "ann"))
    aborted = world.deploying.deploy(fleet(), {"Portal": "2.0.0"}, AT_ONCE, "ann")
    world.deploying.abort(aborted.id, "ann")
    world.ledger.move(aborted.id, State.ABORTING, State.ABORTED)
    made = world.deploying.deploy(fleet(), {"ToDo": "2.0.0"}, AT_ONCE, "ann")
    assert (made.epoch, versions(world, made.id)) == (3, {"ToDo": "2.0.0", "Portal": "1.0.0"})


def test_an_app_that_left_the_fleet_is_served_no_more(world: World) -> None:
    world.commit(world.deploying.deploy(fleet(), {"ToDo": "1.0.0", "Portal": "1.0.0"}, AT_ONCE, "ann"))
    made = world.deploying.deploy(fleet(("ToDo",)), {"ToDo": "2.0.0"}, AT_ONCE, "ann")
    assert versions(world, made.id) == {"ToDo": "2.0.0"}


def test_an_app_that_moved_is_served_under_its_new_mount(world: World) -> None:
    world.commit(world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann"))
    document = fleet().model_dump(mode="json")
    document["apps"][0]["mount"] = "/tasks/"
    made = world.deploying.deploy(Fleet.model_validate(document), {"Portal": "1.0.0"}, AT_ONCE, "ann")
    assert {p.app: p.mount for p in made.plan.placements} == {"ToDo": "/tasks/", "Portal": "/Portal/"}


def test_unknown_apps_and_versions_are_refused_and_nothing_is_planned(world: World) -> None:
    with pytest.raises(UsageError, match="no app Tudo"):
        world.deploying.deploy(fleet(), {"Tudo": "1.0.0"}, AT_ONCE, "ann")
    with pytest.raises(UsageError) as caught:
        world.deploying.deploy(fleet(), {"ToDo": "2.0.1"}, AT_ONCE, "ann")
    assert "2.0.0" in caught.value.problem.expected
    assert world.ledger.history(None, 10) == []


def test_a_deployment_of_nothing_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match="nothing would be served"):
        world.deploying.deploy(fleet(), {}, AT_ONCE, "ann")
    world.commit(world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann"))
    world.commit(world.deploying.deploy(fleet(), {"ToDo": "2.0.0"}, AT_ONCE, "ann"))
    with pytest.raises(UsageError, match="nothing would be served"):
        world.deploying.rollback(fleet(("Other",)), 1, AT_ONCE, "ann")


def test_a_release_whose_content_is_gone_is_refused_before_anything_is_sent(world: World, tmp_path: Path) -> None:
    for path in (tmp_path / "artifacts" / "manifests").iterdir():
        path.unlink()
    with pytest.raises(ReleaseError):
        world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann")
    assert world.ledger.history(None, 10) == []


def test_a_second_deployment_is_told_who_holds_the_fleet(world: World) -> None:
    world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann@ops")
    with pytest.raises(ConflictError) as caught:
        world.deploying.deploy(fleet(), {"ToDo": "2.0.0"}, AT_ONCE, "bob@ops")
    assert "ann@ops" in caught.value.problem.found


def test_a_deployment_that_nobody_could_be_asked_for_frees_the_fleet(world: World) -> None:
    world.messages.broken = True
    with pytest.raises(LockstepError) as caught:
        world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann")
    assert not isinstance(caught.value, UnansweredError), "its outcome is known: nothing was changed"
    (left,) = world.ledger.history(None, 10)
    assert (left.state, left.decision) == (State.ABORTED, Decision.ABORT)
    world.messages.broken = False
    assert world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann").epoch == 2


def test_a_rollback_is_a_new_epoch_with_the_releases_from_before(world: World) -> None:
    world.commit(world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann"))
    world.commit(world.deploying.deploy(fleet(), {"ToDo": "2.0.0"}, AT_ONCE, "ann"))
    made = world.deploying.rollback(fleet(), None, AT_ONCE, "ann")
    assert (made.plan.kind, made.epoch, versions(world, made.id)) == (Kind.ROLLBACK, 3, {"ToDo": "1.0.0"})


def test_a_rollback_after_a_redeployment_of_the_same_goes_back_to_what_differs(world: World) -> None:
    world.commit(world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann"))
    for _ in range(2):
        world.commit(world.deploying.deploy(fleet(), {"ToDo": "2.0.0"}, AT_ONCE, "ann"))
    assert versions(world, world.deploying.rollback(fleet(), None, AT_ONCE, "ann").id) == {"ToDo": "1.0.0"}


def test_a_rollback_to_an_epoch_takes_every_app_from_it(world: World) -> None:
    world.commit(world.deploying.deploy(fleet(), {"ToDo": "1.0.0", "Portal": "1.0.0"}, AT_ONCE, "ann"))
    world.commit(world.deploying.deploy(fleet(), {"ToDo": "2.0.0"}, AT_ONCE, "ann"))
    world.commit(world.deploying.deploy(fleet(), {"Portal": "2.0.0"}, AT_ONCE, "ann"))
    made = world.deploying.rollback(fleet(), 1, AT_ONCE, "ann")
    assert versions(world, made.id) == {"ToDo": "1.0.0", "Portal": "1.0.0"}


@pytest.mark.parametrize("epoch", [None, 1, 7])
def test_there_is_nothing_to_go_back_to_where_nothing_was_committed(world: World, epoch: int | None) -> None:
    with pytest.raises(UsageError, match="never deployed"):
        world.deploying.rollback(fleet(), epoch, AT_ONCE, "ann")


def test_a_rollback_to_an_epoch_that_was_aborted_is_refused(world: World) -> None:
    world.commit(world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann"))
    aborted = world.deploying.deploy(fleet(), {"ToDo": "2.0.0"}, AT_ONCE, "ann")
    world.deploying.abort(aborted.id, "ann")
    world.ledger.move(aborted.id, State.ABORTING, State.ABORTED)
    with pytest.raises(UsageError, match="epoch 2"):
        world.deploying.rollback(fleet(), 2, AT_ONCE, "ann")
    with pytest.raises(UsageError, match="earlier"):
        world.deploying.rollback(fleet(), None, AT_ONCE, "ann")


def test_a_hold_expires_after_the_policy_s_hours(world: World) -> None:
    made = world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, Schedule(hold=True), "ann")
    assert (made.plan.hold, made.plan.expires_at) == (True, NOW + timedelta(hours=96))


def test_a_time_holds_until_then_and_expires_later(world: World) -> None:
    due = NOW + timedelta(hours=2)
    made = world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, Schedule(due_at=due), "ann")
    assert (made.plan.hold, made.plan.due_at, made.plan.expires_at) == (True, due, due + timedelta(hours=96))


def test_a_held_deployment_goes_on_when_it_is_continued(world: World) -> None:
    held = world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, Schedule(hold=True), "ann")
    world.carry_out(held)
    assert world.deploying.proceed(held.id, "them").plan.hold is False
    assert world.messages.coordinated == [held.id, held.id]


def test_a_deployment_that_is_on_its_way_is_not_continued(world: World) -> None:
    made = world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann")
    for before, after in ((State.PLANNED, State.STAGING), (State.STAGING, State.VERIFYING)):
        world.ledger.move(made.id, before, after)
        with pytest.raises(ConflictError, match="not held"):
            world.deploying.proceed(made.id, "them")


def test_a_committed_deployment_that_is_open_is_asked_again_and_its_old_troubles_are_cleared(world: World) -> None:
    made = world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann")
    world.carry_out(made)
    world.ledger.decide(made.id, Decision.COMMIT, [])
    assert world.deploying.proceed(made.id, "them").troubles == ()
    assert world.messages.coordinated == [made.id, made.id]


def test_what_has_ended_is_neither_continued_nor_aborted(world: World) -> None:
    made = world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann")
    world.commit(made)
    with pytest.raises(ConflictError, match="has ended"):
        world.deploying.proceed(made.id, "them")
    with pytest.raises(ConflictError, match="committed") as caught:
        world.deploying.abort(made.id, "ann")
    assert caught.value.problem.remedy.endswith("lockstep rollback Production/web")


def test_an_abort_is_decided_in_the_ledger_and_then_carried_out(world: World) -> None:
    made = world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann")
    aborted = world.deploying.abort(made.id, "bob")
    assert (aborted.state, aborted.decision) == (State.ABORTING, Decision.ABORT)
    assert aborted.troubles[0].problem["found"] == "bob"
    assert world.messages.coordinated == [made.id, made.id]


def test_an_abort_of_what_is_aborted_changes_nothing(world: World) -> None:
    made = world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, "ann")
    world.deploying.abort(made.id, "bob")
    world.ledger.move(made.id, State.ABORTING, State.ABORTED)
    assert world.deploying.abort(made.id, "eve").troubles[0].problem["found"] == "bob"
    assert world.messages.coordinated == [made.id, made.id]


def test_deployments_that_do_not_exist_are_a_usage_error(world: World) -> None:
    with pytest.raises(UsageError, match="no deployment 9"):
        world.deploying.proceed(9, "them")
    with pytest.raises(UsageError, match="no deployment 9"):
        world.deploying.abort(9, "ann")
