"""Held deployments: what to do when their time comes."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from orchestrator.domain.deployment import Decision, Deployment, State, Trouble
from orchestrator.domain.errors import Problem
from orchestrator.ports import Deployments


class Due(StrEnum):
    """What a held deployment is due for."""

    CONTINUE = "continue"
    EXPIRE = "expire"


def due(deployment: Deployment, now: datetime) -> Due | None:
    """What the time says of a deployment. Only one that is prepared is due for anything."""
    plan = deployment.plan
    if deployment.state is not State.PREPARED or deployment.decision is not None:
        return None
    # Without its hold it was released already, and the message to go on got lost.
    if not plan.hold or (plan.due_at is not None and plan.due_at <= now):
        return Due.CONTINUE
    if plan.expires_at is not None and plan.expires_at <= now:
        return Due.EXPIRE
    return None


def overdue(ledger: Deployments, now: datetime) -> list[int]:
    """Release or abort what is due; the numbers of the deployments that a coordinator must carry on."""
    touched = []
    for deployment in ledger.unfinished():
        match due(deployment, now):
            case Due.CONTINUE:
                ledger.release_hold(deployment.id)
                touched.append(deployment.id)
            case Due.EXPIRE:
                expired = Problem(
                    "the hold expired",
                    expected=f"`lockstep continue {deployment.id}` by {deployment.plan.expires_at:%Y-%m-%d %H:%M} UTC",
                    remedy="deploy again",
                )
                ledger.decide(deployment.id, Decision.ABORT, [Trouble("hold", "", expired.as_dict())])
                touched.append(deployment.id)
    return touched
