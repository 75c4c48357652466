"""Leases in Redis: who works on what. They make recovery fast, and nothing is safe because of them.

A lease is a key with a token that nobody can guess and a time to live. Its holder renews it until it lets go; a process
that dies, or whose machine vanishes, renews nothing, and the key goes by itself (docs/protocol.md, "Recovery").
"""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import redis
import structlog
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from orchestrator.adapters.broker import ANSWER_SECONDS, plain_url
from orchestrator.domain.errors import UnansweredError

log = structlog.get_logger()

#: A lease is renewed so many times while it lasts.
RENEWALS = 4
#: And at least so often, in seconds, however long it lasts: whoever looks for what nobody leads waits no longer for a
#: holder to come back to a Redis that was emptied (orchestrator/services/recovery.py, `GRACE_SECONDS`).
RENEW_SECONDS = 0.3

#: Lets go of a lease that still carries the token: KEYS[1] with ARGV[1].
RELEASE = """
if redis.call('get', KEYS[1]) == ARGV[1] then
    return redis.call('del', KEYS[1])
end
return 0
"""

#: Renews many leases in one round trip: KEYS[i] with the token ARGV[i + 1], each for ARGV[1] milliseconds. One that is
#: not there any more (a Redis that was emptied, a renewal that came late) is taken anew; another's is left alone. For
#: each 1 where it is still, or again, this token's, else 0.
RENEW = """
local kept = {}
for i, key in ipairs(KEYS) do
    local token = redis.call('get', key)
    if not token or token == ARGV[i + 1] then
        redis.call('set', key, ARGV[i + 1], 'PX', ARGV[1])
        kept[i] = 1
    else
        kept[i] = 0
    end
end
return kept
"""


class RedisLeases:
    """`orchestrator.ports.Leases`; each lasts `seconds` beyond its last renewal.

    Safe to use from several threads. One thread renews all that this process holds, in one round trip: each word to
    Redis waits several times for the interpreter, which is long where many threads are busy.
    """

    def __init__(self, broker_url: str, seconds: float) -> None:
        self._redis = redis.Redis.from_url(
            plain_url(broker_url),
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )
        self._release = self._redis.register_script(RELEASE)
        self._renewal = self._redis.register_script(RENEW)
        self._seconds = seconds
        self._milliseconds = int(seconds * 1000)
        self._lock = threading.Lock()
        # Tokens by name. A name that is taken again has another one.
        self._held: dict[str, str] = {}
        self._renewer: threading.Thread | None = None

    def take(self, name: str) -> RedisLease | None:
        """Hold the lease; None where somebody else does."""
        token = secrets.token_hex(16)
        with _answered():
            if not self._redis.set(key(name), token, nx=True, px=self._milliseconds):
                return None
        with self._lock:
            self._held[name] = token
            if self._renewer is None:
                self._renewer = threading.Thread(target=self._renew_for_ever, name="leases", daemon=True)
                self._renewer.start()
        return RedisLease(self, name, token)

    def held(self, names: Sequence[str]) -> frozenset[str]:
        """Those of the leases that somebody holds."""
        if not names:
            return frozenset()
        with _answered():
            tokens = self._redis.mget([key(name) for name in names])
        return frozenset(name for name, token in zip(names, tokens, strict=True) if token is not None)

    def let_go(self, name: str, token: str) -> None:
        """Renew it no more, and let others have it. One that is lost already stays lost."""
        with self._lock:
            if self._held.get(name) == token:
                del self._held[name]
        with contextlib.suppress(RedisError):
            # Only what still carries this token goes. Whatever else happens, it ends by itself.
            self._release(keys=[key(name)], args=[token])

    def _renew_for_ever(self) -> None:
        pause, every = threading.Event(), min(self._seconds / RENEWALS, RENEW_SECONDS)
        while True:
            began = time.monotonic()
            with self._lock:
                held = dict(self._held)
            if held:
                self._renew(held)
            # A renewal that took its time does not make the next one late.
            pause.wait(max(0.0, began + every - time.monotonic()))

    def _renew(self, held: Mapping[str, str]) -> None:
        try:
            kept = self._renewal(keys=[key(name) for name in held], args=[self._milliseconds, *held.values()])
        except (RedisError, OSError):
            # Nobody knows. The next renewal asks again.
            return
        for (name, token), mine in zip(held.items(), kept, strict=True):
            with self._lock:
                wanted = self._held.get(name) == token
                if wanted and not mine:
                    del self._held[name]
            if not wanted and mine:
                # It was let go meanwhile, and may have been taken anew after that.
                self.let_go(name, token)
            elif wanted and not mine:
                log.warning("a lease is lost: another worker holds it", lease=name)


class RedisLease:
    """`orchestrator.ports.Lease`."""

    def __init__(self, leases: RedisLeases, name: str, token: str) -> None:
        self._leases = leases
        self._name = name
        self._token = token

    def release(self) -> None:
        """Let others have it."""
        self._leases.let_go(self._name, self._token)


def key(name: str) -> str:
    """The key of a lease in Redis."""
    return f"lockstep:lease:{name}"


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
