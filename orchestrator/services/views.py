"""Read models: what the commands print and programs read. Dictionaries that JSON can carry; times are ISO 8601."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from inventory.model import Fleet
from orchestrator.domain.build import Build
from orchestrator.domain.deployment import Deployment, Plan, Report
from orchestrator.domain.release import File, Manifest
from orchestrator.domain.rotation import Drain
from orchestrator.domain.trail import Entry
from orchestrator.domain.upgrade import Upgrade
from orchestrator.ports import Ledger, ReleaseRecord, Token
from orchestrator.services.access import valid
from orchestrator.services.deployments import last_committed
from orchestrator.services.releases import Built, ReleaseName
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
        "due_at": time_view(plan.due_at),
        "expires_at": time_view(plan.expires_at) if plan.hold else None,
        "created_at": time_view(deployment.created_at),
        "decided_at": time_view(deployment.decided_at),
        "ended_at": time_view(deployment.ended_at),
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
        "at": time_view(report.at),
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
        "created_at": time_view(drain.created_at),
        "confirmed": drain.confirmed,
        "confirmed_at": time_view(drain.confirmed_at),
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
        "since": None if present is None else time_view(present.decided_at),
        "open": None if under_way is None else deployment_view(under_way),
        "rotation": {
            "serving": list(rotation.serving),
            "drained": {drain.frontend: drain_view(drain) for drain in ledger.drains(fleet.key)},
            "new": list(rotation.new),
        },
    }


def plan_view(plan: Plan, present: Deployment | None) -> View:
    """What a deployment would change, app by app; `present` is what the fleet serves."""
    before = {} if present is None else {p.app: p.version for p in present.plan.placements}
    updates = {update.app: update.document() for update in plan.updates}
    apps = {
        p.app: {"from": before.get(p.app), "to": p.version, "digest": p.digest, "update": updates.get(p.app)}
        for p in plan.placements
    }
    return {"fleet": plan.fleet, "kind": str(plan.kind), "apps": apps, "frontends": list(plan.frontends)}


def release_view(record: ReleaseRecord) -> View:
    """One release, without its files."""
    return {
        "app": record.app,
        "version": record.version,
        "digest": record.digest,
        "files": record.files,
        "size": record.size,
        "created_at": time_view(record.created_at),
    }


def release_with_files(record: ReleaseRecord, manifest: Manifest) -> View:
    """One release and its files."""
    return {**release_view(record), "manifest": [file_view(file) for file in manifest]}


def file_view(file: File) -> View:
    """One file of a release."""
    return {"path": file.path, "size": file.size, "sha256": file.sha256, "ota": file.ota}


def built_view(built: Built, *, dry_run: bool = False) -> View:
    """What came of building a release, or would."""
    view = release_view(built.record)
    if dry_run and built.new:
        view["created_at"] = None
    return {**view, "new": built.new, "dry_run": dry_run, "stored": {"objects": built.objects, "size": built.size}}


def comparison_view(before: ReleaseName, after: ReleaseName, found: Upgrade) -> View:
    """What kind of update it is to go from one release to another of the same app."""
    return {"app": after.app, "from": before.version, "to": after.version, **found.document()}


def build_view(build: Build) -> View:
    """One build in the field."""
    return {
        "environment": build.environment,
        "app": build.app,
        "build": build.id,
        "version": build.version,
        "platform": build.platform,
        "actor": build.actor,
        "created_at": time_view(build.created_at),
        "retired_at": time_view(build.retired_at),
    }


def token_view(token: Token, now: datetime) -> View:
    """One token, without its hash. Its state is valid, expired or revoked."""
    state = "revoked" if token.revoked_at is not None else "valid" if valid(token, now) else "expired"
    return {
        "public": token.public,
        "name": token.name,
        "roles": [{"role": str(grant.role), "environment": grant.environment} for grant in token.grants],
        "state": state,
        "actor": token.actor,
        "created_at": time_view(token.created_at),
        "expires_at": time_view(token.expires_at),
        "revoked_at": time_view(token.revoked_at),
    }


def entry_view(entry: Entry) -> View:
    """One entry of the trail. Its time has microseconds: its digest is made of them."""
    action = entry.action
    return {
        "number": entry.number,
        "at": entry.at.isoformat(timespec="microseconds"),
        "action": action.name,
        "actor": action.actor,
        "fleet": action.fleet,
        "deployment": action.deployment,
        "detail": dict(action.detail),
        "previous": entry.previous,
        "digest": entry.digest,
    }


def time_view(moment: datetime | None) -> str | None:
    """A time, to the millisecond; null where there is none."""
    return None if moment is None else moment.isoformat(timespec="milliseconds")
