"""From the domain's records to rows of the ledger's tables, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from orchestrator.domain.activation import ActivationName, Placement
from orchestrator.domain.audit.audit import Audit, AuditPlan, Known
from orchestrator.domain.audit.audit import Outcome as AuditOutcome
from orchestrator.domain.audit.finding import Finding, Seriousness
from orchestrator.domain.audit.finding import Kind as FindingKind
from orchestrator.domain.deployment import (
    Decision,
    Deployment,
    Healing,
    Kind,
    Outcome,
    Plan,
    Report,
    State,
    Step,
    Trouble,
)
from orchestrator.domain.rotation import Drain
from orchestrator.ports import ReleaseRecord

#: A row's columns by name.
Columns = dict[str, Any]


def release_columns(record: ReleaseRecord) -> Columns:
    """The row of a release."""
    return {
        "app": record.app,
        "version": record.version,
        "digest": record.digest,
        "files": record.files,
        "size": record.size,
        "created_at": record.created_at,
    }


def release_record(row: RowMapping) -> ReleaseRecord:
    """A release from its row."""
    return ReleaseRecord(row["app"], row["version"], row["digest"], row["files"], row["size"], row["created_at"])


def plan_columns(plan: Plan, name: ActivationName, now: datetime) -> Columns:
    """The row of a new deployment."""
    return {
        "fleet": plan.fleet,
        "epoch": name.epoch,
        "nonce": name.nonce,
        "kind": plan.kind.value,
        "state": State.PLANNED.value,
        "changes": dict(plan.changes),
        "placements": [placement_column(p) for p in plan.placements],
        "frontends": list(plan.frontends),
        "snapshot": dict(plan.snapshot),
        "actor": plan.actor,
        "hold": plan.hold,
        "due_at": plan.due_at,
        "expires_at": plan.expires_at,
        "created_at": now,
        "troubles": [],
        "readmits": dict(plan.readmits) or None,
        "updates": {each.app: each.document() for each in plan.updates} or None,
        "healing": None if plan.healing is None else asdict(plan.healing),
    }


def placement_column(placement: Placement) -> list[Any]:
    """App, mount, version and digest; and, where the app is store-only, the list of its builds' digests."""
    builds = [] if placement.builds is None else [list(placement.builds)]
    return [placement.app, placement.mount, placement.version, placement.digest, *builds]


def placements_of(column: Sequence[Sequence[Any]]) -> tuple[Placement, ...]:
    """The placements from their column."""
    return tuple(Placement(*words[:4], *map(tuple, words[4:])) for words in column)


def deployment_of(row: RowMapping | Columns) -> Deployment:
    """A deployment from its row."""
    plan = Plan(
        fleet=row["fleet"],
        kind=Kind(row["kind"]),
        changes=row["changes"],
        placements=placements_of(row["placements"]),
        frontends=tuple(row["frontends"]),
        snapshot=row["snapshot"],
        actor=row["actor"],
        hold=row["hold"],
        due_at=row["due_at"],
        expires_at=row["expires_at"],
        readmits=row["readmits"] or {},
        healing=None if row["healing"] is None else Healing(**row["healing"]),
    )
    return Deployment(
        id=row["id"],
        plan=plan,
        name=ActivationName(row["epoch"], row["nonce"]),
        state=State(row["state"]),
        decision=None if row["decision"] is None else Decision(row["decision"]),
        created_at=row["created_at"],
        decided_at=row["decided_at"],
        ended_at=row["ended_at"],
        troubles=tuple(Trouble(t["step"], t["frontend"], t["problem"]) for t in row["troubles"]),
        skew=row["skew"],
        updates=row["updates"] or {},
    )


def trouble_column(troubles: Sequence[Trouble]) -> list[Columns]:
    """The column of a deployment's troubles."""
    return [trouble.as_dict() for trouble in troubles]


def report_columns(number: int, report: Report, now: datetime) -> Columns:
    """The row of a report on deployment `number`, recorded `now`."""
    return {
        "deployment": number,
        "frontend": report.frontend,
        "step": report.step.value,
        "attempt": report.attempt,
        "outcome": report.outcome.value,
        "detail": dict(report.detail),
        "problem": dict(report.problem),
        "at": now,
    }


def report_of(row: RowMapping) -> Report:
    """A report from its row."""
    return Report(
        frontend=row["frontend"],
        step=Step(row["step"]),
        attempt=row["attempt"],
        outcome=Outcome(row["outcome"]),
        detail=row["detail"],
        problem=row["problem"],
        at=row["at"],
    )


def drain_of(row: RowMapping) -> Drain:
    """A drain from its row."""
    return Drain(
        number=row["id"],
        fleet=row["fleet"],
        frontend=row["frontend"],
        name=ActivationName(row["epoch"], row["nonce"]),
        actor=row["actor"],
        reason=row["reason"],
        snapshot=row["snapshot"],
        created_at=row["created_at"],
        by=row["confirmed_by"],
        confirmed_at=row["confirmed_at"],
        lifted_at=row["lifted_at"],
        problem=row["problem"],
    )


def audit_columns(plan: AuditPlan, now: datetime) -> Columns:
    """The row of an audit that is begun."""
    return {
        "fleet": plan.fleet,
        "snapshot": dict(plan.snapshot),
        "deep": plan.deep,
        "policy": plan.policy,
        "remove_extra": plan.remove_extra,
        "actor": plan.actor,
        "scheduled_at": plan.scheduled_at,
        "begun_at": now,
        "detail": {},
    }


def audit_of(row: RowMapping) -> Audit:
    """An audit from its row."""
    plan = AuditPlan(
        fleet=row["fleet"],
        snapshot=row["snapshot"],
        deep=row["deep"],
        policy=row["policy"],
        actor=row["actor"],
        remove_extra=row["remove_extra"],
        scheduled_at=row["scheduled_at"],
    )
    return Audit(
        id=row["id"],
        plan=plan,
        begun_at=row["begun_at"],
        outcome=None if row["outcome"] is None else AuditOutcome(row["outcome"]),
        ended_at=row["ended_at"],
        detail=row["detail"],
    )


def finding_columns(finding: Finding) -> Columns:
    """What a finding's row says of the finding itself."""
    return {
        "fleet": finding.fleet,
        "frontend": finding.frontend,
        "kind": finding.kind.value,
        "path": finding.path,
        "expected": finding.expected,
        "found": finding.found,
        "seriousness": finding.seriousness.value,
    }


def known_of(row: RowMapping) -> Known:
    """A finding from its row, and what was done about it (`healed`, `escalated_at`)."""
    finding = Finding(
        fleet=row["fleet"],
        frontend=row["frontend"],
        kind=FindingKind(row["kind"]),
        path=row["path"],
        expected=row["expected"],
        found=row["found"],
        seriousness=Seriousness(row["seriousness"]),
    )
    return Known(
        id=row["id"],
        finding=finding,
        first=row["first_audit"],
        last=row["last_audit"],
        opened_at=row["opened_at"],
        seen_at=row["seen_at"],
        closed_at=row["closed_at"],
        healed=row["healed"],
        escalated_at=row["escalated_at"],
    )
