"""Looks through a real Redis: each answer reaches whoever asked, and nothing else counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from orchestrator.adapters.dispatch import LOOK, CeleryDispatch, celery_app
from orchestrator.adapters.looks import KEPT_SECONDS, RedisLooks, key
from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import UnansweredError
from orchestrator.ota.doctor.look import Errand, Look, Unseen, answer
from tests.integration.nginx import free_ports
from tests.integration.redis_server import PATIENCE, RedisServer

NONCE = "0123456789abcdef" * 2
ERRANDS = [Errand(NONCE, 7, name, "ToDo", frozenset({"a" * 64}), None, 30.0) for name in ("fe1", "fe2")]
LOOK_AT = Look(ActivationName(3, "0123456789abcdef"), False)
OTHER = replace(LOOK_AT, drained=True)


@pytest.fixture
def looks(redis_server: RedisServer) -> RedisLooks:
    return RedisLooks(redis_server.url, CeleryDispatch(redis_server.url))


@contextmanager
def worker(server: RedisServer, task: object) -> Iterator[None]:
    """A real Celery worker in this process, whose look does what the test wants."""
    from celery.contrib.testing.worker import start_worker

    app = celery_app(server.url)
    app.task(name=LOOK, shared=False)(task)
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=PATIENCE):
        yield


def say_nothing(*_: object) -> None:
    """A look that tells nobody."""


def test_every_answer_reaches_whoever_asked_and_the_list_is_gone(redis_server: RedisServer, looks: RedisLooks) -> None:
    heard: list[int] = []

    def task(*words: object) -> None:
        errand = Errand.read(words)
        RedisLooks(redis_server.url, CeleryDispatch(redis_server.url)).put(
            errand, LOOK_AT if errand.frontend == "fe1" else OTHER
        )

    with worker(redis_server, task):
        assert looks.look(ERRANDS, PATIENCE, heard.append) == {"fe1": LOOK_AT, "fe2": OTHER}
    assert heard == [1, 2]
    assert not redis_server.client().exists(key(NONCE))


def test_only_the_first_answer_of_those_who_were_asked_counts(redis_server: RedisServer, looks: RedisLooks) -> None:
    """Whatever else comes into the list is left out, and does not end the waiting."""
    client = redis_server.client()
    client.rpush(key(NONCE), b"junk", answer("fe9", OTHER), answer("fe1", LOOK_AT), answer("fe1", OTHER))
    client.rpush(key(NONCE), answer("fe2", LOOK_AT), answer("fe2", OTHER))
    client.rpush(key("f" * 32), answer("fe2", OTHER))
    with worker(redis_server, say_nothing):
        assert looks.look(ERRANDS, PATIENCE) == {"fe1": LOOK_AT, "fe2": LOOK_AT}
    assert not client.exists(key(NONCE))


def test_who_does_not_answer_in_time_was_not_seen(redis_server: RedisServer, looks: RedisLooks) -> None:
    redis_server.client().rpush(key(NONCE), answer("fe1", LOOK_AT))
    with worker(redis_server, say_nothing):
        seen = looks.look(ERRANDS, 0.5)
    assert seen["fe1"] == LOOK_AT
    assert isinstance(seen["fe2"], Unseen)
    assert seen["fe2"].problem.what == "no worker looked in time"


def test_without_a_worker_nobody_is_waited_for_and_no_message_is_left(
    redis_server: RedisServer, looks: RedisLooks
) -> None:
    seen = looks.look(ERRANDS, 3_600)
    assert {name: found.problem.what for name, found in seen.items() if isinstance(found, Unseen)} == dict.fromkeys(
        ("fe1", "fe2"), "no worker answers"
    )
    assert not redis_server.client().llen("lockstep.frontend")


def test_without_redis_nobody_was_seen_and_nothing_is_raised() -> None:
    (port,) = free_ports(1)
    url = f"redis://127.0.0.1:{port}/0"
    looks = RedisLooks(url, CeleryDispatch(url))
    seen = looks.look(ERRANDS, 3_600)
    assert all(isinstance(found, Unseen) for found in seen.values())
    assert len(seen) == 2
    with pytest.raises(UnansweredError):
        looks.put(ERRANDS[0], LOOK_AT)


def test_an_answer_that_nobody_fetches_goes_by_itself(redis_server: RedisServer, looks: RedisLooks) -> None:
    looks.put(ERRANDS[0], LOOK_AT)
    assert 0 < redis_server.client().ttl(key(NONCE)) <= KEPT_SECONDS
