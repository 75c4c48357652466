"""The ledger's audits, and whoever looks at a fleet for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from orchestrator.domain.audit.audit import Audit, AuditPlan, Known, Outcome
    from orchestrator.domain.audit.expectation import Expectation
    from orchestrator.domain.audit.finding import Identity
    from orchestrator.domain.audit.history import History
    from orchestrator.domain.audit.observation import Seen


class Audits(Protocol):
    """The ledger's audits and findings. What changes anything writes its entry into the trail in the same write."""

    def begin_audit(self, plan: AuditPlan) -> Audit:
        """Open an audit of a fleet.

        `HeldError` while another audit of the fleet is open, or a deployment of it; `ConflictError` where the fleet's
        moment of this schedule (`scheduled_at`, `deep`) has its row already.
        """
        ...

    def note_audit(self, plan: AuditPlan, outcome: Outcome, reason: str) -> Audit | None:
        """The row of a scheduled audit that is never begun: skipped, missed, covered. None where it has one already."""
        ...

    def audit(self, number: int) -> Audit | None:
        """One audit, or None."""
        ...

    def audits(
        self,
        fleet: str | None,
        limit: int,
        *,
        before: int | None = None,
        environments: Collection[str] | None = None,
    ) -> list[Audit]:
        """Audits, newest first: below number `before`, of these environments alone."""
        ...

    def open_audits(self) -> list[Audit]:
        """Every open audit, oldest first."""
        ...

    def last_scheduled(self, fleet: str, *, deep: bool) -> datetime | None:
        """The latest moment of this schedule that has a row, or its starting point; None before `start_schedule`."""
        ...

    def start_schedule(self, fleet: str, *, deep: bool, at: datetime) -> datetime:
        """The schedule counts from this moment on, unless it has a starting point already. Returns the one it has."""
        ...

    def end_audit(
        self, number: int, outcome: Outcome, detail: Mapping[str, Any], history: History | None = None
    ) -> Audit:
        """Close it, and in the same transaction its findings: opened, persisting and closed as `history` says.

        By compare-and-set: one that has ended already stays as it is, its findings too. A finding that opens again
        keeps how often it was healed (see `healed`).
        """
        ...

    def note_findings(self, number: int, history: History) -> None:
        """What an audit knows so far, before it puts anything right. Nothing where it has ended."""
        ...

    def findings(
        self,
        fleet: str | None = None,
        *,
        closed: bool = False,
        limit: int | None = None,
        before: int | None = None,
        environments: Collection[str] | None = None,
    ) -> list[Known]:
        """Findings that are open; with `closed` those of before as well, newest first. All fleets: `fleet` None."""
        ...

    def healed(self, fleet: str) -> Mapping[Identity, int]:
        """How often each finding of the fleet was healed; those above 0 alone.

        It counts while the finding is open, and until it has been closed, and not healed, for 30 days.
        """
        ...

    def note_healed(self, number: int, identities: Sequence[Identity]) -> None:
        """Audit `number` has these put right: each counts one more, once in an audit. They may have no row yet."""
        ...

    def note_escalated(self, number: int, identities: Sequence[Identity]) -> None:
        """Audit `number` gives these up: they were healed too often. They may have no row yet.

        Told to the trail once for each, until it closes.
        """
        ...

    def highest_epoch(self, fleet: str) -> int:
        """The highest epoch that was ever given to the fleet, 0 where there was none."""
        ...


class Surveyor(Protocol):
    """Looks at the frontends of a fleet, its load balancer and its public address. Changes nothing, raises nothing."""

    def survey(self, snapshot: Mapping[str, Any], expectation: Expectation) -> Seen:
        """What was seen. Whatever could not be seen says why in it."""
        ...


class AuditDispatch(Protocol):
    """Hands audits to workers, by id."""

    def audit(self, number: int) -> None:
        """Have some worker run the audit. `LockstepError` when nobody can be asked."""
        ...
