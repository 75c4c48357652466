"""The use case of audits: begin one. `report` tells how it went."""

from __future__ import annotations

from dataclasses import dataclass

from inventory.model import Fleet
from orchestrator.domain.audit.audit import Audit, AuditPlan, Outcome
from orchestrator.domain.audit.healing import Policy
from orchestrator.domain.errors import LockstepError, UsageError
from orchestrator.ports import AuditDispatch, Audits, Deployments
from orchestrator.services.deployments import last_committed


@dataclass(frozen=True, slots=True)
class Auditing:
    """Having fleets audited."""

    ledger: Deployments
    audits: Audits
    dispatch: AuditDispatch

    def begin(
        self,
        fleet: Fleet,
        actor: str,
        *,
        deep: bool = False,
        policy: Policy | None = None,
        remove_extra: bool = False,
    ) -> Audit:
        """Open an audit, and have a worker run it. `policy` is the fleet's own where it is None.

        Raises:
            UsageError: The fleet serves nothing yet.
            HeldError: A deployment or another audit holds the fleet.
        """
        if last_committed(self.ledger, fleet.key) is None:
            raise UsageError(
                f"{fleet.key} serves nothing yet: there is nothing to audit",
                remedy=f"deploy to it first: lockstep deploy {fleet.key} APP=VERSION",
            )
        chosen = policy or Policy(fleet.audits.policy.value)
        plan = AuditPlan(fleet.key, fleet.model_dump(mode="json"), deep, chosen.value, actor, remove_extra)
        return self.hand_over(self.audits.begin_audit(plan))

    def hand_over(self, audit: Audit) -> Audit:
        """To a worker. Where nobody can be asked it ends as failed, so that the fleet is free."""
        try:
            self.dispatch.audit(audit.id)
        except LockstepError as error:
            self.audits.end_audit(audit.id, Outcome.FAILED, {"problem": error.problem.as_dict()})
            raise
        return audit
