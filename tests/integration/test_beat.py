"""Workers with the beat, on a real Redis server: one of them ticks, whatever becomes of the others and of Redis."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from orchestrator.adapters.dispatch import AUDITS_DUE, COORDINATION_QUEUE, WATCH
from tests.integration.redis_server import PATIENCE, RedisServer, until
from workers.beat import BEAT_ENDED, LOCK, PREFIX

#: Long enough that a busy machine renews in time.
LOCK_SECONDS = 2.0
#: How often each task is sent, in seconds.
EVERY = 0.25
#: Two ticks of one beat are never closer.
CLOSE = EVERY / 2


class Beating:
    """A worker with its beat; both are in one process group, which nothing else is in."""

    def __init__(self, server: RedisServer, directory: Path, name: str, every: float) -> None:
        self._log = directory / f"{name}.log"
        environment = {**os.environ, "LOCKSTEP_HOME": str(directory / name), "LOCKSTEP_BROKER_URL": server.url}
        words = [sys.executable, "-m", "tests.integration.beating", str(LOCK_SECONDS), str(every)]
        words += [f"--hostname={name}@test"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    @property
    def ready(self) -> bool:
        """Whether it takes work."""
        assert self.process.poll() is None, self.said
        return "ready." in self.said

    @property
    def said(self) -> str:
        """Its log."""
        return self._log.read_text()

    @property
    def lead(self) -> int:
        """How often its beat became the one that ticks."""
        return self.said.count("this beat ticks")

    @property
    def sent(self) -> int:
        """How many ticks its beat says that it sent."""
        return self.said.count("Sending due task")

    @property
    def beat(self) -> int:
        """The process of its beat."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        (beat,) = (int(child) for child in children)
        return beat

    @property
    def gone(self) -> bool:
        """Whether nothing is left of the worker and its beat."""
        self.process.poll()
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def end(self) -> None:
        """End what is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


@contextmanager
def beating(server: RedisServer, directory: Path, name: str = "one", every: float = EVERY) -> Iterator[Beating]:
    """A worker with its beat, ended at the end."""
    made = Beating(server, directory, name, every)
    try:
        yield made
    finally:
        made.end()


@contextmanager
def pair(server: RedisServer, directory: Path) -> Iterator[list[Beating]]:
    """Two of them, once both take work: first the one that ticks."""
    with beating(server, directory) as one, beating(server, directory, "two") as two:
        until(lambda: one.ready and two.ready and one.lead + two.lead == 1 and sent(server)[WATCH] > 0)
        yield sorted([one, two], key=lambda each: -each.lead)


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[RedisServer, list[Beating]]]:
    """Two that outlive every test that has them: none of these touches a process."""
    with ExitStack() as stack:
        # A socket's path has at most 107 bytes, so not below pytest's own directories.
        directory = Path(tempfile.mkdtemp(prefix="ls-beat-", dir="/tmp"))
        stack.callback(shutil.rmtree, directory)
        server = RedisServer(directory)
        stack.callback(server.stop)
        server.start()
        both = stack.enter_context(pair(server, directory))
        yield server, both
        assert all(each.ready for each in both)


def messages(server: RedisServer) -> list[tuple[str, datetime]]:
    """What beats have sent, in its order: each task's name, and when it expires."""
    with server.client() as client:
        # What is sent last lies first.
        headers = [json.loads(each)["headers"] for each in reversed(client.lrange(COORDINATION_QUEUE, 0, -1))]
    return [(each["task"], datetime.fromisoformat(each["expires"])) for each in headers]


def sent(server: RedisServer) -> Counter[str]:
    """How often each task was sent."""
    return Counter(task for task, _ in messages(server))


def goes_on(server: RedisServer) -> None:
    """Until both tasks have been sent three times more: once may be a message that was under way."""
    before = sent(server)
    until(lambda: all(sent(server)[task] >= before[task] + 3 for task in (WATCH, AUDITS_DUE)))


