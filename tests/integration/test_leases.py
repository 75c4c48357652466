"""Leases on a real Redis server: they last while their holder lives, go soon after it, and nothing hangs."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from orchestrator.adapters.dispatch import CeleryDispatch
from orchestrator.adapters.lease import RENEW_SECONDS, RENEWALS, RedisLeases, key
from orchestrator.domain.errors import UnansweredError
from orchestrator.services.recovery import GRACE_SECONDS
from orchestrator.settings import LEASE_SECONDS
from tests.integration.ledgers import Callers
from tests.integration.redis_server import PATIENCE, RedisServer, until

#: Long enough that a busy machine renews in time.
SECONDS = 3.0
NAME = "deployment/7"
#: Nothing may take longer than this, in seconds, when Redis is gone: each call waits for an answer a few times.
BOUND = 15.0


@pytest.fixture
def leases(redis_server: RedisServer) -> RedisLeases:
    """Those of this process."""
    return RedisLeases(redis_server.url, SECONDS)


@pytest.fixture
def others(redis_server: RedisServer) -> RedisLeases:
    """Those of another worker, as far as Redis can tell."""
    return RedisLeases(redis_server.url, SECONDS)


@contextmanager
def holder(
    server: RedisServer, seconds: float = SECONDS, name: str = NAME, busy: int = 0
) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a lease, with so many busy threads; killed at the end."""
    words = [sys.executable, "-m", "tests.integration.lease_holder", server.url, str(seconds), name, str(busy)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)
        process.stdin.close()
        process.stdout.close()


def token(server: RedisServer, name: str = NAME) -> bytes | None:
    """What is stored for the lease: who holds it."""
    with server.client() as client:
        found: bytes | None = client.get(key(name))
        return found


def left(server: RedisServer, name: str = NAME) -> int:
    """How long it lasts yet, in milliseconds; negative where it is not there, or has no end."""
    with server.client() as client:
        found: int = client.pttl(key(name))
        return found


