"""What workers answer to whoever waits for it: lists in Redis with names that nobody can guess, which go by themselves.

Nothing of it is in the ledger: such an answer decides nothing, and is of no use a minute later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from orchestrator.adapters.broker import ANSWER_SECONDS, plain_url
from orchestrator.domain.errors import Problem, UnansweredError

#: How long an answer that nobody fetches is kept, in seconds.
KEPT_SECONDS = 60
#: How long one waiting for an answer lasts, in seconds: below the time in which the socket must answer.
TURN_SECONDS = 1.0

T = TypeVar("T")


class Mailbox:
    """The lists of one Redis server."""

    def __init__(self, broker_url: str) -> None:
        self._redis = redis.Redis.from_url(
            plain_url(broker_url),
            socket_timeout=TURN_SECONDS + 4 * ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )

    def put(self, key: str, body: bytes) -> None:
        """A worker's answer. `UnansweredError` where Redis does not take it."""
        try:
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.rpush(key, body)
                pipeline.expire(key, KEPT_SECONDS)
                pipeline.execute()
        except (RedisError, OSError) as error:
            raise UnansweredError("Redis may not have taken the answer", found=_said(error)) from error

    def gather(
        self,
        keys: Iterable[str],
        names: Iterable[str],
        seconds: float,
        read: Callable[[bytes], tuple[str, T]],
        heard: Callable[[int], None],
    ) -> tuple[dict[str, T], Problem]:
        """What those of these `names` answered in time, and what is the matter with the others.

        `read` tells who answers what, "" for nobody; `heard` is told how many have answered.
        """
        lists, waiting = list(keys), set(names)
        seen: dict[str, T] = {}
        deadline = time.monotonic() + seconds
        lacking = nobody("no worker looked in time", f"nothing within {seconds:g} s").problem
        try:
            while waiting and (left := deadline - time.monotonic()) > 0:
                got = self._redis.blpop(lists, timeout=min(TURN_SECONDS, max(left, 0.01)))
                if got is None:
                    continue
                name, found = read(got[1] if isinstance(got[1], bytes) else got[1].encode())
                # The first word counts, and only of who was asked.
                if name in waiting:
                    waiting.discard(name)
                    seen[name] = found
                    heard(len(seen))
            self._redis.delete(*lists)
        except (RedisError, OSError) as error:
            lacking = UnansweredError("the broker can't be reached", found=_said(error)).problem
        return seen, lacking


def nobody(what: str, found: str) -> UnansweredError:
    """The error where no worker does what it was sent for."""
    return UnansweredError(
        what,
        expected="a worker that reaches the ledger, the broker and the frontend",
        found=found,
        remedy="see that workers run (lockstep standalone, or lockstep-worker), and of this version",
    )


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
