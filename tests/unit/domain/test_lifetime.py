"""LifeTime's keys, which pipelines keep; and what every state of a deployment is in LifeTime's words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.deployment import Decision, Deployment, Kind, Outcome, Plan, Report, State, Step, Trouble
from orchestrator.domain.lifetime import documents, keys
from orchestrator.domain.lifetime.plan import (
    STARTING,
    DeploymentPlan,
    Operation,
    Standing,
    Status,
    sentence,
    standing,
    status_of,
)

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
PLAN = DeploymentPlan(
    "key", "", "Production", "Production/web", "", (Operation("ToDo", "2.0.0"),), NOW, "ci", NOW, "ci"
)
STARTED = replace(PLAN, started_at=NOW, started_by="ci", deployment=7)
ABORTED_BY = Trouble("abort", "", {"what": "an operator aborted it", "found": "ann"})
EXPIRED = Trouble("hold", "", {"what": "the hold expired"})
BROKEN = Trouble("verify", "fe2", {"what": "serves another manifest"})


def deployment(state: State, decision: Decision | None = None, *troubles: Trouble, hold: bool = False) -> Deployment:
    plan = Plan("Production/web", Kind.DEPLOY, {"ToDo": "2.0.0"}, (), ("fe1", "fe2"), {}, "ci", hold)
    decided = None if decision is None else NOW
    return Deployment(
        7, plan, ActivationName(3, "0" * 16), state, decision, NOW, decided, NOW if state.ended else None, troubles
    )


CONFIRMED = tuple(Report(name, Step.CONFIRM, 1, Outcome.ACCEPTED, at=NOW) for name in ("fe1", "fe2"))
COMMIT, ABORT = Decision.COMMIT, Decision.ABORT


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (deployment(State.PLANNED), Status.RUNNING),
        (deployment(State.PLANNED, hold=True), Status.RUNNING),
        (deployment(State.STAGING, hold=True), Status.RUNNING),
        (deployment(State.VERIFYING, hold=True), Status.RUNNING),
        (deployment(State.PREPARED, hold=True), Status.NEEDS_USER_INTERVENTION),
        (deployment(State.PREPARED), Status.RUNNING),
        (deployment(State.ARMING), Status.RUNNING),
        (deployment(State.ACTIVATING, COMMIT), Status.RUNNING),
        (deployment(State.ACTIVATING, COMMIT, BROKEN), Status.RUNNING),
        (deployment(State.FINISHING, COMMIT), Status.RUNNING),
        (deployment(State.DONE, COMMIT), Status.FINISHED_SUCCESSFUL),
        (deployment(State.ABORTING, ABORT, BROKEN), Status.RUNNING),
        (deployment(State.ABORTED, ABORT, BROKEN), Status.FINISHED_WITH_ERRORS),
        (deployment(State.ABORTED, ABORT, BROKEN, ABORTED_BY), Status.FINISHED_WITH_ERRORS),
        (deployment(State.ABORTED, ABORT, ABORTED_BY), Status.ABORTED),
        (deployment(State.ABORTED, ABORT, EXPIRED), Status.ABORTED),
        (deployment(State.ABORTED, ABORT, Trouble("gate", "", {"what": "no"})), Status.FINISHED_WITH_ERRORS),
    ],
)
def test_every_state_has_its_status(row: Deployment, expected: Status) -> None:
    assert status_of(row, CONFIRMED) is expected
    found = standing(STARTED, row, CONFIRMED)
    assert found.info == ("deployment_prepared" if expected is Status.NEEDS_USER_INTERVENTION else "")
    assert list(found.log) == sorted(found.log, key=lambda line: line.at)


def test_a_status_is_one_of_seven_words() -> None:
    words = "saved running needs_user_intervention aborted finished_successful finished_with_warnings"
    assert {str(status) for status in Status} == {*words.split(), "finished_with_errors"}


def test_a_plan_without_a_deployment() -> None:
    assert standing(PLAN, None) == Standing(Status.SAVED)
    begun = replace(STARTED, deployment=None)
    assert standing(begun, None).status is Status.RUNNING
    failed = standing(replace(begun, problem={"what": "no", "remedy": "again"}), None)
    assert (failed.status, failed.log[-1].message) == (Status.FINISHED_WITH_ERRORS, "no; what to do: again")
    assert not begun.lost(NOW + STARTING)
    assert begun.lost(NOW + STARTING + timedelta(seconds=1))
    for known in (PLAN, STARTED, replace(begun, problem={"what": "no"})):
        assert not known.lost(NOW + timedelta(days=1))


def test_the_log_says_what_each_frontend_did_once() -> None:
    late = NOW + timedelta(seconds=5)
    reports = [
        Report("fe1", Step.STAGE, 1, Outcome.ACCEPTED, at=NOW),
        Report("fe2", Step.STAGE, 1, Outcome.ACCEPTED, at=late),
        *(Report("fe2", Step.ACTIVATE, n, Outcome.UNKNOWN, {}, {"what": "no answer"}, late) for n in range(9)),
    ]
    found = standing(
        STARTED, deployment(State.ACTIVATING, COMMIT, Trouble("activate", "fe2", {"what": "gone"})), reports
    )
    messages = [line.message for line in found.log]
    assert messages.count("fe2: activate unknown: no answer") == 1
    assert "stage: done on 2 of 2 frontends" in messages
    assert "fe2: activate: gone" in messages
    assert "deployment 7: ToDo 2.0.0 to Production/web, epoch 3, frontends fe1, fe2" in messages
    assert "committed" in messages


def test_keys_never_change() -> None:
    """Pipelines keep them in manifests, from one run to another."""
    assert keys.environment_key("Production") == "91af8d95-7d98-5591-a546-f4c4445555b3"
    assert keys.zone_key("Production/web") == "1bdd3459-422e-5db9-934f-1cdfa69b8362"
    assert keys.application_key("ToDo") == "58dfb5c4-a49b-51e0-b5f2-f9cfe155a7ee"
    assert keys.version_key("ToDo", "1.0.0") == "4eb53ff4-5839-5ec3-bb76-b9cc4178dbcc"
    assert keys.user_key("") == ""
    names = {keys.version_key("a", "b1"), keys.version_key("ab", "1"), keys.zone_key("a"), keys.environment_key("a")}
    assert len(names) == 4
    assert keys.same(keys.zone_key("a"), f" {keys.zone_key('a').upper()} ")
    assert keys.normal("00000000-0000-0000-0000-00000000000") is None


def test_times_are_in_utc_and_a_time_that_there_is_not_is_lifetimes() -> None:
    assert documents.moment(NOW.astimezone(timezone(timedelta(hours=5)))) == "2026-05-01T12:00:00Z"
    assert documents.moment(None) == "1900-01-01T00:00:00"


def test_a_problem_is_one_line() -> None:
    problem = {"what": "no", "where": "a\nb", "expected": "x", "found": "y", "remedy": "z"}
    assert sentence(problem) == "no; a b; expected x; found y; what to do: z"