def renewals(server: RedisServer, count: int, name: str = NAME, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Until it was renewed so often. A lease of one's own is a clock that tells how often all of them were."""
    seen = left(server, name)
    while count:

        def renewed() -> bool:
            nonlocal seen
            meanwhile()
            before, seen = seen, left(server, name)
            return seen > before

        until(renewed)
        count -= 1


# ── while the holder lives ──


def test_it_lasts_while_its_holder_lives_and_nobody_else_gets_it(
    redis_server: RedisServer, leases: RedisLeases
) -> None:
    with holder(redis_server):
        mine = token(redis_server)

        def held() -> None:
            assert token(redis_server) == mine
            assert 0 < left(redis_server) <= SECONDS * 1000
            assert leases.take(NAME) is None
            assert leases.held(["deployment/6", NAME]) == {NAME}

        began = time.monotonic()
        while time.monotonic() < began + 2 * SECONDS:
            renewals(redis_server, 1, meanwhile=held)


def test_a_worker_whose_threads_are_all_busy_keeps_its_lease(redis_server: RedisServer) -> None:
    """40 threads that encrypt: with Python's own interval between turns a lease of the default lapses at once."""
    with holder(redis_server, LEASE_SECONDS, busy=40):
        mine, lapses = token(redis_server), 0
        began = time.monotonic()
        while time.monotonic() < began + 4 * LEASE_SECONDS:
            lapses += token(redis_server) is None
        assert (token(redis_server), lapses) == (mine, 0)


def test_all_that_a_process_holds_is_renewed_in_one_round_trip(redis_server: RedisServer, leases: RedisLeases) -> None:
    names = [f"step/7/fe{number}/stage/1" for number in range(100)]
    held = [leases.take(name) for name in names]
    with redis_server.client() as client:
        renewals(redis_server, 1, names[0])
        before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        renewals(redis_server, 3, names[0])
        assert client.info("commandstats")["cmdstat_evalsha"]["calls"] - before < 10
    assert leases.held(names) == frozenset(names)
    assert None not in held


def test_it_goes_when_it_is_released_and_whoever_comes_next_has_it(leases: RedisLeases, others: RedisLeases) -> None:
    mine = leases.take(NAME)
    assert mine is not None
    assert others.take(NAME) is None
    mine.release()
    assert leases.held([NAME]) == frozenset()
    theirs = others.take(NAME)
    assert theirs is not None
    # Twice is once, and does not reach what is another's now.
    mine.release()
    assert leases.held([NAME]) == {NAME}


def test_a_process_that_ends_in_order_lets_go(redis_server: RedisServer) -> None:
    with holder(redis_server) as process:
        assert process.communicate("", timeout=PATIENCE)[0] == "released\n"
        assert token(redis_server) is None


def test_asking_for_nothing_asks_nobody(redis_server: RedisServer, leases: RedisLeases) -> None:
    redis_server.stop()
    assert leases.held([]) == frozenset()


def test_one_that_is_let_go_while_it_is_renewed_is_not_taken_anew(redis_server: RedisServer) -> None:
    leases = RedisLeases(redis_server.url, 600.0)
    assert leases.take("clock") is not None
    for round_ in range(6):
        names = [f"step/{round_}/{number}" for number in range(150)]
        held = [leases.take(name) for name in names]
        # The renewer is on its way through them.
        renewals(redis_server, 1, names[0])
        for lease in reversed(held):
            assert lease is not None
            lease.release()
        renewals(redis_server, 2, "clock")
        assert leases.held(names) == frozenset()


# ── when the holder is gone ──


def test_it_goes_within_its_time_after_its_holder_was_killed(redis_server: RedisServer, leases: RedisLeases) -> None:
    with holder(redis_server) as process:
        process.kill()
        process.wait(PATIENCE)
        # From here on Redis alone counts.
        assert left(redis_server) <= SECONDS * 1000
        killed = time.monotonic()
        until(lambda: leases.held([NAME]) == frozenset())
        assert time.monotonic() < killed + SECONDS + 1.0
        assert leases.take(NAME) is not None


def test_a_lease_of_the_default_goes_soon_enough_for_a_take_over(redis_server: RedisServer) -> None:
    with holder(redis_server, LEASE_SECONDS) as process:
        process.kill()
        process.wait(PATIENCE)
        assert left(redis_server) <= LEASE_SECONDS * 1000


# ── when Redis forgets ──


def test_a_holder_comes_back_to_a_redis_that_was_emptied_and_nobody_else_gets_in(
    redis_server: RedisServer, leases: RedisLeases
) -> None:
    with holder(redis_server):
        for _ in range(3):
            with redis_server.client() as client:
                client.flushall()
            until(lambda: token(redis_server) is not None)
            # Whoever looks waits for a while before it takes over: the holder was faster.
            assert leases.take(NAME) is None
            renewals(redis_server, 2)
            assert leases.take(NAME) is None


@pytest.mark.parametrize("seconds", [LEASE_SECONDS, 600.0])
def test_however_long_it_lasts_its_holder_comes_back_before_anybody_may_take_over(
    redis_server: RedisServer, seconds: float
) -> None:
    assert min(seconds / RENEWALS, RENEW_SECONDS) < GRACE_SECONDS
    with holder(redis_server, seconds):
        with redis_server.client() as client:
            client.flushall()
        emptied = time.monotonic()
        until(lambda: token(redis_server) is not None)
        # Not a time that anything promises on a busy machine, but far from that of a renewal of a long lease.
        assert time.monotonic() < emptied + BOUND


def test_a_holder_that_lost_it_to_another_neither_takes_it_back_nor_takes_it_away(
    redis_server: RedisServer, leases: RedisLeases, others: RedisLeases
) -> None:
    mine = leases.take(NAME)
    assert mine is not None
    assert leases.take("clock") is not None
    with redis_server.client() as client:
        # In one step, as when the holder stood still for too long.
        pipe = client.pipeline()
        pipe.flushall()
        pipe.set(key(NAME), "somebody else", px=600_000)
        pipe.execute()
    until(lambda: token(redis_server, "clock") is not None)
    renewals(redis_server, 3, "clock")
    assert token(redis_server) == b"somebody else"
    mine.release()
    assert token(redis_server) == b"somebody else"
    # The other one is done: it does not become the old holder's again.
    with redis_server.client() as client:
        client.delete(key(NAME))
    renewals(redis_server, 3, "clock")
    assert token(redis_server) is None
    assert others.take(NAME) is not None


def test_one_that_was_lost_and_not_let_go_is_not_taken_back_when_it_is_free_again(
    redis_server: RedisServer, leases: RedisLeases
) -> None:
    assert leases.take(NAME) is not None
    assert leases.take("clock") is not None
    with redis_server.client() as client:
        client.set(key(NAME), "somebody else", px=600_000)
        renewals(redis_server, 2, "clock")
        client.delete(key(NAME))
    renewals(redis_server, 3, "clock")
    assert token(redis_server) is None


def test_a_holder_that_stood_still_for_too_long_does_not_take_it_back(
    redis_server: RedisServer, leases: RedisLeases
) -> None:
    with holder(redis_server, LEASE_SECONDS) as process:
        process.send_signal(signal.SIGSTOP)
        until(lambda: token(redis_server) is None)
        mine = leases.take(NAME)
        assert mine is not None
        held = token(redis_server)
        process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        assert "a lease is lost: another worker holds it" in process.stdout.readline()
        assert token(redis_server) == held
        assert process.communicate("", timeout=PATIENCE)[0] == "released\n"
        assert token(redis_server) == held


# ── when Redis is gone ──


GONE: dict[str, Callable[[RedisServer], None]] = {"ended": RedisServer.stop, "silent": RedisServer.stand_still}


@pytest.mark.parametrize("how", GONE)
def test_when_redis_is_gone_every_call_says_so_soon(redis_server: RedisServer, leases: RedisLeases, how: str) -> None:
    mine = leases.take(NAME)
    assert mine is not None
    dispatch = CeleryDispatch(redis_server.url)
    dispatch.memory()
    GONE[how](redis_server)
    calls: list[Callable[[], object]] = [lambda: leases.take("other"), lambda: leases.held([NAME]), dispatch.memory]
    for call in calls:
        began = time.monotonic()
        with pytest.raises(UnansweredError):
            call()
        assert time.monotonic() < began + BOUND
    # Nobody waits for it to let go either.
    began = time.monotonic()
    mine.release()
    assert time.monotonic() < began + BOUND


@pytest.mark.parametrize("how", GONE)
def test_a_lease_outlives_a_redis_that_comes_back(redis_server: RedisServer, leases: RedisLeases, how: str) -> None:
    assert leases.take(NAME) is not None
    GONE[how](redis_server)
    with pytest.raises(UnansweredError):
        leases.held([NAME])
    if how == "ended":
        redis_server.start()
    else:
        redis_server.go_on()
    until(lambda: leases.held([NAME]) == {NAME})
    renewals(redis_server, 2)


# ── races ──


def test_of_two_processes_that_race_for_it_exactly_one_gets_it(redis_server: RedisServer) -> None:
    rounds = 200
    start = multiprocessing.get_context("fork").Barrier(2)

    def run() -> list[bool]:
        leases = RedisLeases(redis_server.url, 600.0)
        got = []
        for round_ in range(rounds):
            start.wait(PATIENCE)
            got.append(leases.take(f"race/{round_}") is not None)
        return got

    first, second = Callers.PROCESSES.at_once([run, run])
    assert isinstance(first, list)
    assert isinstance(second, list)
    assert len(first) == len(second) == rounds
    assert [a + b for a, b in zip(first, second, strict=True)] == [1] * rounds


# ── the broker's memory ──


def test_the_broker_s_memory_is_the_same_for_everybody_until_it_is_lost(redis_server: RedisServer) -> None:
    one, other = CeleryDispatch(redis_server.url), CeleryDispatch(redis_server.url)
    marks = [one.memory()]
    assert {one.memory(), other.memory(), other.memory()} == set(marks)
    with redis_server.client() as client:
        client.flushall()
    marks.append(other.memory())
    assert {one.memory(), other.memory()} == {marks[1]}
    redis_server.stop()
    redis_server.start()
    marks.append(one.memory())
    assert other.memory() == marks[2]
    assert len(set(marks)) == 3


def test_the_broker_s_memory_has_no_end(redis_server: RedisServer) -> None:
    CeleryDispatch(redis_server.url).memory()
    with redis_server.client() as client:
        assert [client.ttl(name) for name in client.keys("*")] == [-1]
