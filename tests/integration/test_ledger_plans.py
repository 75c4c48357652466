"""LifeTime's plans on both databases: every write is one caller's, and leaves its entry in the trail."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

from sqlalchemy import Engine

from orchestrator.adapters.ledger.lifetime_plans import SqlLifetimePlans
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.adapters.ledger.trail import SqlTrail
from orchestrator.domain.lifetime.plan import DeploymentPlan, Operation
from orchestrator.domain.trail import broken
from tests.integration.ledgers import Callers, Ticks, plan

CLOCK = Ticks()
NOW = CLOCK()
SAVED = DeploymentPlan(
    "11111111-2222-3333-4444-555555555555",
    "Development",
    "Production",
    "Production/web",
    "ünd",
    (Operation("ToDo", "1.0.0"), Operation("Portal", "2.0.0")),
    NOW,
    "ci#1",
    NOW,
    "ci#1",
)


def test_a_plan_from_its_first_write_to_its_last(ledger_engine: Engine) -> None:
    plans, ledger = SqlLifetimePlans(ledger_engine, CLOCK), SqlLedger(ledger_engine, CLOCK)
    plans.add_plan(SAVED)
    assert plans.plan(SAVED.key) == SAVED
    assert plans.plan("gone") is None
    hour = timedelta(hours=1)
    assert plans.plans(NOW - hour, NOW + hour, ["Production"]) == [SAVED]
    for none in (
        plans.plans(NOW - hour, NOW, ["Production"]),
        plans.plans(NOW + hour, None, ["Production"]),
        plans.plans(NOW - hour, None, ["Development"]),
        plans.plans(NOW - hour, None, []),
    ):
        assert none == []
    changed = replace(SAVED, notes="", operations=SAVED.operations[:1], saved_by="ann#2")
    assert plans.change_plan(changed)
    assert plans.plan(SAVED.key) == changed
    begun = plans.start_plan(changed, "ci#1")
    assert begun is not None
    assert plans.plan(SAVED.key) == begun
    assert not plans.change_plan(changed)
    assert not plans.delete_plan(changed, "ci#1")
    assert plans.unstart_plan(begun, {"what": "held"})
    assert plans.plan(SAVED.key) == changed
    assert not plans.unstart_plan(begun, {"what": "held"})
    begun = plans.start_plan(changed, "ci#1")
    assert begun is not None
    number = ledger.plan(plan()).id
    assert plans.bind_plan(begun, number)
    bound = replace(begun, deployment=number)
    assert not plans.bind_plan(begun, number)
    assert not plans.fail_plan(begun, {"what": "too late"})
    assert plans.note_abort(bound, "ann#2")
    assert not plans.note_abort(bound, "bob#3")
    found = plans.plan(SAVED.key)
    assert found is not None
    assert (found.deployment, found.aborted_by) == (number, "ann#2")
    entries = list(SqlTrail(ledger_engine, CLOCK).all())
    assert broken(entries) is None
    told = [(entry.action.name, entry.action.actor) for entry in entries if entry.action.name.startswith("plan.")]
    assert told == [
        ("plan.saved", "ci#1"),
        ("plan.changed", "ann#2"),
        ("plan.started", "ci#1"),
        ("plan.refused", "ci#1"),
        ("plan.started", "ci#1"),
        ("plan.bound", "ci#1"),
        ("plan.aborted", "ann#2"),
    ]


def test_a_failure_is_said_once_and_a_saved_plan_can_be_deleted(ledger_engine: Engine) -> None:
    plans = SqlLifetimePlans(ledger_engine, CLOCK)
    plans.add_plan(SAVED)
    assert not plans.fail_plan(SAVED, {"what": "it is only saved"})
    begun = plans.start_plan(SAVED, "ci#1")
    assert begun is not None
    assert plans.fail_plan(begun, {"what": "gone"})
    assert not plans.fail_plan(begun, {"what": "gone again"})
    assert not plans.unstart_plan(begun, {"what": "held"})
    assert plans.plan(SAVED.key) == replace(begun, problem={"what": "gone"})
    other = replace(SAVED, key="other")
    plans.add_plan(other)
    assert plans.delete_plan(other, "ci#1")
    assert plans.plan("other") is None
    assert not plans.delete_plan(other, "ci#1")


def test_of_many_who_start_a_plan_at_once_one_does(ledger_engine: Engine) -> None:
    plans = SqlLifetimePlans(ledger_engine, CLOCK)
    plans.add_plan(SAVED)
    outcomes = Callers.THREADS.at_once([partial(plans.start_plan, SAVED, f"ci#{n}") for n in range(8)])
    (begun,) = (outcome for outcome in outcomes if isinstance(outcome, DeploymentPlan))
    assert plans.plan(SAVED.key) == begun
    entries = [entry.action for entry in SqlTrail(ledger_engine, CLOCK).all()]
    assert [action.actor for action in entries if action.name == "plan.started"] == [begun.started_by]
