"""How the upgrades of devices ended, counted by behaviour."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.ota.behaviour import Behaviour


class Ending(StrEnum):
    """How an upgrade ended. Missed: the server gave the version that the device already holds, and nobody noticed."""

    COMPLETED = "completed"
    FAILED = "failed"
    MISSED = "missed"


@dataclass(slots=True)
class Upgrades:
    """The upgrades of all clients together. `clients`: how many there are of each behaviour."""

    clients: Counter[Behaviour] = field(default_factory=Counter)
    _ended: Counter[tuple[Behaviour, Ending]] = field(default_factory=Counter)

    def end(self, behaviour: Behaviour, ending: Ending) -> None:
        """Count one."""
        self._ended[behaviour, ending] += 1

    def of(self, ending: Ending, behaviour: Behaviour | None = None) -> int:
        """How many ended so, of one behaviour or of all."""
        return sum(self._ended[each, ending] for each in Behaviour if behaviour in {None, each})

    def document(self, behaviour: Behaviour | None = None) -> dict[str, int]:
        """As JSON carries the counts, of one behaviour or of all."""
        return {ending.value: self.of(ending, behaviour) for ending in Ending}

    def behaviours(self) -> dict[str, dict[str, int]]:
        """As JSON carries them, for each behaviour that takes part."""
        return {
            each.value: {"clients": self.clients[each], **self.document(each)}
            for each in Behaviour
            if self.clients[each]
        }
