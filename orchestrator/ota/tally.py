"""What the observer counts. docs/observe.md says what each count means."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, zip_longest

from orchestrator.ota.upgrades import Upgrades

#: How many findings are shown, how many versions are listed, and how many epochs of each.
SAMPLES = 20
VERSIONS = 1_000


class Count(StrEnum):
    """The three counts that must be zero."""

    TORN = "torn"
    BACKWARD = "backward"
    ERRORS = "errors"


class Kind(StrEnum):
    """What was found. Each kind belongs to one count."""

    MISSING = "missing"
    OTHER_BYTES = "other-bytes"
    NO_MANIFEST = "no-manifest"
    OTHER_MANIFEST = "other-manifest"
    MIXED = "mixed"
    BACKWARD = "backward"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    STATUS = "status"
    REDIRECT = "redirect"
    MALFORMED = "malformed"
    OVERSIZE = "oversize"
    UNNAMED = "unnamed"

    @property
    def counted(self) -> Count:
        """Where it is counted."""
        if self is Kind.BACKWARD:
            return Count.BACKWARD
        return Count.TORN if self in _TORN else Count.ERRORS


_TORN = frozenset({Kind.MISSING, Kind.OTHER_BYTES, Kind.NO_MANIFEST, Kind.OTHER_MANIFEST, Kind.MIXED})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with an answer: what was expected, what was found."""

    kind: Kind
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault, where it was found, the epoch that the answer named, and when, in seconds since the start."""

    fault: Fault
    url: str
    epoch: int | None
    at: float

    def document(self) -> dict[str, object]:
        """As JSON carries it."""
        return {
            "count": self.fault.kind.counted.value,
            "kind": self.fault.kind.value,
            "url": _shown(self.url),
            "expected": _shown(self.fault.expected),
            "found": _shown(self.fault.found),
            "epoch": self.epoch,
            "at": round(self.at, 3),
        }


@dataclass(slots=True)
class Version:
    """A version token: the epochs under which it was served, and when (seconds since the start) and how often."""

    token: str
    first: float
    last: float
    count: int = 0
    epochs: set[int] = field(default_factory=set)

    def document(self) -> dict[str, object]:
        """As JSON carries it."""
        return {
            "token": self.token,
            "epochs": sorted(self.epochs),
            "first": round(self.first, 3),
            "last": round(self.last, 3),
            "count": self.count,
        }


@dataclass(slots=True)
class Tally:
    """The counts of all clients together.

    `checks` are the answers that were judged, `unjudged` those of which nobody could say which release they belong
    to, `resent` the requests that were sent again because a kept connection had just been closed.
    """

    checks: int = 0
    unjudged: int = 0
    resent: int = 0
    seconds: float = 0.0
    kinds: Counter[Kind] = field(default_factory=Counter)
    versions: dict[str, Version] = field(default_factory=dict)
    upgrades: Upgrades = field(default_factory=Upgrades)
    _samples: dict[Kind, list[Finding]] = field(default_factory=dict)

    def find(self, finding: Finding) -> None:
        """Count a finding; the first of each kind are kept as samples."""
        kind = finding.fault.kind
        self.kinds[kind] += 1
        kept = self._samples.setdefault(kind, [])
        if len(kept) < SAMPLES:
            kept.append(finding)

    def see(self, token: str, epoch: int | None, at: float) -> None:
        """Note that a version check answered `token`, under `epoch` if it named one, `at` seconds after the start."""
        version = self.versions.get(token)
        if version is None:
            if len(self.versions) >= VERSIONS:
                return
            version = self.versions[token] = Version(token, at, at)
        version.last = at
        version.count += 1
        if epoch is not None and len(version.epochs) < VERSIONS:
            version.epochs.add(epoch)

    def of(self, count: Count) -> int:
        """How many findings belong to `count`."""
        return sum(number for kind, number in self.kinds.items() if kind.counted is count)

    @property
    def good(self) -> bool:
        """Nothing was found, and something was looked at: no checks prove nothing."""
        return self.checks > 0 and not self.kinds.total()

    @property
    def newest_epoch(self) -> int | None:
        """The highest epoch that a version check named, or None."""
        return max(chain.from_iterable(v.epochs for v in self.versions.values()), default=None)

    @property
    def samples(self) -> list[Finding]:
        """At most `SAMPLES` findings, in order of time: of each kind the first, then the second, and so on."""
        rounds = zip_longest(*self._samples.values())
        picked = [finding for finding in chain.from_iterable(rounds) if finding is not None][:SAMPLES]
        return sorted(picked, key=lambda finding: finding.at)

    def document(self) -> dict[str, object]:
        """As JSON carries it; docs/observe.md describes the fields."""
        versions = sorted(self.versions.values(), key=lambda version: version.first)
        return {
            "seconds": round(self.seconds, 3),
            "checks": self.checks,
            **{count.value: self.of(count) for count in Count},
            "kinds": {kind.value: self.kinds[kind] for kind in Kind if self.kinds[kind]},
            "unjudged": self.unjudged,
            "resent": self.resent,
            "upgrades": self.upgrades.document(),
            "behaviours": self.upgrades.behaviours(),
            "versions": [version.document() for version in versions],
            "samples": [finding.document() for finding in self.samples],
        }


def _shown(text: str) -> str:
    """Text of a server, fit for a terminal: one line, short, nothing that moves a cursor."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:300])
