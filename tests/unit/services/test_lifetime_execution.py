"""What LifeTime's plans become: started once, continued, aborted, and where they stand, on a real ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.access import Grant, Principal, Role
from orchestrator.domain.build import Build
from orchestrator.domain.deployment import Decision, Deployment, Outcome, Report, State, Step, Trouble
from orchestrator.domain.errors import (
    ConflictError,
    ForbiddenError,
    LockstepError,
    Problem,
    UnansweredError,
)
from orchestrator.domain.lifetime.plan import DeploymentPlan, ImpossibleError, Status
from orchestrator.services.deployments import Schedule
from tests.unit.services.fleets import NOW
from tests.unit.services.lifetimes import CI, PRODUCTION, LifetimeWorld


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


def test_a_plan_is_started_once(lifetime: LifetimeWorld) -> None:
    plan = lifetime.saved(ToDo="1.0.0")
    lifetime.executing().start(plan.key)
    lifetime.world.commit(deployment(lifetime, plan))
    with pytest.raises(ImpossibleError, match="started already"):
        lifetime.executing().start(plan.key)
    assert len(lifetime.world.ledger.history("Production/web", 10)) == 1


def test_a_held_fleet_leaves_the_plan_saved_and_says_who_holds_it(lifetime: LifetimeWorld) -> None:
    held = lifetime.world.deploying.deploy(PRODUCTION, {"ToDo": "1.0.0"}, Schedule(), "ann@ops")
    plan = lifetime.saved(ToDo="2.0.0")
    with pytest.raises(ImpossibleError, match=f"deployment {held.id} of Production/web is open") as refused:
        lifetime.executing().start(plan.key)
    assert "ann@ops" in str(refused.value)
    assert status(lifetime, plan) is Status.SAVED
    lifetime.world.commit(held)
    lifetime.executing().start(plan.key)
    assert status(lifetime, plan) is Status.RUNNING


def test_what_is_refused_at_the_last_moment_leaves_the_plan_saved(lifetime: LifetimeWorld) -> None:
    # Mobile clients would need a new build, and nobody confirms that.
    lifetime.world.releases("ToDo", "3.0.0", {"index.html": b"3", "native.json": b'{"format": 1, "app_name": "One"}'})
    lifetime.world.releases("ToDo", "4.0.0", {"index.html": b"4", "native.json": b'{"format": 1, "app_name": "Other"}'})
    lifetime.serves(PRODUCTION, ToDo="3.0.0")
    lifetime.world.builds.add_build(Build("Production", "ToDo", "b1", "3.0.0", "", "ann", NOW))
    plan = lifetime.saved(ToDo="4.0.0")
    with pytest.raises(ConflictError, match="needs a new build"):
        lifetime.executing().start(plan.key)
    assert lifetime.planning().plan(plan.key) == plan
    assert [name for name, _ in lifetime.actions] == ["plan.saved", "plan.started", "plan.refused"]


def test_a_broker_that_takes_nothing_shows_as_errors(lifetime: LifetimeWorld) -> None:
    plan = lifetime.saved(ToDo="1.0.0")
    lifetime.world.messages.broken = True
    with pytest.raises(LockstepError, match="the broker may not have taken the work"):
        lifetime.executing().start(plan.key)
    standing = lifetime.following().standing(plan.key)
    assert standing.status is Status.FINISHED_WITH_ERRORS
    assert any("the broker may not have taken the work" in line.message for line in standing.log)


def begin(lifetime: LifetimeWorld) -> DeploymentPlan:
    """As a server that dies after it has said that it starts the plan."""
    begun = lifetime.plans.start_plan(lifetime.saved(ToDo="1.0.0"), CI.name)
    assert begun is not None
    return begun


def test_a_server_that_died_before_the_deployment_is_told_of(lifetime: LifetimeWorld) -> None:
    plan = begin(lifetime)
    assert status(lifetime, plan) is Status.RUNNING
    with pytest.raises(ImpossibleError, match="started already"):
        lifetime.executing().start(plan.key)
    lifetime.world.clock.pass_hours(1)
    standing = lifetime.following().standing(plan.key)
    assert standing.status is Status.FINISHED_WITH_ERRORS
    assert any("ended before there was a deployment" in line.message for line in standing.log)
    assert lifetime.actions[-1] == ("plan.failed", "lockstep")
    with pytest.raises(ImpossibleError):
        lifetime.executing().start(plan.key)


def test_a_server_that_died_behind_the_deployment_loses_it_not(lifetime: LifetimeWorld) -> None:
    plan = begin(lifetime)
    made = lifetime.world.deploying.deploy(PRODUCTION, {"ToDo": "1.0.0"}, Schedule(), CI.name)
    lifetime.world.commit(made)
    lifetime.confirms(made.id, "fe1", "fe2")
    lifetime.world.clock.pass_hours(1)
    assert status(lifetime, plan) is Status.FINISHED_SUCCESSFUL
    assert deployment(lifetime, plan).id == made.id


def test_another_deployment_is_not_taken_for_the_plans(lifetime: LifetimeWorld) -> None:
    others = (("somebody", {"ToDo": "1.0.0"}), (CI.name, {"ToDo": "2.0.0"}), (CI.name, {"Portal": "1.0.0"}))
    for actor, changes in others:
        plan = begin(lifetime)
        lifetime.world.commit(lifetime.world.deploying.deploy(PRODUCTION, changes, Schedule(), actor))
        lifetime.world.clock.pass_hours(1)
        assert status(lifetime, plan) is Status.FINISHED_WITH_ERRORS


def test_what_the_same_token_deployed_before_is_not_taken_for_the_plans(lifetime: LifetimeWorld) -> None:
    lifetime.world.commit(lifetime.world.deploying.deploy(PRODUCTION, {"ToDo": "1.0.0"}, Schedule(), CI.name))
    lifetime.world.clock.pass_hours(1)
    plan = begin(lifetime)
    lifetime.world.clock.pass_hours(1)
    assert status(lifetime, plan) is Status.FINISHED_WITH_ERRORS


def test_an_earlier_deployment_or_another_plans_is_not_taken_for_the_plans(lifetime: LifetimeWorld) -> None:
    first = lifetime.saved(ToDo="1.0.0")
    lifetime.executing().start(first.key)
    lifetime.world.commit(deployment(lifetime, first))
    # By the same clock tick, with the same content, by the same token.
    second = begin(lifetime)
    lifetime.world.clock.pass_hours(1)
    assert status(lifetime, second) is Status.FINISHED_WITH_ERRORS
    third = begin(lifetime)
    lifetime.world.clock.pass_hours(1)
    assert status(lifetime, third) is Status.FINISHED_WITH_ERRORS


def test_a_start_that_took_too_long_deploys_nothing(lifetime: LifetimeWorld) -> None:
    plan = lifetime.saved(ToDo="1.0.0")
    asking = lifetime.executing()

    class Slow:
        """A broker that answers after somebody has given the plan up."""

        def coordinate(self, number: int) -> None:
            lifetime.plans.fail_plan(lifetime.planning().plan(plan.key), Problem("too late").as_dict())

    deploying = replace(asking.deploying, dispatch=Slow())  # type: ignore[arg-type]
    with pytest.raises(LockstepError, match="took too long"):
        replace(asking, deploying=replace(deploying)).start(plan.key)
    (made,) = lifetime.world.ledger.history("Production/web", 10)
    assert made.decision is Decision.ABORT
    assert status(lifetime, plan) is Status.FINISHED_WITH_ERRORS


def test_an_unknown_outcome_is_left_to_whoever_looks(lifetime: LifetimeWorld) -> None:
    plan = lifetime.saved(ToDo="1.0.0")
    asking = lifetime.executing()

    class Silent:
        """A ledger that does not say whether it has planned."""

        def __getattr__(self, name: str) -> Any:
            return getattr(lifetime.world.ledger, name)

        def plan(self, plan: object) -> Deployment:
            raise UnansweredError("the commit was not answered")

    deploying = replace(asking.deploying, ledger=Silent())
    with pytest.raises(UnansweredError):
        replace(asking, deploying=deploying).start(plan.key)
    assert status(lifetime, plan) is Status.RUNNING
    lifetime.world.clock.pass_hours(1)
    assert status(lifetime, plan) is Status.FINISHED_WITH_ERRORS


def test_of_two_plans_alike_the_slower_one_does_not_take_the_others_deployment(lifetime: LifetimeWorld) -> None:
    """Two jobs with one token and the same versions: while one tells the broker, the other finds the fleet held."""
    first, second = lifetime.saved(ToDo="1.0.0"), lifetime.saved(ToDo="1.0.0")
    asking: Any = lifetime.executing()

    class Before:
        """The ledger as the second saw it, when there was nothing to see."""

        def __getattr__(self, name: str) -> Any:
            return getattr(lifetime.world.ledger, name)

        def open_deployment(self, fleet: str) -> None:
            del fleet

    class Meanwhile:
        """A broker that is told of the first's deployment while the second is being started."""

        def coordinate(self, number: int) -> None:
            planning = asking.following.planning
            planning = replace(planning, infrastructure=replace(planning.infrastructure, ledger=Before()))
            late = replace(asking, following=replace(asking.following, planning=planning))
            with pytest.raises(ConflictError, match="is open"):
                late.start(second.key)
            lifetime.world.messages.coordinate(number)

    replace(asking, deploying=replace(asking.deploying, dispatch=Meanwhile())).start(first.key)
    (made,) = lifetime.world.ledger.history("Production/web", 9)
    assert lifetime.planning().plan(first.key).deployment == made.id
    assert not made.state.ended
    assert lifetime.planning().plan(second.key) == second


