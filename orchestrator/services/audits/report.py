"""What an audit leaves behind: the findings that were open when it ended."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.domain.audit.audit import Audit, Known, Outcome
from orchestrator.domain.audit.finding import Kind, order
from orchestrator.domain.errors import UsageError
from orchestrator.ports import Audits

#: Nobody could look: neither right nor wrong.
UNSEEN = (Kind.UNSEEN, Kind.ADDRESS_UNSEEN)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """An audit, and the findings that were open when it ended, or are now, in the order of a report."""

    audit: Audit
    findings: tuple[Known, ...]

    @property
    def conclusive(self) -> bool:
        """Whether what was seen says anything."""
        return self.audit.outcome in (Outcome.CONSISTENT, Outcome.INCONSISTENT)

    def seen(self, known: Known) -> bool:
        """Whether the audit saw it; else it stayed open because nobody looked at it again."""
        return self.conclusive and known.last >= self.audit.id and known.finding.kind not in UNSEEN


def report_of(audits: Audits, audit: Audit) -> AuditReport:
    """What is known of the audit now."""
    ended = audit.ended_at
    if ended is None:
        found = audits.findings(audit.plan.fleet)
    else:
        # An audit opens and closes its findings at the moment that it ends.
        found = [
            known
            for known in audits.findings(audit.plan.fleet, closed=True)
            if known.first <= audit.id and (known.closed_at is None or known.closed_at > ended)
        ]
    return AuditReport(audit, tuple(sorted(found, key=lambda known: order(known.finding))))


def found(audits: Audits, number: int) -> Audit:
    """The audit; `UsageError` where there is none."""
    audit = audits.audit(number)
    if audit is None:
        raise UsageError(f"there is no audit {number}", remedy="see: lockstep audits list")
    return audit
