"""What holds a fleet, in an operator's words: an open deployment, or an open audit."""

from __future__ import annotations

from orchestrator.domain.audit.audit import Audit
from orchestrator.domain.deployment import Deployment
from orchestrator.domain.errors import ConflictError, HeldError


def held_by_deployment(fleet: str, holder: Deployment | None) -> ConflictError:
    """An open deployment holds the fleet; `holder` is None where it has ended meanwhile."""
    if holder is None:
        return ConflictError(f"another deployment of {fleet} was planned at this moment", remedy="try again")
    # What is committed can't be ended, only carried out.
    way = f"or end it: lockstep abort {holder.id}"
    if holder.decision is not None:
        way = f"or have it carried on now: lockstep continue {holder.id}"
    return HeldError(
        f"deployment {holder.id} of {fleet} is open",
        {
            "deployment": holder.id,
            "state": str(holder.state),
            "actor": holder.plan.actor,
            "since": holder.created_at.isoformat(timespec="milliseconds"),
        },
        expected="no open deployment of the fleet",
        found=f"{holder.state}, by {holder.plan.actor}, since {holder.created_at:%Y-%m-%d %H:%M:%S} UTC",
        remedy=f"wait for it: the same command with --wait; watch it: lockstep deployments show {holder.id}; {way}",
    )


def held_by_audit(fleet: str, holder: Audit | None) -> ConflictError:
    """An open audit holds the fleet, for other audits alone; `holder` is None where it has ended meanwhile."""
    if holder is None:
        return ConflictError(f"another audit of {fleet} was begun at this moment", remedy="try again")
    return HeldError(
        f"audit {holder.id} of {fleet} is open",
        {
            "audit": holder.id,
            "actor": holder.plan.actor,
            "since": holder.begun_at.isoformat(timespec="milliseconds"),
        },
        expected="no open audit of the fleet",
        found=f"begun by {holder.plan.actor}, at {holder.begun_at:%Y-%m-%d %H:%M:%S} UTC",
        remedy=f"wait for it, and look at what it found: lockstep audits show {holder.id}",
    )