def test_a_deployment_that_cannot_be_noted_runs_and_is_found(lifetime: LifetimeWorld) -> None:
    plan = lifetime.saved(ToDo="1.0.0")
    asking: Any = lifetime.executing()

    class Busy:
        """Plans whose ledger is busy when a deployment is noted."""

        def __getattr__(self, name: str) -> Any:
            return getattr(lifetime.plans, name)

        def bind_plan(self, plan: object, number: int) -> bool:
            raise ConflictError("the ledger is busy")

    planning = replace(asking.following.planning, plans=Busy())
    replace(asking, following=replace(asking.following, planning=planning)).start(plan.key)
    assert status(lifetime, plan) is Status.RUNNING
    lifetime.world.clock.pass_hours(1)
    assert status(lifetime, plan) is Status.RUNNING
    assert lifetime.planning().plan(plan.key).deployment is not None


# ── two steps, and the end ──


def two_step(lifetime: LifetimeWorld) -> None:
    environments = tuple(each.model_copy(update={"two_step": True}) for each in lifetime.inventory.environments)
    lifetime.inventory = lifetime.inventory.model_copy(update={"environments": environments})


def test_two_steps_wait_to_be_continued(lifetime: LifetimeWorld) -> None:
    two_step(lifetime)
    plan = lifetime.saved(ToDo="1.0.0")
    lifetime.executing().start(plan.key)
    assert status(lifetime, plan) is Status.RUNNING
    with pytest.raises(ConflictError, match="is not held"):
        lifetime.world.ledger.move(deployment(lifetime, plan).id, State.PLANNED, State.STAGING)
        lifetime.executing().proceed(plan.key)
    lifetime.world.ledger.move(deployment(lifetime, plan).id, State.STAGING, State.VERIFYING)
    lifetime.world.ledger.prepare(deployment(lifetime, plan).id)
    standing = lifetime.following().standing(plan.key)
    assert (standing.status, standing.info) == (Status.NEEDS_USER_INTERVENTION, "deployment_prepared")
    lifetime.executing().proceed(plan.key)
    # At once: who asks again must not continue it again.
    standing = lifetime.following().standing(plan.key)
    assert (standing.status, standing.info) == (Status.RUNNING, "")


