"""What can be on its way between a coordinator and a frontend. Values, so that states of the world can be compared."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property

from orchestrator.domain.activation import Activation, ActivationName
from orchestrator.domain.deployment import Step
from orchestrator.domain.effects import Ask
from tests.protocol.simulation.frontend import Answer, Conversation, SimulatedFrontend


@dataclass(frozen=True)
class EndOfFile:
    """The end of the conversation in which `frontend` armed for the activation `name`."""

    frontend: str
    name: ActivationName

    @cached_property
    def key(self) -> Hashable:
        """The message without its frontend's name."""
        return (type(self), self.name)


@dataclass(frozen=True)
class _OfAsking:
    process: str
    name: ActivationName
    ask: Ask

    @property
    def frontend(self) -> str:
        """The frontend that it comes from, or goes to."""
        return self.ask.frontend

    @cached_property
    def key(self) -> Hashable:
        """The message without its frontend's name."""
        return (type(self), self.process, self.name, self.ask.step, self.ask.attempt)


@dataclass(frozen=True)
class Request(_OfAsking):
    """A command for a frontend, from a coordinator's process."""


@dataclass(frozen=True)
class Word(_OfAsking):
    """The one word, in the conversation that the frontend's arming opened."""


@dataclass(frozen=True)
class Reply(_OfAsking):
    """A frontend's answer, to the process that asked."""

    answer: Answer

    @cached_property
    def key(self) -> Hashable:
        """The message without its frontend's name."""
        return (super().key, self.answer)


Message = Request | Word | EndOfFile | Reply


def told_to_flip(message: Message) -> ActivationName | None:
    """The activation that this message makes current where it arrives, if it is one that does."""
    if isinstance(message, Word) or (isinstance(message, Request) and message.ask.step is Step.ACTIVATE):
        return message.name
    return None


def execute(frontend: SimulatedFrontend, activation: Activation, message: Request | Word) -> Answer:
    """The frontend does what it was asked to."""
    if isinstance(message, Word):
        return Conversation(frontend, activation.name).word()
    return carry_out(frontend, activation, message.ask.step)


def carry_out(frontend: SimulatedFrontend, activation: Activation, step: Step) -> Answer:
    """One command of the frontend's."""
    match step:
        case Step.STAGE:
            return frontend.stage(activation)
        case Step.VERIFY:
            return frontend.verify(activation.name)
        case Step.ARM:
            return frontend.arm(activation.name)
        case Step.ACTIVATE:
            return frontend.activate(activation.name)
        case Step.CONFIRM:
            return frontend.confirm(activation.name)
        case Step.DISARM:
            return frontend.disarm(activation.name)
        case Step.DRAIN | Step.READMIT:
            raise AssertionError("no fleet of these simulations drains anybody")
