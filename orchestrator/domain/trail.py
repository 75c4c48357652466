"""The trail: everything that changed anything, in order, each entry bound to the one before it by a hash.

An entry's digest is the SHA-256 of its canonical JSON, the previous entry's digest included. Who changes or removes
one breaks every digest after it (docs/access.md, "The trail"). The entries are also the events that the API streams
and that hooks tell others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from orchestrator.domain.errors import LockstepError

#: What the first entry has in place of a previous digest.
BEGINNING = "0" * 64
#: Who acts where nobody asked: the workers, by what the ledger says.
ITSELF = "lockstep"


class UnreadableError(LockstepError):
    """An entry of the trail that is no entry: whatever wrote it was not Lockstep."""


@dataclass(frozen=True, slots=True)
class Action:
    """What somebody did. `fleet` is ``environment/fleet`` or "", `deployment` a number or None; `detail` is JSON."""

    name: str
    actor: str
    fleet: str = ""
    deployment: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """An action in the trail. `number` counts from 1 without a gap; `at` is in UTC."""

    number: int
    at: datetime
    action: Action
    previous: str
    digest: str

    def computed(self) -> str:
        """The digest that it should have."""
        document = {
            "action": self.action.name,
            "actor": self.action.actor,
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
            "deployment": self.action.deployment,
            "detail": dict(self.action.detail),
            "fleet": self.action.fleet,
            "number": self.number,
            "previous": self.previous,
        }
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def following(action: Action, at: datetime, number: int = 0, digest: str = BEGINNING) -> Entry:
    """The entry that comes after that of this number and digest; by default the first."""
    draft = Entry(number + 1, at, action, digest, "")
    return replace(draft, digest=draft.computed())


def broken(entries: Iterable[Entry], last: Entry | None = None) -> str | None:
    """What is wrong with the first entry that does not follow; None where all of them do. `last` comes before them."""
    number, previous = (0, BEGINNING) if last is None else (last.number, last.digest)
    for entry in entries:
        number += 1
        if entry.number != number:
            return f"entry {number} is missing: entry {entry.number} comes in its place"
        if entry.previous != previous:
            return f"entry {number} does not follow the entry before it"
        if entry.digest != entry.computed():
            return f"entry {number} was changed"
        previous = entry.digest
    return None
