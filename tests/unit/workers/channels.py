"""Channels to frontends without a network: what is said to them, and what they answer to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

from tests.unit.workers.jobs import job_of, named
from workers.frontend.conversation import Conversation

FIVE = named(5)
LIMIT = 60.0

Answering = Callable[[bytes], bytes]


class Channel:
    """The other end is `answering`: a word in, what it says to that out. It ends when it has answered the word."""

    exit_status = 0
    closed = False

    def __init__(self, answering: Answering, began: bytes = b"") -> None:
        self._answering = answering
        self._said = began
        self.heard: list[bytes] = []
        self.at: list[float] = []
        self.status_event = threading.Event()

    @property
    def eof_received(self) -> bool:
        """It ends as it exits."""
        return self.status_event.is_set()

    def settimeout(self, _seconds: float) -> None:
        """It never waits."""

    def sendall(self, word: bytes) -> None:
        """The word arrives."""
        answer = self._answering(word)
        self._said += answer
        self.heard.append(word)
        self.at.append(time.time())
        if answer and word.startswith(b"GO"):
            self.status_event.set()

    def recv_ready(self) -> bool:
        """Whether anything was said that nobody has read."""
        return bool(self._said)

    def recv(self, size: int) -> bytes:
        """What was said; the end after the last line."""
        said, self._said = self._said[:size], self._said[size:]
        if not said and not self.eof_received:
            raise TimeoutError
        return said

    def recv_stderr_ready(self) -> bool:
        """Nothing there."""
        return False

    def close(self) -> None:
        """Both ends know at once."""
        self.closed = True
        self.status_event.set()


def showing(offset: float, named_clock: bytes = b"") -> Answering:
    """A frontend whose clock is so far ahead, or that tells this one."""

    def answer(word: bytes) -> bytes:
        if word == b"CLOCK\n":
            return named_clock or f"CLOCK {time.time() + offset:.6f}\n".encode()
        return f"ACTIVE {FIVE} 12.5\nOK\n".encode()

    return answer


def silent(word: bytes) -> bytes:
    """Takes words and does not answer."""
    return b""


def lost(word: bytes) -> bytes:
    """The channel does not stand any more."""
    raise OSError("broken")


def conversation(channel: Channel, limit: float = LIMIT) -> Conversation:
    """Over that channel."""
    return Conversation(job_of(5).frontend, cast("Any", channel), limit)
