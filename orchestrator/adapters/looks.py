"""Looks at frontends' disks: workers are sent by a message, and answer through a list in Redis.

Nothing of it is in the ledger: a look changes nothing, decides nothing, and is of no use a minute later. Answers go to
a list whose name nobody can guess, and which goes by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from orchestrator.adapters.dispatch import CeleryDispatch
from orchestrator.adapters.lease import ANSWER_SECONDS, plain_url
from orchestrator.domain.errors import LockstepError, UnansweredError
from orchestrator.ota.doctor.look import Errand, Look, Unseen, answer, read_answer

#: How long an answer that nobody fetches is kept, in seconds.
KEPT_SECONDS = 60
#: How long one waiting for an answer lasts, in seconds: below the time in which the socket must answer.
TURN_SECONDS = 1.0


class RedisLooks:
    """`orchestrator.ports.Looks`."""

    def __init__(self, broker_url: str, dispatch: CeleryDispatch) -> None:
        self._dispatch = dispatch
        self._redis = redis.Redis.from_url(
            plain_url(broker_url),
            socket_timeout=TURN_SECONDS + 4 * ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )

    def look(
        self, errands: Sequence[Errand], seconds: float, heard: Callable[[int], None] = lambda _: None
    ) -> Mapping[str, Look | Unseen]:
        """Have workers look, and wait for at most `seconds`. Every frontend is in the answer; nothing is raised."""
        try:
            if not self._dispatch.workers():
                raise _nobody("no worker answers", "none within 2 s")
            for errand in errands:
                self._dispatch.look(errand.words(), seconds)
        except LockstepError as error:
            return {errand.frontend: Unseen(error.problem) for errand in errands}
        return self._gather(errands, seconds, heard)

    def put(self, errand: Errand, seen: Look | Unseen) -> None:
        """A worker's answer. `UnansweredError` where Redis does not take it."""
        name = key(errand.nonce)
        try:
            with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.rpush(name, answer(errand.frontend, seen))
                pipeline.expire(name, KEPT_SECONDS)
                pipeline.execute()
        except (RedisError, OSError) as error:
            raise UnansweredError("Redis may not have taken the answer", found=_said(error)) from error

    def _gather(
        self, errands: Sequence[Errand], seconds: float, heard: Callable[[int], None]
    ) -> Mapping[str, Look | Unseen]:
        waiting = {errand.frontend: errand for errand in errands}
        nonces = {errand.nonce for errand in errands}
        seen: dict[str, Look | Unseen] = {}
        deadline = time.monotonic() + seconds
        lacking = _nobody("no worker looked in time", f"nothing within {seconds:g} s").problem
        try:
            while waiting and (left := deadline - time.monotonic()) > 0:
                got = self._redis.blpop([key(nonce) for nonce in nonces], timeout=min(TURN_SECONDS, max(left, 0.01)))
                if got is None:
                    continue
                name, found = _read(got[1] if isinstance(got[1], bytes) else got[1].encode())
                # The first word counts, and only of who was asked.
                if waiting.pop(name, None) is not None:
                    seen[name] = found
                    heard(len(seen))
            self._redis.delete(*(key(nonce) for nonce in nonces))
        except (RedisError, OSError) as error:
            lacking = UnansweredError("the broker can't be reached", found=_said(error)).problem
        return {**{name: Unseen(lacking) for name in waiting}, **seen}


def key(nonce: str) -> str:
    """The key of the list in Redis."""
    return f"lockstep:look:{nonce}"


def _read(body: bytes) -> tuple[str, Look | Unseen]:
    try:
        return read_answer(body)
    except LockstepError as error:
        return "", Unseen(error.problem)


def _nobody(what: str, found: str) -> UnansweredError:
    return UnansweredError(
        what,
        expected="a worker that reaches the ledger, the broker and the frontend",
        found=found,
        remedy="see that workers run (lockstep standalone, or lockstep-worker), and of this version",
    )


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
