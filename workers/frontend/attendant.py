"""The process on a frontend that does a deployment's commands one after the other (docs/frontend.md, "attend").

A channel, a login shell and the script's beginning cost a frontend 10 ms of CPU, and the processes that the script
starts another 15 to 50 for each command: in one process of perl that is paid once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from workers.frontend.answers import STATUSES
from workers.frontend.commands import Command
from workers.frontend.conversation import Conversation


class Attendant:
    """That of one session. Safe to use from several threads: who finds it at work goes without.

    `begin` starts it within a limit in seconds; None where the frontend has none that speaks as this Lockstep does.
    """

    def __init__(self, begin: Callable[[float], Conversation | None]) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._conversation: Conversation | None = None
        self._lent: Conversation | None = None
        self._known_absent = False

    @property
    def at_work(self) -> bool:
        """Whether it does a command just now, or is lent and not given up."""
        lent = self._lent
        return self._lock.locked() or (lent is not None and not lent.closed)

    def forget(self) -> None:
        """End it: the frontend's script was replaced."""
        with self._lock:
            self._end()
            self._known_absent = False

    def do(self, command: Command, stdin: Iterable[bytes], size: int, limit: float) -> tuple[bytes, int | None] | None:
        """Its answer and the exit status that the script would have; None where another way must be gone.

        `stdin` are `size` bytes. Raises `UnansweredError` where nobody knows what came of it.
        """
        with self._taken(limit) as conversation:
            if conversation is None:
                return None
            conversation.say(command.line(size))
            whole = conversation.tell(stdin, size)
            said, status = conversation.answer()
            if status is None or not whole:
                self._end()
            return said, status

    def lend(self, command: Command, limit: float) -> Conversation | None:
        """Start a command that is talked with: by the caller, who brings it `back` or closes it; None as of `do`."""
        with self._taken(limit) as conversation:
            if conversation is not None:
                conversation.say(command.line(0))
                self._conversation, self._lent = None, conversation
            return conversation

    def rest(self) -> None:
        """End it where it has no work just now: it may hold the only channel that is allowed."""
        if self._lock.acquire(blocking=False):
            try:
                self._end()
            finally:
                self._lock.release()

    def lends(self, conversation: Conversation) -> bool:
        """Whether it is the one that was lent: it goes on after the answer."""
        return conversation is self._lent

    def back(self, conversation: Conversation) -> tuple[bytes, int | None] | None:
        """The rest of the answer as of `do`, where it is the one that was lent; with it, the attendant has no work."""
        if conversation is not self._lent:
            return None
        said, status = conversation.answer()
        with self._lock:
            self._lent = None
            # Who stood down may have heard the word too late, and take it for something else.
            if status != STATUSES["OK"] or not said.startswith(b"ACTIVE") or self._conversation is not None:
                conversation.close()
            else:
                self._conversation = conversation
        return said, status

    @contextmanager
    def _taken(self, limit: float) -> Iterator[Conversation | None]:
        if not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            yield self._standing(limit)
        except BaseException:
            # What it does now, and whom the next answer is for, nobody knows.
            self._end()
            raise
        finally:
            self._lock.release()

    def _standing(self, limit: float) -> Conversation | None:
        if self._conversation is not None and (self._conversation.ended or self._conversation.has_said):
            self._end()
        if self._conversation is None and not self._known_absent:
            self._conversation = self._begin(limit)
            self._known_absent = self._conversation is None
        if self._conversation is not None:
            self._conversation.extend(limit)
        return self._conversation

    def _end(self) -> None:
        if self._conversation is not None:
            self._conversation.close()
            self._conversation = None
