"""Read models: what the commands print and programs read. Dictionaries that JSON can carry; times are ISO 8601."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from inventory.model import Fleet
from orchestrator.domain.deployment import Deployment, Report
from orchestrator.domain.rotation import Drain
from orchestrator.ports import Ledger
from orchestrator.services.deployments import last_committed
from orchestrator.services.rotation import present_rotation

View = dict[str, Any]


def deployment_view(deployment: Deployment) -> View:
    """One deployment, without its reports."""
    plan = deployment.plan
    return {
        "id": deployment.id,
        "fleet": plan.fleet,
        "epoch": deployment.epoch,
        "kind": str(plan.kind),
        "state": str(deployment.state),
        "decision": None if deployment.decision is None else str(deployment.decision),
        "changes": dict(plan.changes),
        "apps": {p.app: {"version": p.version, "digest": p.digest, "mount": p.mount} for p in plan.placements},
        "frontends": list(plan.frontends),
        "actor": plan.actor,
        "hold": plan.hold,
        "due_at": _time(plan.due_at),
        "expires_at": _time(plan.expires_at) if plan.hold else None,
        "created_at": _time(deployment.created_at),
        "decided_at": _time(deployment.decided_at),
        "ended_at": _time(deployment.ended_at),
        "skew_ms": None if deployment.skew is None else round(deployment.skew * 1000, 3),
        "troubles": [trouble.as_dict() for trouble in deployment.troubles],
        "updates": dict(deployment.updates),
    }


def report_view(report: Report) -> View:
    """One report of one frontend."""
    return {
        "frontend": report.frontend,
        "step": str(report.step),
        "attempt": report.attempt,
        "outcome": str(report.outcome),
        "detail": dict(report.detail),
        "problem": dict(report.problem),
        "at": _time(report.at),
    }


def deployment_with_reports(deployment: Deployment, reports: Sequence[Report]) -> View:
    """One deployment and every report of it. The preview pin lets an operator see what is staged."""
    return {
        **deployment_view(deployment),
        "preview_cookie": f"lockstep={deployment.name}",
        "reports": [report_view(report) for report in reports],
    }


def drain_view(drain: Drain) -> View:
    """One drain."""
    return {
        "number": drain.number,
        "fleet": drain.fleet,
        "frontend": drain.frontend,
        "actor": drain.actor,
        "reason": drain.reason,
        "created_at": _time(drain.created_at),
        "confirmed": drain.confirmed,
        "confirmed_at": _time(drain.confirmed_at),
        "by": drain.by,
        "problem": dict(drain.problem),
    }


def fleet_view(ledger: Ledger, fleet: Fleet) -> View:
    """What the ledger says that the fleet serves, who is in rotation, and what is under way."""
    present = last_committed(ledger, fleet.key)
    under_way = ledger.open_deployment(fleet.key)
    rotation = present_rotation(ledger, fleet)
    apps: Mapping[str, str] = {} if present is None else {p.app: p.version for p in present.plan.placements}
    return {
        "fleet": fleet.key,
        "epoch": None if present is None else present.epoch,
        "activation": None if present is None else str(present.name),
        "apps": dict(apps),
        "since": None if present is None else _time(present.decided_at),
        "open": None if under_way is None else deployment_view(under_way),
        "rotation": {
            "serving": list(rotation.serving),
            "drained": {drain.frontend: drain_view(drain) for drain in ledger.drains(fleet.key)},
            "new": list(rotation.new),
        },
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
