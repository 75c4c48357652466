"""A frontend in memory: the rules of docs/protocol.md, "On a frontend", and nothing else of it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property

from orchestrator.domain.activation import NOTHING, Activation, ActivationName
from orchestrator.domain.deployment import Outcome, Report
from orchestrator.domain.effects import Ask
from orchestrator.domain.errors import Problem

#: What a web server that serves another root answers with.
OTHER_DIGEST = "f" * 64

#: A time of day that never goes on, in seconds.
MIDNIGHT = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a frontend says to a step. A value, so that it can be on its way."""

    outcome: Outcome
    why: str = ""
    served: tuple[tuple[str, str], ...] = ()
    at: float | None = None

    def report(self, ask: Ask) -> Report:
        """The answer as the coordinator hears it."""
        problem = Problem(self.why, where=ask.frontend).as_dict() if self.why else {}
        detail = {"served": dict(self.served), "at": self.at}
        return Report(ask.frontend, ask.step, ask.attempt, self.outcome, detail=detail, problem=problem)


ACCEPTED = Answer(Outcome.ACCEPTED)


def refused(why: str) -> Answer:
    """A rule says no, and nothing was changed."""
    return Answer(Outcome.REFUSED, why)


def silence(why: str) -> Answer:
    """What stands for an answer that did not come in time."""
    return Answer(Outcome.UNKNOWN, why)


class SimulatedFrontend:
    """One frontend. `armed` are the links that a word renames over `current`: the right to flip."""

    def __init__(self, name: str, clock: Callable[[], float] = lambda: MIDNIGHT) -> None:
        self.name = name
        self.clock = clock
        self.fence = 0
        self.current = NOTHING
        self.armed: frozenset[ActivationName] = frozenset()
        self.staged: dict[ActivationName, Activation] = {}
        self.ahead: frozenset[ActivationName] = frozenset()
        #: Activations of which a file was changed behind Lockstep's back.
        self.tampered: frozenset[ActivationName] = frozenset()
        #: Whether the web server serves another root than the inventory names.
        self.misrouted = False

    # ── the commands ──

    def stage(self, activation: Activation) -> Answer:
        """What `receive` and `assemble` do at their ends, under the lock. A stage that runs for long has not come here.

        Staging again changes nothing of what is there.
        """
        name = activation.name
        if not self._above_fence(name):
            return self._fenced(name)
        self.staged.setdefault(name, activation)
        if name.epoch > self.current.epoch:
            self.ahead |= {name}
        return ACCEPTED

    def verify(self, name: ActivationName) -> Answer:
        """On disk, then as served."""
        if name not in self.staged:
            return refused("unstaged")
        if name in self.tampered:
            return refused("what lies on the disk is not what was staged")
        placements = self.staged[name].placements
        served = tuple((p.app, OTHER_DIGEST if self.misrouted else p.digest) for p in placements)
        return Answer(Outcome.ACCEPTED, served=served)

    def arm(self, name: ActivationName) -> Answer:
        """Accepted, it waits in a `Conversation` for one word."""
        if not self._above_fence(name):
            return self._fenced(name)
        if name not in self.staged:
            return refused("unstaged")
        self._raise_fence(name.epoch)
        self.armed |= {name}
        return ACCEPTED

    def activate(self, name: ActivationName) -> Answer:
        """Flip without a conversation."""
        if self._reached(name):
            return ACCEPTED
        if name.epoch < self.fence:
            return self._fenced(name)
        if name not in self.staged:
            return refused("unstaged")
        self._raise_fence(name.epoch)
        return self._flip(name)

    def hear_word(self, name: ActivationName) -> Answer:
        """Rename the link over `current`. Whoever raised the fence took it away: that is the epoch check here."""
        if name in self.armed:
            self.armed -= {name}
            return self._flip(name)
        return ACCEPTED if self.current == name else silence("stood down, or overtaken while it was armed")

    def disarm(self, name: ActivationName) -> Answer:
        """Fence the epoch, and remove its activation."""
        if self._reached(name):
            return refused(f"this frontend serves {self.current}")
        if name.epoch < self.fence:
            return self._fenced(name)
        self._raise_fence(name.epoch)
        self.staged.pop(name, None)
        self.ahead -= {name}
        return ACCEPTED

    def confirm(self, name: ActivationName) -> Answer:
        """What a new client is served."""
        return ACCEPTED if self.current == name and not self.misrouted else refused("serves another activation")

    # ── what else happens to it ──

    def tamper(self, name: ActivationName) -> None:
        """Somebody changes a file of a staged activation."""
        self.tampered |= {name}

    def end_of_file(self, name: ActivationName) -> None:
        """The conversation in which it armed ends without a word: it stays on what it serves."""
        self.armed -= {name}

    def stand_down(self) -> None:
        """The time limit of its own is over: the same."""
        self.armed = frozenset()

    def whole(self, name: ActivationName) -> bool:
        """Whether a client who was sent there would get the release, all of it and nothing else."""
        return name in self.staged and name not in self.tampered and not self.misrouted

    # ── below ──

    def _above_fence(self, name: ActivationName) -> bool:
        return name.epoch > self.fence

    def _reached(self, name: ActivationName) -> bool:
        return self.current.epoch >= name.epoch

    def _fenced(self, name: ActivationName) -> Answer:
        return refused(f"epoch {name.epoch} is fenced by {self.fence}")

    def _raise_fence(self, epoch: int) -> None:
        self.fence = max(self.fence, epoch)
        self.armed = frozenset(name for name in self.armed if name.epoch > epoch)

    def _flip(self, name: ActivationName) -> Answer:
        self.current = name
        self.ahead = frozenset(other for other in self.ahead if other.epoch > name.epoch)
        return Answer(Outcome.ACCEPTED, at=self.clock())

    # ── for the explorer ──

    def fork(self) -> SimulatedFrontend:
        """A copy that goes its own way."""
        twin = copy.copy(self)
        twin.__dict__.pop("key", None)
        twin.staged = dict(self.staged)
        return twin

    @cached_property
    def key(self) -> Hashable:
        """Its whole state but its name, as a value."""
        return (self.fence, self.current, self.armed, frozenset(self.staged), self.ahead, self.tampered, self.misrouted)


@dataclass(frozen=True, slots=True)
class Conversation:
    """The open channel of one `arm`. Its frontend's link is its state: once that is gone, no word does anything."""

    frontend: SimulatedFrontend
    name: ActivationName

    def word(self) -> Answer:
        """The word arrives."""
        return self.frontend.hear_word(self.name)

    def end(self) -> None:
        """End of file."""
        self.frontend.end_of_file(self.name)
