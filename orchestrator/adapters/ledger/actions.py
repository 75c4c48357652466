"""What the ledger's own writes tell the trail (docs/access.md, "The trail"). Pure; nonces never get into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping

from orchestrator.adapters.ledger.rows import trouble_column
from orchestrator.adapters.ledger.tables import deployments, drains
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
