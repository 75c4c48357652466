"""A coordinator's process: a `Coordination`, what it still has to write, and its open conversations."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

from orchestrator.domain.coordination import Coordination
from orchestrator.domain.deployment import Deployment, Report, Step
from orchestrator.domain.effects import Ask, CallOff, Decide, Decided, Effect, Event, Gate, Move, Moved, Prepare, Rest
from orchestrator.ports import Deployments
from tests.protocol.simulation.messages import EndOfFile, Message, Request, Word


class Process:
    """Carries out `machine`'s effects, one write to the ledger at a time; what it sends is returned to the network."""

    def __init__(self, name: str, row: Deployment, machine: Coordination) -> None:
        self.name = name
        self.number = row.id
        self.activation = row.name
        self.frontends = row.plan.frontends
        self.machine = machine
        #: Writes to the ledger that come next, in this order.
        self.todo: tuple[Effect, ...] = ()
        #: What was asked and neither answered nor given up.
        self.awaited: frozenset[Ask] = frozenset()
        #: The frontends that wait, armed, in a conversation with this process.
        self.channels: frozenset[str] = frozenset()
        self.alive = True
        #: Whether its first write is done: until then, what it knows is what it read when it started.
        self.started = False

    @property
    def over(self) -> bool:
        """Whether nothing that it hears makes it do anything any more."""
        return not self.alive or (self.machine.resting and not self.todo)

    def start(self) -> list[Message]:
        """Its first effects."""
        return self._take(self.machine.start())

    def hear(self, event: Event) -> list[Message]:
        """An event reaches it."""
        return self._take(self.machine.on(event)) if self.alive else []

    def write(self, ledger: Deployments) -> list[Message]:
        """Carry out the next write, and hear what it did."""
        effect, self.todo = self.todo[0], self.todo[1:]
        self.started = True
        match effect:
            case Move(before, after):
                return self.hear(Moved(*ledger.move(self.number, before, after)))
            case Prepare():
                return self.hear(Moved(*ledger.prepare(self.number)))
            case Decide(decision, troubles):
                return self.hear(Decided(ledger.decide(self.number, decision, troubles)))
            case Rest(troubles):
                ledger.note_troubles(self.number, troubles)
                return self.hang_up()
            case Ask() | Gate() | CallOff():
                raise AssertionError("asking is no write, and there are no gates here")

    def die(self) -> list[Message]:
        """Whatever it knew is lost. Its conversations end with it."""
        self.alive = False
        self.todo = ()
        return self.hang_up()

    def hang_up(self) -> list[Message]:
        """End every conversation, and wait for nobody any more."""
        ending = [EndOfFile(frontend, self.activation) for frontend in sorted(self.channels)]
        self.channels, self.awaited = frozenset(), frozenset()
        return list(ending)

    def _take(self, effects: Sequence[Effect]) -> list[Message]:
        disarms = any(isinstance(effect, Ask) and effect.step is Step.DISARM for effect in effects)
        sent = self.hang_up() if disarms else []
        for effect in effects:
            if isinstance(effect, Ask):
                sent.append(self._send(effect))
            elif isinstance(effect, Rest) and not effect.troubles:
                sent += self.hang_up()
            else:
                self.todo += (effect,)
        return sent

    def _send(self, ask: Ask) -> Message:
        self.awaited |= {ask}
        if ask.step is Step.ACTIVATE and ask.frontend in self.channels:
            self.channels -= {ask.frontend}
            return Word(self.name, self.activation, ask)
        return Request(self.name, self.activation, ask)

    # ── for the explorer ──

    def fork(self) -> Process:
        """A copy that goes its own way."""
        twin = copy.copy(self)
        twin.__dict__.pop("key", None)
        twin.machine = copy.copy(self.machine)
        for attribute, value in vars(self.machine).items():
            if isinstance(value, dict):
                setattr(twin.machine, attribute, dict(value))
        return twin

    @cached_property
    def key(self) -> tuple[Hashable, Mapping[str, Hashable]]:
        """Everything that it knows, as a value: what is common to all frontends, and what concerns each of them.

        The machine's knowledge is its attributes: those that are dictionaries are by frontend.
        """
        if self.over:
            return None, dict.fromkeys(self.frontends)
        known = vars(self.machine).values()
        common = tuple(value for value in known if not isinstance(value, dict))
        by_frontend = [value for value in known if isinstance(value, dict)]
        # A write that is to come follows from what the machine knows; its kind tells how far it is.
        todo = tuple(type(effect) for effect in self.todo)
        return (
            (common, todo, self.started),
            {
                name: (
                    tuple(_value(of.get(name)) for of in by_frontend),
                    frozenset((ask.step, ask.attempt) for ask in self.awaited if ask.frontend == name),
                    name in self.channels,
                )
                for name in self.frontends
            },
        )


def _value(known: Any) -> Hashable:
    if isinstance(known, Report):
        # Not its problem: words for the operator.
        served = known.detail.get("served", {})
        return (known.attempt, known.outcome, *sorted(served.items()))
    hashable: Hashable = known
    return hashable