def closest(server: RedisServer, task: str) -> float:
    """How many seconds lie between the two closest messages of a task."""
    times = [expires for each, expires in messages(server) if each == task]
    return min((after - before).total_seconds() for before, after in itertools.pairwise(times))


def test_of_two_beats_one_ticks(running: tuple[RedisServer, list[Beating]]) -> None:
    server, both = running
    goes_on(server)
    before = [each.sent for each in both]
    with server.client() as client:
        client.delete(COORDINATION_QUEUE)
    goes_on(server)
    assert all(closest(server, task) > CLOSE for task in (WATCH, AUDITS_DUE))
    assert sorted(each.sent > earlier for each, earlier in zip(both, before, strict=True)) == [False, True]


def test_a_redis_that_was_emptied_has_its_schedule_again(running: tuple[RedisServer, list[Beating]]) -> None:
    server, _ = running
    with server.client() as client:
        client.flushall()
    goes_on(server)


def test_entries_that_are_missing_or_come_too_late_are_written_again(
    running: tuple[RedisServer, list[Beating]],
) -> None:
    server, both = running
    lead = [each.lead for each in both]
    with server.client() as client:
        client.delete(f"{PREFIX}watch")
        goes_on(server)
        # As a beat does whose clock is a day ahead.
        client.zincrby(f"{PREFIX}:schedule", 86_400, f"{PREFIX}audits")
        goes_on(server)
    assert [each.lead for each in both] == lead


def test_beats_outlive_a_redis_that_goes_away(running: tuple[RedisServer, list[Beating]]) -> None:
    server, both = running
    server.stop()
    until(lambda: all("the beat can't reach Redis" in each.said for each in both))
    server.start()
    goes_on(server)


def test_a_beat_that_hangs_is_replaced_and_so_is_one_whose_worker_is_killed(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    with pair(redis_server, tmp_path) as (ticking, waiting):
        os.kill(ticking.beat, signal.SIGSTOP)
        with redis_server.client() as client:
            # As the beat of another version may have left it.
            client.hset(f"{PREFIX}watch", "definition", "not ours")
        until(lambda: waiting.lead == 1)
        os.kill(ticking.beat, signal.SIGCONT)
        goes_on(redis_server)
        assert ticking.lead == 1
        waiting.process.kill()
        # Nor does its beat stay behind, which would keep the lock.
        until(lambda: waiting.gone and ticking.lead == 2)
        goes_on(redis_server)


def test_a_beat_that_starts_without_redis_ticks_once_it_is_there_and_lets_go_when_told_to_end(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    redis_server.stop()
    with beating(redis_server, tmp_path) as started:
        until(lambda: "the beat can't reach Redis" in started.said)
        redis_server.start()
        goes_on(redis_server)
        until(lambda: started.ready)
        # As systemd does: every process of the service is told.
        os.killpg(started.process.pid, signal.SIGTERM)
        assert started.process.wait(PATIENCE) == 0, started.said
        assert started.gone
        with redis_server.client() as client:
            # Not by its time: it was renewed until now.
            assert client.get(LOCK) is None


def test_whoever_begins_to_tick_sends_everything_at_once(redis_server: RedisServer, tmp_path: Path) -> None:
    once = {WATCH: 1, AUDITS_DUE: 1}
    with beating(redis_server, tmp_path, every=86_400):
        until(lambda: sent(redis_server) == once)
        with redis_server.client() as client:
            client.flushall()
        until(lambda: sent(redis_server) == once)


def test_a_worker_whose_beat_was_killed_ends(redis_server: RedisServer, tmp_path: Path) -> None:
    with beating(redis_server, tmp_path) as worker:
        until(lambda: worker.ready and worker.lead == 1)
        os.kill(worker.beat, signal.SIGKILL)
        assert worker.process.wait(PATIENCE) == BEAT_ENDED
        assert "the beat has ended, so this worker ends" in worker.said
