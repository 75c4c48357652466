"""Handing work to the workers through Celery, by task name and by id."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from orchestrator.adapters.broker import ANSWER_SECONDS, plain_url
from orchestrator.domain.deployment import Step
from orchestrator.domain.errors import UnansweredError, UsageError

if TYPE_CHECKING:
    from orchestrator.domain.batch import Batch

COORDINATE = "lockstep.deployment.coordinate"
WATCH = "lockstep.deployment.watch"
DRAIN = "lockstep.frontend.drain"
AUDIT = "lockstep.audit.run"
AUDITS_DUE = "lockstep.audit.due"
LOOK = "lockstep.frontend.look"
ADOPT = "lockstep.frontend.adopt"
STEPS = {Step.STAGE: "lockstep.frontend.stage", Step.VERIFY: "lockstep.frontend.verify"}

#: Coordinators, and audits that put things right, wait for steps, so they have a queue of their own: a crowd of them
#: must not keep every worker from the steps that they wait for.
COORDINATION_QUEUE = "lockstep.deployment"
STEP_QUEUE = "lockstep.frontend"

#: The broker keeps no copy of a message that a worker works on. A worker that dies takes it along, and nothing waits
#: for it to come back: a coordinator or a step whose worker died is noticed by its lease, a drain by the watch. With
#: copies (Kombu's `ack_emulation`), a worker that works on anything while Redis goes away ends: Kombu 5.7 wants to give
#: the message back through a connection that it has closed already.
TRANSPORT = {"ack_emulation": False, "socket_timeout": 10}

#: The key of `CeleryDispatch.memory`.
MEMORY = "lockstep:memory"


def celery_app(broker_url: str) -> Celery:
    """A Celery application that sends (and, with tasks registered, works) on Lockstep's queues."""
    app = Celery("lockstep", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_default_queue=STEP_QUEUE,
        task_routes={name: {"queue": COORDINATION_QUEUE} for name in ("lockstep.deployment.*", "lockstep.audit.*")},
        task_serializer="json",
        accept_content=["json"],
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=TRANSPORT,
        timezone="UTC",
    )
    return app


class CeleryDispatch:
    """`orchestrator.ports.Dispatch`: a message for each piece of work."""

    def __init__(self, broker_url: str) -> None:
        self._app = celery_app(broker_url)
        self._redis = redis.Redis.from_url(
            plain_url(broker_url), socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS
        )

    def coordinate(self, number: int) -> None:
        """Have some worker coordinate the deployment."""
        self._send(COORDINATE, number)

    def step(self, number: int, batch: Batch) -> None:
        """Have some worker do one step of these frontends."""
        self._send(STEPS[batch.step], number, batch.attempt, batch.name, list(batch.frontends))

    def drain(self, number: int) -> None:
        """Have some worker take a frontend out of rotation."""
        self._send(DRAIN, number)

    def audit(self, number: int) -> None:
        """Have some worker run the audit."""
        self._send(AUDIT, number)

    def look(self, words: Sequence[Any], seconds: float) -> None:
        """Have some worker look at a frontend's disk, within so many seconds: later nobody waits for it."""
        self._send(LOOK, *words, expires=seconds)

    def adopt(self, words: Sequence[Any], seconds: float) -> None:
        """Have some worker look at the site of another tool, or make a release of it, within so many seconds."""
        self._send(ADOPT, *words, expires=seconds)

    def memory(self) -> str:
        """A random mark, kept in the same server as the messages and never given a time to live."""
        try:
            self._redis.set(MEMORY, secrets.token_hex(8), nx=True)
            return str(self._redis.get(MEMORY))
        except (RedisError, OSError) as error:
            raise UnansweredError("the broker can't be reached", found=str(error) or type(error).__name__) from error

    def workers(self, seconds: float = 2) -> bool:
        """Whether at least one worker answers within `seconds`."""
        try:
            return bool(self._app.control.ping(timeout=seconds, limit=1))
        except (OperationalError, RedisError, OSError) as error:
            raise self._unreachable(error) from error

    def _send(self, name: str, *words: object, expires: float | None = None) -> None:
        policy = {"max_retries": 3, "interval_start": 0.1}
        try:
            self._app.send_task(name, args=words, retry_policy=policy, expires=expires)
        except (OperationalError, RedisError, OSError) as error:
            raise UnansweredError(
                "the broker may not have taken the work",
                where=self._app.connection_for_write().as_uri(),
                found=str(error) or type(error).__name__,
                remedy="see that Redis runs, then: lockstep status",
            ) from error

    def _unreachable(self, error: Exception) -> UsageError:
        return UsageError(
            "the broker can't be reached",
            where=self._app.connection_for_write().as_uri(),
            expected="a Redis server",
            found=str(error) or type(error).__name__,
            remedy="start it, or: lockstep standalone",
        )
