"""Deployments by the numbers that people and messages name."""

from __future__ import annotations

from orchestrator.domain.deployment import Deployment
from orchestrator.domain.errors import UsageError
from orchestrator.ports import Deployments


def found(ledger: Deployments, number: int) -> Deployment:
    """The deployment's row; `UsageError` where there is none."""
    deployment = ledger.deployment(number)
    if deployment is None:
        raise UsageError(f"there is no deployment {number}", remedy="see: lockstep history")
    return deployment
