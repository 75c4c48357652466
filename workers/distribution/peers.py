"""Who has a pack, and who gets it from whom: frontends hand it on to each other (docs/protocol.md, "Packs").

The first frontend gets a pack over SSH and keeps it for a while, below an unguessable name that its web server answers
to. The next ones fetch it there, some at a time, and some of them keep it as well; so the sources double. One that
does not send it, or not what it should, is asked no more once that happened to two; the worker sends it where nobody is
left to be asked, and to who has tried two.
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
#: From one at which so many failed, nobody fetches any more: the first may have failed for reasons of its own.
BLAMED = 2
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
    shared: _Shared = field(compare=False, repr=False)


@dataclass(slots=True)
class _Shared:
    """One pack: who is fetching from whom, who sends it at all, who is to keep it."""

    sources: dict[str, Frontend] = field(default_factory=dict)
    fetching: Counter[str] = field(default_factory=Counter)
    bringing: int = 0
    keeping: int = 0
    blamed: dict[str, set[str]] = field(default_factory=dict)
    over: bool = False

    def trusts(self, name: str) -> bool:
        """Whether no more than one frontend failed to get it there."""
        return len(self.blamed.get(name, ())) < BLAMED


class Peers:
    """The packs of the deployments of one process. Safe to use from several threads."""

    def __init__(self, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._changed = threading.Condition()
        self._packs: dict[tuple[int, str], _Shared] = {}

    def way(self, deployment: int, pack: str, frontends: int, *, fetches: bool = True) -> Way:
        """How the next one of so many frontends is to get it. Waits for one who has it. `got` or `failed` follows.

        Without `fetches` the worker sends it, whoever has it.
        """
        deadline = time.monotonic() + self._patience
        with self._changed:
            shared = self._packs.setdefault((deployment, pack), _Shared())
            while len(self._packs) > MOST_PACKS:
                # Only the coordinator's process hears of a deployment's end.
                self._packs.pop(next(iter(self._packs))).over = True
            while True:
                free = [name for name in shared.sources if shared.fetching[name] < FETCHING]
                if free and fetches:
                    name = min(free, key=lambda each: shared.fetching[each])
                    shared.fetching[name] += 1
                    return Way(shared.sources[name], self._keeps(shared, frontends), shared)
                left = deadline - time.monotonic()
                waits = fetches and not shared.over and (shared.sources or shared.bringing)
                if left <= 0 or not waits:
                    shared.bringing += 1
                    return Way(None, self._keeps(shared, frontends), shared)
                self._changed.wait(left)

    def got(self, way: Way, frontend: Frontend) -> None:
        """It arrived at `frontend`; where it was to keep it, it has it for others now."""
        with self._changed:
            self._end(way.shared, way)
            if way.keeps and way.shared.trusts(frontend.name):
                way.shared.sources[frontend.name] = frontend
            self._changed.notify_all()

    def failed(self, way: Way, frontend: Frontend, *, theirs: bool) -> None:
        """It did not arrive at `frontend`; `theirs`: that may be the fault of whom it fetched from."""
        with self._changed:
            self._end(way.shared, way)
            if theirs and way.source is not None:
                way.shared.blamed.setdefault(way.source.name, set()).add(frontend.name)
                if not way.shared.trusts(way.source.name):
                    way.shared.sources.pop(way.source.name, None)
            self._changed.notify_all()

    def forget(self, deployment: int) -> None:
        """The deployment is over here."""
        with self._changed:
            for key in [key for key in self._packs if key[0] == deployment]:
                self._packs.pop(key).over = True
            self._changed.notify_all()

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