def test_who_may_not_continue_does_not(lifetime: LifetimeWorld) -> None:
    plan = lifetime.saved(ToDo="1.0.0")
    lifetime.executing().start(plan.key)
    approver = Principal("ann#1", (Grant(Role.APPROVER, "Production"),))
    with pytest.raises(ForbiddenError):
        lifetime.executing(approver).start(plan.key)
    lifetime.executing(approver).proceed(plan.key)
    assert lifetime.world.messages.coordinated == [deployment(lifetime, plan).id] * 2


def test_four_eyes_hold_a_plan_until_somebody_else_continues_it(lifetime: LifetimeWorld) -> None:
    web = PRODUCTION.model_copy(update={"four_eyes": True})
    lifetime.inventory = lifetime.inventory.model_copy(update={"fleets": (web,)})
    plan = lifetime.saved(ToDo="1.0.0")
    lifetime.executing().start(plan.key)
    lifetime.world.carry_out(deployment(lifetime, plan))
    assert status(lifetime, plan) is Status.NEEDS_USER_INTERVENTION
    for refused in (
        CI,
        Principal("bob#2", (Grant(Role.DEPLOYER),)),
        Principal("ci#another", (Grant(Role.ADMIN),)),
    ):
        with pytest.raises(ForbiddenError):
            lifetime.executing(refused).proceed(plan.key)
    assert status(lifetime, plan) is Status.NEEDS_USER_INTERVENTION
    lifetime.executing(Principal("ann#3", (Grant(Role.APPROVER, "Production"),))).proceed(plan.key)
    assert status(lifetime, plan) is Status.RUNNING


