"""The schedule of audits: begins what is due, and ends what nobody runs any more. docs/audits.md, "The schedule".

Whoever calls, and how many at once: the ledger has one row for a moment, and one open audit of a fleet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from inventory.model import Fleet, Inventory
from orchestrator.domain.audit.audit import AuditPlan, Outcome
from orchestrator.domain.audit.schedule import due
from orchestrator.domain.errors import ConflictError, HeldError, LockstepError, UnansweredError
from orchestrator.domain.trail import ITSELF
from orchestrator.ports import Audits, Clock, Leases, audit_of
from orchestrator.services.audits.auditing import Auditing
from orchestrator.services.deployments import last_committed
from orchestrator.services.recovery import GRACE_SECONDS

log = structlog.get_logger()

#: So many audits at once, of all fleets: what is due beyond that waits, so that a crowd of them keeps no worker from
#: deployments.
MOST_OPEN = 8
#: How long an audit has to find its worker.
START = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Scheduling:
    """Beginning audits by the inventory's schedules."""

    auditing: Auditing
    inventory: Callable[[], Inventory]
    clock: Clock

    def due(self) -> None:
        """Begin what is due, and note what is not to be begun. `UsageError` where the inventory is wrong.

        What can't be done for one fleet is logged, and keeps no other from its audits.
        """
        for fleet in self.inventory().fleets:
            try:
                self._tend(fleet)
            except LockstepError as error:
                log.warning("a scheduled audit is not begun", fleet=fleet.key, **error.problem.as_dict())
            except Exception:  # a fault of ours with one fleet must not keep others from their audits
                log.exception("a scheduled audit is not begun", fleet=fleet.key)

    def _tend(self, fleet: Fleet) -> None:
        depths = [deep for deep, set_to in ((False, fleet.audits.quick), (True, fleet.audits.deep)) if set_to]
        if not depths or last_committed(self.auditing.ledger, fleet.key) is None:
            return
        now = self.clock()
        what = due(fleet.key, fleet.audits, {deep: self._since(fleet, now, deep=deep) for deep in depths}, now)
        audits = self.auditing.audits
        for passed in what.passed:
            audits.note_audit(_plan(fleet, passed.moment, deep=passed.deep), passed.outcome, passed.reason)
        if what.run is not None:
            self._begin(_plan(fleet, what.run.moment, deep=what.run.deep))

    def _since(self, fleet: Fleet, now: datetime, *, deep: bool) -> datetime:
        """The last moment that has a row; a schedule that is seen first begins now."""
        audits = self.auditing.audits
        last = audits.last_scheduled(fleet.key, deep=deep)
        return last or audits.start_schedule(fleet.key, deep=deep, at=now)

    def _begin(self, plan: AuditPlan) -> None:
        audits = self.auditing.audits
        if len(audits.open_audits()) >= MOST_OPEN:
            return
        try:
            audit = audits.begin_audit(plan)
        except ConflictError as error:
            # Else another audit holds the fleet, and this one waits; or another worker was first with this moment.
            if isinstance(error, HeldError) and "deployment" in error.holder:
                audits.note_audit(plan, Outcome.SKIPPED, error.problem.what)
        else:
            self.auditing.hand_over(audit)


def lost(audits: Audits, leases: Leases, clock: Clock, pause: Callable[[float], None] = time.sleep) -> None:
    """End the audits whose worker is gone. Where Redis can't say who works on what: none.

    Asked twice: a holder may just be renewing its lease in a Redis that was emptied.
    """
    alone = [audit.id for audit in audits.open_audits() if clock() - audit.begun_at > START]
    try:
        alone = _unheld(alone, leases)
        if alone:
            pause(GRACE_SECONDS)
            alone = _unheld(alone, leases)
    except UnansweredError as error:
        log.warning("nobody knows which audits are lost", **error.problem.as_dict())
        return
    for number in alone:
        log.warning("an audit is lost: nobody runs it any more", audit=number)
        audits.end_audit(number, Outcome.LOST, {})


def _unheld(numbers: list[int], leases: Leases) -> list[int]:
    held = leases.held([audit_of(number) for number in numbers])
    return [number for number in numbers if audit_of(number) not in held]


def _plan(fleet: Fleet, moment: datetime, *, deep: bool) -> AuditPlan:
    snapshot = fleet.model_dump(mode="json")
    return AuditPlan(fleet.key, snapshot, deep, fleet.audits.policy.value, ITSELF, scheduled_at=moment)
