"""Findings of before and of now: what opens, what persists, what closes. Pure; docs/audits.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from orchestrator.domain.audit.finding import Finding, order


@dataclass(frozen=True, slots=True)
class History:
    """Each finding in one place, in the order of a report.

    `opened` and `persisting` are as they were seen now. `closed` and `unsettled` are as they were known: closed is what
    was looked at and not found again, unsettled what nobody looked at: it stays open.
    """

    opened: tuple[Finding, ...]
    persisting: tuple[Finding, ...]
    closed: tuple[Finding, ...]
    unsettled: tuple[Finding, ...]

    @property
    def open(self) -> tuple[Finding, ...]:
        """All that is open now."""
        return tuple(sorted((*self.opened, *self.persisting, *self.unsettled), key=order))

    @property
    def consistent(self) -> bool:
        """Whether nothing is open: an audit exits with 0 only then."""
        return not self.open


def history(known: Iterable[Finding], now: Iterable[Finding], settles: Callable[[Finding], bool]) -> History:
    """From the findings that were `known` and open, and those of `now`.

    `settles` says whether the audit would have found a finding again, were it still there: `Coverage.settles`.
    """
    before = {finding.identity: finding for finding in known}
    found = {finding.identity: finding for finding in now}
    gone = [finding for identity, finding in before.items() if identity not in found]
    return History(
        opened=_sorted(finding for identity, finding in found.items() if identity not in before),
        persisting=_sorted(finding for identity, finding in found.items() if identity in before),
        closed=_sorted(finding for finding in gone if settles(finding)),
        unsettled=_sorted(finding for finding in gone if not settles(finding)),
    )


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=order))
