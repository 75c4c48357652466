"""What the doctor says: one thing that is wrong, not known, or worth knowing, in words. docs/doctor.md lists them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """Wrong; or nobody could find out; or good to know."""

    WRONG = "wrong"
    UNKNOWN = "unknown"
    NOTE = "note"


class Code(StrEnum):
    """The kinds of findings: their names in `--json` and in docs/doctor.md."""

    OLD_CONTENT = "old-content"
    UNKNOWN_ACTIVATION = "unknown-activation"
    DAMAGED_CONTENT = "damaged-content"
    WEB_SERVER_DIFFERS = "web-server-differs"
    OTHER_BYTES = "other-bytes"
    SILENT_FRONTEND = "silent-frontend"
    UNSEEN_DISK = "unseen-disk"
    DRAINED = "drained"
    DRAIN_NOT_CONFIRMED = "drain-not-confirmed"
    NEW_FRONTEND = "new-frontend"

    STALE_CACHE = "stale-cache"
    KEPT_ANSWER = "kept-answer"
    CHANGED_CONTENT = "changed-content"
    CHANGED_CACHE_CONTROL = "changed-cache-control"
    STRIPPED_ACTIVATION = "stripped-activation"
    STRIPPED_COOKIE = "stripped-cookie"
    OTHER_CONTENT = "other-content"
    FAILING_ADDRESS = "failing-address"
    SILENT_ADDRESS = "silent-address"

    OPEN_DEPLOYMENT = "open-deployment"
    MOVED = "moved"
    NOT_LISTED = "not-listed"
    OTHER_HASH = "other-hash"
    OTHER_FORM = "other-form"
    ADDRESS_ALONE = "address-alone"
    NOTHING_EXAMINED = "nothing-examined"


#: The longest text of a finding, in characters.
MOST_LETTERS = 1_000
#: Where the public address is meant.
ADDRESS = "the public address"


@dataclass(frozen=True, slots=True)
class Finding:
    """One of them. `where` are frontends' names, `ADDRESS`, or nothing for the fleet."""

    code: Code
    severity: Severity
    what: str
    where: Sequence[str] = ()
    expected: str = ""
    found: str = ""
    remedy: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON carries it."""
        return {
            "code": str(self.code),
            "severity": str(self.severity),
            "what": self.what,
            "where": list(self.where),
            "expected": self.expected,
            "found": self.found,
            "remedy": self.remedy,
        }


def gathered(findings: Iterable[Finding]) -> list[Finding]:
    """Those that differ only in where they were found as one; what is wrong first, then what is not known."""
    groups: dict[Finding, list[str]] = {}
    for finding in map(_printable, findings):
        groups.setdefault(replace(finding, where=()), []).extend(finding.where)
    order = list(Severity)
    merged = [replace(finding, where=tuple(where)) for finding, where in groups.items()]
    return sorted(merged, key=lambda finding: order.index(finding.severity))


def _printable(finding: Finding) -> Finding:
    """Much of it comes from other machines: nothing of that may reach a terminal but letters."""
    texts = (finding.what, finding.expected, finding.found, finding.remedy)
    what, expected, found, remedy = (
        "".join(char if char.isprintable() else " " for char in text[:MOST_LETTERS]) for text in texts
    )
    return replace(finding, what=what, expected=expected, found=found, remedy=remedy)


def verdict(findings: Iterable[Finding]) -> Severity | None:
    """The worst of them; None where all is well."""
    found = {finding.severity for finding in findings}
    return next((severity for severity in (Severity.WRONG, Severity.UNKNOWN) if severity in found), None)


def listed(words: Sequence[str], most: int = 3) -> str:
    """The first of them, and how many more there are."""
    more = len(words) - most
    return ", ".join(words) if more <= 0 else f"{', '.join(words[:most])} and {more} more"
