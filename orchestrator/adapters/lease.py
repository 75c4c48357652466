"""Leases in Redis: who works on what. They make recovery fast, and nothing is safe because of them.

A lease is a key with a token that nobody can guess and a time to live. Its holder renews it until it lets go; a process
that dies, or whose machine vanishes, renews nothing, and the key goes by itself (docs/protocol.md, "Recovery").
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import redis
import structlog
from redis.backoff import NoBackoff
from redis.exceptions import LockError, RedisError
from redis.lock import Lock
from redis.retry import Retry

from orchestrator.domain.errors import UnansweredError

log = structlog.get_logger()

#: A lease is renewed so many times while it lasts.
RENEWALS = 4
#: And at least so often, in seconds, however long it lasts: whoever looks for what nobody leads waits no longer for a
#: holder to come back to a Redis that was emptied (orchestrator/services/recovery.py, `GRACE_SECONDS`).
RENEW_SECONDS = 0.3
#: How long Redis has for an answer, in seconds.
ANSWER_SECONDS = 1.0


class RedisLeases:
    """`orchestrator.ports.Leases`; each lasts `seconds` beyond its last renewal.

    Safe to use from several threads. One thread renews all that this process holds.
    """

    def __init__(self, broker_url: str, seconds: float) -> None:
        self._redis = redis.Redis.from_url(
            plain_url(broker_url),
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self._seconds = seconds
        self._lock = threading.Lock()
        self._held: dict[str, Lock] = {}
        self._renewer: threading.Thread | None = None

    def take(self, name: str) -> RedisLease | None:
        """Hold the lease; None where somebody else does."""
        lock = Lock(self._redis, key(name), timeout=self._seconds, blocking=False, thread_local=False)
        with _answered():
            if not lock.acquire():
                return None
        with self._lock:
            self._held[name] = lock
            if self._renewer is None:
                self._renewer = threading.Thread(target=self._renew, name="leases", daemon=True)
                self._renewer.start()
        return RedisLease(self, name, lock)

    def held(self, names: Sequence[str]) -> frozenset[str]:
        """Those of the leases that somebody holds."""
        if not names:
            return frozenset()
        with _answered():
            tokens = self._redis.mget([key(name) for name in names])
        return frozenset(name for name, token in zip(names, tokens, strict=True) if token is not None)

    def let_go(self, name: str, lock: Lock) -> None:
        """Renew it no more, and let others have it. One that is lost already stays lost."""
        with self._lock:
            if self._held.get(name) is lock:
                del self._held[name]
        with contextlib.suppress(RedisError):
            # Only what still carries this lease's token goes. Whatever else happens, it ends by itself.
            lock.release()

    def _renew(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(min(self._seconds / RENEWALS, RENEW_SECONDS))
            with self._lock:
                held = list(self._held.items())
            for name, lock in held:
                self._renew_one(name, lock)

    def _renew_one(self, name: str, lock: Lock) -> None:
        renewed = self._renewed(lock)
        with self._lock:
            wanted = self._held.get(name) is lock
            if wanted and not renewed:
                del self._held[name]
        if not wanted:
            # It was let go meanwhile, and may have been taken anew after that.
            with contextlib.suppress(RedisError):
                lock.release()
        elif not renewed:
            log.warning("a lease is lost: another worker holds it", lease=name)

    @staticmethod
    def _renewed(lock: Lock) -> bool:
        """Whether it is still, or again, this one's. A Redis that was emptied knows nothing of it: it is taken anew."""
        try:
            lock.reacquire()
        except LockError:
            with contextlib.suppress(RedisError):
                return bool(lock.acquire(blocking=False))
        except RedisError:
            # Nobody knows. The next renewal asks again.
            return True
        return True


class RedisLease:
    """`orchestrator.ports.Lease`."""

    def __init__(self, leases: RedisLeases, name: str, lock: Lock) -> None:
        self._leases = leases
        self._name = name
        self._lock = lock

    def release(self) -> None:
        """Let others have it."""
        self._leases.let_go(self._name, self._lock)


def key(name: str) -> str:
    """The key of a lease in Redis."""
    return f"lockstep:lease:{name}"


def plain_url(broker_url: str) -> str:
    """The URL of a broker as redis-py reads it: Celery has its own words for a Unix socket and a database there."""
    if not broker_url.startswith("redis+socket://"):
        return broker_url
    url = broker_url.replace("redis+socket://", "unix://", 1)
    return re.sub(r"([?&])virtual_host=/?", r"\1db=", url)


@contextmanager
def _answered() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        raise UnansweredError(
            "Redis can't say who leads",
            expected="an answer of the broker's Redis server",
            found=str(error) or type(error).__name__,
            remedy="see that it runs; deployments go on without it",
        ) from error