def test_an_aborted_plan_names_who_aborted_it(lifetime: LifetimeWorld) -> None:
    plan = lifetime.saved(ToDo="1.0.0")
    with pytest.raises(ImpossibleError):
        lifetime.executing().abort(plan.key)
    lifetime.executing().start(plan.key)
    lifetime.executing().abort(plan.key)
    # No client knows a word for what is being aborted.
    assert status(lifetime, plan) is Status.RUNNING
    lifetime.world.ledger.move(deployment(lifetime, plan).id, State.ABORTING, State.ABORTED)
    assert status(lifetime, plan) is Status.ABORTED
    found = lifetime.planning().plan(plan.key)
    assert (found.aborted_at, found.aborted_by) == (NOW, CI.name)
    assert lifetime.actions[-1] == ("plan.aborted", CI.name)
    for impossible in (lifetime.executing().abort, lifetime.executing().proceed, lifetime.executing().start):
        with pytest.raises(ImpossibleError):
            impossible(plan.key)


def test_what_is_committed_can_not_be_aborted_and_may_be_carried_on(lifetime: LifetimeWorld) -> None:
    plan = lifetime.saved(ToDo="1.0.0")
    lifetime.executing().start(plan.key)
    number = deployment(lifetime, plan).id
    lifetime.world.carry_out(deployment(lifetime, plan))
    lifetime.world.ledger.decide(number, Decision.COMMIT, [])
    lifetime.world.ledger.note_troubles(number, [Trouble("activate", "fe2", {"what": "does not answer"})])
    with pytest.raises(ConflictError, match="was committed"):
        lifetime.executing().abort(plan.key)
    standing = lifetime.following().standing(plan.key)
    assert standing.status is Status.RUNNING
    assert any("fe2: activate: does not answer" in line.message for line in standing.log)
    lifetime.executing().proceed(plan.key)
    assert lifetime.world.messages.coordinated[-1] == number


def test_a_failed_verification_is_errors_and_names_the_frontend(lifetime: LifetimeWorld) -> None:
    plan = lifetime.saved(ToDo="1.0.0")
    lifetime.executing().start(plan.key)
    number, ledger = deployment(lifetime, plan).id, lifetime.world.ledger
    problem = {"what": "serves another manifest of ToDo", "expected": "a", "found": "b"}
    ledger.record(number, [Report("fe2", Step.VERIFY, 1, Outcome.REFUSED, {}, problem)])
    ledger.decide(number, Decision.ABORT, [Trouble("verify", "fe2", problem)])
    assert status(lifetime, plan) is Status.RUNNING
    ledger.move(number, State.ABORTING, State.ABORTED)
    standing = lifetime.following().standing(plan.key)
    assert standing.status is Status.FINISHED_WITH_ERRORS
    assert any(
        line.message == "fe2: verify: serves another manifest of ToDo; expected a; found b" for line in standing.log
    )


@pytest.mark.parametrize(
    ("confirmed", "expected"),
    [(("fe1", "fe2"), Status.FINISHED_SUCCESSFUL), (("fe1",), Status.FINISHED_WITH_WARNINGS)],
)
def test_what_was_drained_meanwhile_is_a_warning(
    lifetime: LifetimeWorld, confirmed: tuple[str, ...], expected: Status
) -> None:
    plan = lifetime.saved(ToDo="1.0.0")
    lifetime.executing().start(plan.key)
    lifetime.world.commit(deployment(lifetime, plan))
    lifetime.confirms(deployment(lifetime, plan).id, *confirmed)
    standing = lifetime.following().standing(plan.key)
    assert standing.status is expected
    assert any("done without fe2" in line.message for line in standing.log) is (len(confirmed) == 1)
