"""Who has a pack, and who gets it from whom: frontends hand it on to each other (docs/protocol.md, "Packs").

The first frontend gets a pack over SSH and keeps it for a while, below an unguessable name that its web server answers
to. The next ones fetch it there, some at a time, and some of them keep it as well; so the sources double. One that
does not send it, or not what it should, is asked no more; where nobody is left to be asked, the worker sends it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from inventory.model import Frontend
from orchestrator.domain.activation import ActivationName
from workers.distribution.packs import Form

#: Where a frontend's web server shows the packs that it keeps.
PACKS = "/-/lockstep/packs/"
#: How many frontends fetch from one at the same time: its uplink is shared by them.
FETCHING = 4
#: One frontend in so many keeps the pack for others: each copy is written to a disk.
KEEPING = 8
#: Smaller packs are sent by the worker, in bytes: to fetch one costs a process on the frontend and a request.
SMALL = 256 * 1024
#: Packs that a worker keeps in mind.
MOST_PACKS = 256
#: How long a frontend waits for one that has the pack, in seconds, before the worker sends it.
PATIENCE_SECONDS = 60.0


def pack_name(activation: ActivationName, objects: Sequence[str], form: Form) -> str:
    """As unguessable as the activation's nonce, which nobody knows before the flip; the same for all workers."""
    digest = hashlib.sha256("\n".join([str(activation), *sorted(objects)]).encode()).hexdigest()
    return f"{digest[:32]}.{form}"


@dataclass(frozen=True, slots=True)
class Way:
    """From whom a frontend gets a pack (None: from the worker), and whether it keeps it for others."""

    source: Frontend | None
    keeps: bool


@dataclass(slots=True)
class _Shared:
    """One pack: who is fetching from whom, who sends it at all, who is to keep it."""

    sources: dict[str, Frontend] = field(default_factory=dict)
    fetching: Counter[str] = field(default_factory=Counter)
    bringing: int = 0
    keeping: int = 0
    distrusted: set[str] = field(default_factory=set)


class Peers:
    """The packs of the deployments of one process. Safe to use from several threads."""

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._changed = threading.Condition()
        self._packs: dict[tuple[int, str], _Shared] = {}

    def way(self, deployment: int, pack: str, frontends: int) -> Way:
        """How the next one of so many frontends is to get it. Waits for one who has it. `got` or `failed` follows."""
        deadline = time.monotonic() + self._patience
        with self._changed:
            shared = self._packs.setdefault((deployment, pack), _Shared())
            while len(self._packs) > MOST_PACKS:
                # Only the coordinator's process hears of a deployment's end.
                del self._packs[next(iter(self._packs))]
            while True:
                free = [name for name in shared.sources if shared.fetching[name] < FETCHING]
                if free:
                    name = min(free, key=lambda each: shared.fetching[each])
                    shared.fetching[name] += 1
                    return Way(shared.sources[name], self._keeps(shared, frontends))
                left = deadline - time.monotonic()
                if left <= 0 or not (shared.sources or shared.bringing):
                    shared.bringing += 1
                    return Way(None, self._keeps(shared, frontends))
                self._changed.wait(left)

    def got(self, deployment: int, pack: str, way: Way, frontend: Frontend) -> None:
        """It arrived at `frontend`; where it was to keep it, it has it for others now."""
        with self._changed:
            shared = self._packs.setdefault((deployment, pack), _Shared())
            self._end(shared, way)
            if way.keeps and frontend.name not in shared.distrusted:
                shared.sources[frontend.name] = frontend
            self._changed.notify_all()

    def failed(self, deployment: int, pack: str, way: Way, *, theirs: bool) -> None:
        """It did not arrive; where that may be the other frontend's fault, nobody fetches from there any more."""
        with self._changed:
            shared = self._packs.setdefault((deployment, pack), _Shared())
            self._end(shared, way)
            if theirs and way.source is not None:
                shared.distrusted.add(way.source.name)
                shared.sources.pop(way.source.name, None)
            self._changed.notify_all()

    def forget(self, deployment: int) -> None:
        """The deployment is over here."""
        with self._changed:
            for key in [key for key in self._packs if key[0] == deployment]:
                del self._packs[key]

    @staticmethod
    def _keeps(shared: _Shared, frontends: int) -> bool:
        keeps = len(shared.sources) + shared.keeping < max(2, frontends // KEEPING)
        shared.keeping += keeps
        return keeps

    @staticmethod
    def _end(shared: _Shared, way: Way) -> None:
        shared.keeping -= way.keeps
        if way.source is None:
            shared.bringing -= 1
        else:
            shared.fetching[way.source.name] -= 1
