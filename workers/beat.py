"""Who ticks: of all workers with `--beat`, the one that holds the beat's lock in Redis; the others wait for it.

RedBeat keeps the schedule in Redis. Left to itself it ends where its lock or Redis is gone, and a Redis that was
emptied has no schedule until the next start (docs/adr/0013-schedule.md). This one goes on, and writes it again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from datetime import UTC, datetime
from typing import Any

import structlog
from celery import Celery, bootsteps
from celery.worker import state
from celery.worker.components import Beat as Process
from kombu.exceptions import OperationalError
from redbeat import RedBeatScheduler
from redbeat.schedulers import get_redis
from redis.backoff import NoBackoff
from redis.exceptions import LockError, RedisError
from redis.lock import Lock
from redis.retry import Retry

from orchestrator.adapters.broker import ANSWER_SECONDS, plain_url

log = structlog.get_logger()

#: What begins the name of every key of the beat in Redis.
PREFIX = "lockstep:beat:"
LOCK = f"{PREFIX}lock"
#: How long the lock lasts beyond its last renewal, in seconds: nobody ticks for so long after a beat was killed.
LOCK_SECONDS = 30
#: How often a beat renews the lock, or tries to get it, in seconds.
LOOK_SECONDS = 1
#: The exit code of a worker whose beat ended.
BEAT_ENDED = 1
#: How long the worker has, once its beat has ended, to hear that it is to end as well, in seconds.
GRACE_SECONDS = 2.0
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def embed(app: Celery, broker_url: str) -> None:
    """Have workers of the application run this beat, where they are told `--beat`."""
    app.conf.update(
        beat_scheduler="workers.beat:Beat",
        beat_max_loop_interval=LOOK_SECONDS,
        redbeat_redis_url=plain_url(broker_url),
        redbeat_redis_options={
            "socket_timeout": ANSWER_SECONDS,
            "socket_connect_timeout": ANSWER_SECONDS,
            "retry": Retry(NoBackoff(), 1),
        },
        redbeat_key_prefix=PREFIX,
        # RedBeat's own lock can't be had again once it is lost. Ours is renewed by `Beat.tick`.
        redbeat_lock_key=None,
        redbeat_lock_timeout=LOCK_SECONDS,
        # Nothing keeps results, so none are to be cleaned up every night.
        result_expires=None,
    )
    app.steps["worker"].add(Guard)


class Beat(RedBeatScheduler):
    """RedBeat's scheduler, which outlives the loss of its lock, of Redis, and of what Redis held."""

    def __init__(self, app: Celery, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._redis = get_redis(app)
        self._worker = os.getppid()
        self._longest = max(entry["schedule"] for entry in app.conf.beat_schedule.values()).total_seconds()
        self._silent = False
        self.lock = Lock(self._redis, LOCK, timeout=self.lock_timeout, blocking=False, thread_local=False)

    def setup_schedule(self) -> None:
        """Nothing yet: the one that ticks writes the schedule, and Redis may be away now."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due, where this beat holds the lock. In how many seconds to come again."""
        if os.getppid() != self._worker:
            # The worker was killed. A beat that nobody started and nobody ends must not keep the lock.
            raise SystemExit
        try:
            seconds = super().tick(*args, **kwargs) if self._leads() else self.max_interval
            self._silent = False
        except (RedisError, OperationalError, OSError) as error:
            # Said once: Redis is asked again and again until it answers.
            if not self._silent:
                log.warning("the beat can't reach Redis", found=str(error) or type(error).__name__)
            self._silent = True
            seconds = self.max_interval
        return float(seconds)

    def close(self) -> None:
        """Let another beat tick. Where Redis does not answer, the lock ends by itself."""
        with contextlib.suppress(RedisError, OSError):
            super().close()

    def _leads(self) -> bool:
        try:
            self.lock.reacquire()
        except LockError:
            # Never had, lapsed, or Redis was emptied.
            if not self.lock.acquire():
                return False
            log.info("this beat ticks")
            self._write()
            return True
        if self._astray():
            self._write()
        return True

    def _astray(self) -> bool:
        """Whether an entry is missing, or comes later than it ever should: whoever wrote it had another clock."""
        coming = self._redis.zcount(self.app.redbeat_conf.schedule_key, "-inf", time.time() + self._longest)
        return bool(coming < len(self.app.conf.beat_schedule))

    def _write(self) -> None:
        """Write the schedule anew, all of it due now: nobody knows for how long nobody ticked."""
        keys = [self.Entry.generate_key(self.app, name) for name in self.app.conf.beat_schedule]
        self._redis.delete(self.app.redbeat_conf.schedule_key, *keys)
        super().setup_schedule()
        for key in keys:
            self.Entry.from_key(key, app=self.app).reschedule(_LONG_AGO)


class Guard(bootsteps.StartStopStep):
    """Ends a worker whose beat has ended: else nobody would notice that it ticks no more."""

    requires = (Process,)

    def __init__(self, worker: Any, beat: bool = False, **kwargs: Any) -> None:
        self.enabled = bool(beat)
        self._stopping = threading.Event()
        super().__init__(worker, **kwargs)

    def start(self, worker: Any) -> None:
        """Wait for the beat's end, beside the worker's work."""
        threading.Thread(target=self._guard, args=(worker.beat,), name="beat", daemon=True).start()

    def stop(self, worker: Any) -> None:
        """The worker ends, and so will the beat."""
        self._stopping.set()

    def _guard(self, beat: Any) -> None:
        beat.join()
        # Who ends a group of processes tells both at once; then Celery is about to note that the worker is to end.
        if not self._stopping.wait(GRACE_SECONDS) and state.should_stop is None:
            log.error("the beat has ended, so this worker ends", exit_code=beat.exitcode)
            # As where a worker is told to end: it finishes what it has begun.
            state.should_stop = BEAT_ENDED
