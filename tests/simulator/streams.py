"""SSH channels between a worker's thread and a frontend: in order, and broken where anything of one gets lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.deployment import Outcome
from orchestrator.domain.errors import RefusedError, UnansweredError
from tests.protocol.simulation.frontend import Answer
from tests.simulator.actors import Actor
from tests.simulator.frontend import Frontend


@dataclass(frozen=True, slots=True)
class Request:
    """A command. `arms` is the activation for which it opens a conversation, if it does."""

    label: str
    act: Callable[[Frontend], Answer]
    arms: ActivationName | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """The one word of a conversation."""

    name: ActivationName
    label: str = "word"


@dataclass(frozen=True, slots=True)
class EndOfFile:
    """The worker's end is closed, or broke."""

    label: str = "end of file"


class Stream:
    """One channel, and what is on its way in it.

    `heard` is the answer that has reached the worker, `broken` that none will any more.
    """

    def __init__(self, number: int, frontend: Frontend) -> None:
        self.number = number
        self.frontend = frontend
        self.to_frontend: deque[Request | Word | EndOfFile] = deque()
        self.to_worker: deque[Answer] = deque()
        self.heard: Answer | None = None
        #: Who waits for the answer.
        self.listener: Actor | None = None
        self.broken = False
        #: What is on its way in it is so until then.
        self.sleeps_until = 0.0
        self._closed = False
        #: At the frontend: the activation for which it waits for a word here.
        self.waits_for: ActivationName | None = None

    # ── the worker's end ──

    def ask(self, request: Request) -> None:
        """Send a command."""
        self.to_frontend.append(request)

    def say(self, name: ActivationName) -> None:
        """Send the word; an answer follows, where nothing has broken."""
        self.heard = None
        if not self.broken:
            self.to_frontend.append(Word(name))

    def close(self) -> None:
        """The worker's end closes, or its process has ended."""
        if not self._closed:
            self._closed = self.broken = True
            self.to_worker.clear()
            self._end()

    @property
    def answered(self) -> bool:
        """Whether a worker that waits needs to wait no more."""
        return self.broken or self.heard is not None

    def answer(self) -> Answer:
        """What was heard; `RefusedError` and `UnansweredError` as the real transport raises them."""
        if self.heard is None:
            raise UnansweredError("no answer", where=self.frontend.name)
        if self.heard.outcome is Outcome.REFUSED:
            raise RefusedError(self.heard.why, where=self.frontend.name)
        if self.heard.outcome is Outcome.UNKNOWN:
            raise UnansweredError(self.heard.why, where=self.frontend.name)
        return self.heard

    # ── the network ──

    def cut(self) -> None:
        """The connection breaks: what is on its way is lost. The frontend's end notices, sooner or later."""
        self.to_frontend.clear()
        self.to_worker.clear()
        self._closed = self.broken = True
        self._end()

    def _end(self) -> None:
        """Only one who waits for a word, or will, has a use for it."""
        arms = (message.arms is not None for message in self.to_frontend if isinstance(message, Request))
        if self.waits_for is not None or any(arms):
            self.to_frontend.append(EndOfFile())

    def to_repeat(self) -> Request | None:
        """The command that is on its way, if there is one: it may come to be sent twice."""
        first = self.to_frontend[0] if self.to_frontend else None
        return first if isinstance(first, Request) else None

    # ── the frontend's end ──

    def arrive(self) -> None:
        """What was sent first reaches the frontend, and is done."""
        frontend, message = self.frontend, self.to_frontend.popleft()
        match message:
            case Request(act=act, arms=arms):
                answer = act(frontend)
                if arms is not None and answer.outcome is Outcome.ACCEPTED:
                    self.waits_for = arms
                self._reply(answer)
            case Word(name=name):
                self.waits_for = None
                self._reply(frontend.hear_word(name))
            case EndOfFile():
                if self.waits_for is not None:
                    frontend.end_of_file(self.waits_for)
                    self.waits_for = None

    def reply_arrives(self) -> None:
        """The answer reaches the worker."""
        self.heard = self.to_worker.popleft()

    def _reply(self, answer: Answer) -> None:
        if not self.broken:
            self.to_worker.append(answer)

    @property
    def spent(self) -> bool:
        """Whether nothing can come of it any more."""
        return self._closed and not self.to_frontend

    @property
    def state(self) -> Hashable:
        """What is on its way, as a value."""
        return (
            self.frontend.name,
            None if self.listener is None else self.listener.name,
            tuple(message.label for message in self.to_frontend),
            tuple(self.to_worker),
            self.heard,
            self.broken,
            self.waits_for,
        )
