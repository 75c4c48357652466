"""What the ledger's own writes tell the trail (docs/access.md, "The trail"). Pure; nonces never get into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping

from orchestrator.adapters.ledger.rows import trouble_column
from orchestrator.adapters.ledger.tables import deployments, drains
from orchestrator.domain.audit.finding import Finding, Identity
from orchestrator.domain.build import Build
from orchestrator.domain.deployment import Deployment, State, Trouble
from orchestrator.domain.trail import ITSELF, Action
from orchestrator.ports import ReleaseRecord

#: The columns of a deployment that its actions tell.
DEPLOYMENT = (
    deployments.c.id,
    deployments.c.fleet,
    deployments.c.epoch,
    deployments.c.kind,
    deployments.c.state,
    deployments.c.skew,
    deployments.c.readmits,
)
#: The columns of a drain that its actions tell.
DRAIN = (drains.c.id, drains.c.fleet, drains.c.frontend, drains.c.epoch)

#: How many findings an entry shows; the others it counts. A broken disk has thousands.
EXAMPLES = 20
#: How much of a path it shows, in characters.
PATH = 255

#: What it is called that a deployment has come to a state. The others are named for them.
_NAMES: Mapping[State, str] = {State.ACTIVATING: "deployment.committed"}


def release_added(record: ReleaseRecord, actor: str) -> Action:
    """A release is in the ledger. Sizes are in bytes."""
    detail = {
        "app": record.app,
        "version": record.version,
        "digest": record.digest,
        "files": record.files,
        "size": record.size,
    }
    return Action("release.added", actor, detail=detail)


def build_action(name: str, build: Build, actor: str) -> Action:
    """A build was recorded or retired."""
    detail = {
        "environment": build.environment,
        "app": build.app,
        "build": build.id,
        "version": build.version,
        "platform": build.platform,
    }
    return Action(name, actor, detail=detail)


def planned(deployment: Deployment) -> Action:
    """A deployment was planned, by whom and of what."""
    plan = deployment.plan
    detail: dict[str, Any] = {
        "state": deployment.state.value,
        "epoch": deployment.epoch,
        "kind": plan.kind.value,
        "changes": dict(plan.changes),
        "frontends": list(plan.frontends),
        "hold": plan.hold,
    }
    if plan.due_at is not None:
        detail["due_at"] = plan.due_at.isoformat()
    return Action("deployment.planned", plan.actor, plan.fleet, deployment.id, detail)


def came_to(row: RowMapping, actor: str = ITSELF, troubles: Sequence[Trouble] = ()) -> Action:
    """A deployment is in the state that its row has now."""
    state = State(row["state"])
    return deployment_action(_NAMES.get(state, f"deployment.{state}"), row, actor, troubles)


def deployment_action(name: str, row: RowMapping, actor: str = ITSELF, troubles: Sequence[Trouble] = ()) -> Action:
    """Something that happened to a deployment. `skew` is in seconds."""
    detail: dict[str, Any] = {"state": row["state"], "epoch": row["epoch"], "kind": row["kind"]}
    if troubles:
        detail["troubles"] = trouble_column(troubles)
    if row["skew"] is not None:
        detail["skew"] = row["skew"]
    return Action(name, actor, row["fleet"], row["id"], detail)


def drain_action(name: str, row: RowMapping, actor: str = ITSELF, deployment: int | None = None, **more: Any) -> Action:
    """Something that happened to a frontend's place in the rotation."""
    detail = {"frontend": row["frontend"], "drain": row["id"], "epoch": row["epoch"], **more}
    return Action(name, actor, row["fleet"], deployment, detail)


def audit_action(name: str, row: RowMapping, actor: str = ITSELF) -> Action:
    """Something that happened to an audit, and what is known of it by then."""
    detail: dict[str, Any] = {**row["detail"], "audit": row["id"], "deep": row["deep"], "policy": row["policy"]}
    if row["scheduled_at"] is not None:
        detail["scheduled_at"] = row["scheduled_at"].isoformat()
    if row["outcome"] is not None:
        detail["outcome"] = row["outcome"]
    return Action(name, actor, row["fleet"], detail=detail)


def findings_action(name: str, audit: RowMapping, changed: Sequence[Finding]) -> Action:
    """What an audit opened or closed: one entry for all of them, the most serious ones as examples."""
    shown = sorted(changed, key=lambda each: each.seriousness.rank)[:EXAMPLES]
    detail = {
        "audit": audit["id"],
        "count": len(changed),
        "seriousness": dict(Counter(each.seriousness.value for each in changed)),
        "examples": [{**_example(each.identity), "seriousness": each.seriousness.value} for each in shown],
    }
    return Action(name, ITSELF, audit["fleet"], detail=detail)


def treatments_action(name: str, audit: RowMapping, treated: Sequence[Identity]) -> Action:
    """What an audit healed or gave up: one entry for all of them, with examples."""
    examples = [_example(each) for each in treated[:EXAMPLES]]
    detail = {"audit": audit["id"], "count": len(treated), "examples": examples}
    return Action(name, ITSELF, audit["fleet"], detail=detail)


def _example(identity: Identity) -> dict[str, str]:
    _, frontend, kind, path = identity
    return {"frontend": frontend, "kind": kind.value, "path": path[:PATH]}
