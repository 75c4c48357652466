"""Audits and findings as programs read them. Dictionaries that JSON can carry; times are ISO 8601."""

from __future__ import annotations

from orchestrator.domain.audit.audit import Audit, Known
from orchestrator.ports import Audits
from orchestrator.services.views import View, time_view

#: What an audit's detail may say; null where it says nothing.
DETAILS = (
    "epoch",
    "frontends",
    "seconds",
    "hashed",
    "opened",
    "open",
    "closed",
    "healed",
    "healing",
    "escalated",
    "troubles",
    "drained",
    "not_drained",
    "problem",
    "reason",
)
#: Among so many rows the last audit that was begun is looked for: a schedule may have skipped some since.
_RECENT = 50


def audit_view(audit: Audit) -> View:
    """One audit, without its findings."""
    plan = audit.plan
    return {
        "id": audit.id,
        "fleet": plan.fleet,
        "deep": plan.deep,
        "policy": plan.policy,
        "remove_extra": plan.remove_extra,
        "cause": plan.cause.value,
        "actor": plan.actor,
        "scheduled_at": time_view(plan.scheduled_at),
        "begun_at": time_view(audit.begun_at),
        "ended_at": time_view(audit.ended_at),
        "outcome": None if audit.outcome is None else audit.outcome.value,
        **{key: audit.detail.get(key) for key in DETAILS},
    }


def finding_view(known: Known) -> View:
    """One finding. `first_audit` and `last_audit` saw it first and last."""
    return {
        "id": known.id,
        **known.finding.as_dict(),
        "first_audit": known.first,
        "last_audit": known.last,
        "opened_at": time_view(known.opened_at),
        "seen_at": time_view(known.seen_at),
        "closed_at": time_view(known.closed_at),
        "healed": known.healed,
        "escalated_at": time_view(known.escalated_at),
    }


def fleet_audit_view(audits: Audits, fleet: str) -> View:
    """The last audit of a fleet that anybody began, and how many findings are open."""
    begun = [each for each in audits.audits(fleet, _RECENT) if each.outcome is None or each.outcome.begun]
    return {"last": audit_view(begun[0]) if begun else None, "findings": len(audits.findings(fleet))}
