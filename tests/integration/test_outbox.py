"""The worker's postman: a real thread, a real broker's lease, a real receiver, and a file of hooks that changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from orchestrator.bootstrap import Lockstep
from orchestrator.domain.trail import Action
from orchestrator.settings import Settings
from tests.integration.operator import wait_until
from tests.integration.redis_server import RedisServer
from tests.unit.adapters.listener import Listener, hang
from workers.postman import LEASE, Postman

SOON = 0.02


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setenv("NO_PROXY", "*")
    with Listener().listening() as listener:
        yield listener


@pytest.fixture
def home(tmp_path: Path) -> Path:
    secret = tmp_path / "chatops.secret"
    secret.write_text("planted-key-0123456789")
    secret.chmod(0o600)
    return tmp_path


@contextmanager
def worker(home: Path, redis_server: RedisServer, **settings: str) -> Iterator[Lockstep]:
    """A worker's postman, with parts of its own."""
    known = {"LOCKSTEP_HOME": str(home), "LOCKSTEP_BROKER_URL": redis_server.url, **settings}
    lockstep = Lockstep(Settings.read(known))
    postman = Postman(lockstep, SOON)
    postman.start()
    try:
        yield lockstep
    finally:
        postman.stop()


def write_hooks(home: Path, *listeners: Listener) -> None:
    text = "webhooks:\n"
    for number, listener in enumerate(listeners):
        text += f"  to{number}: {{url: '{listener.url}/planted-path', secret_file: {home}/chatops.secret}}\n"
    # As editors do it: a file is there whole or not at all.
    (home / "new.yml").write_text(text)
    (home / "new.yml").rename(home / "hooks.yml")


def begun(lockstep: Lockstep, number: int) -> Callable[[], bool]:
    return lambda: len(lockstep.deliveries.positions()) == number


def happens(lockstep: Lockstep, deployment: int) -> int:
    return lockstep.trail.add(Action("deployment.done", "ada", "Production/web", deployment)).number


def heard(listener: Listener) -> list[int]:
    return [json.loads(got.body)["number"] for got in listener.got]


def test_events_reach_their_receiver_in_order_whichever_worker_lives(
    home: Path, redis_server: RedisServer, listener: Listener
) -> None:
    write_hooks(home, listener)
    with worker(home, redis_server) as other:
        with worker(home, redis_server) as lockstep:
            wait_until(begun(lockstep, 1))
            entries = [happens(lockstep, number) for number in range(10)]
            wait_until(lambda: heard(listener) == entries)
        entries += [happens(other, number) for number in range(10)]
        wait_until(lambda: heard(listener) == entries)


def test_one_that_hangs_delays_no_other_and_a_change_of_the_file_counts(
    home: Path, redis_server: RedisServer, listener: Listener
) -> None:
    with Listener(slowly=hang).listening() as hanging, worker(home, redis_server) as lockstep:
        write_hooks(home, hanging)
        wait_until(begun(lockstep, 1))
        first = happens(lockstep, 1)
        wait_until(lambda: heard(hanging) == [first])
        write_hooks(home, hanging, listener)
        wait_until(begun(lockstep, 2))
        second = happens(lockstep, 2)
        wait_until(lambda: heard(listener) == [second])
        under_way = lockstep.deliveries.first("webhook/to0")
        assert under_way is not None
        assert (under_way.attempts, under_way.problem) == (1, {})
        assert heard(hanging) == [first]
        hanging.slowly = None
        hanging.released.set()
        # Whether the first one was taken or not is for its receiver to say: it hung up without an answer.
        wait_until(lambda: second in heard(hanging))
        assert heard(hanging) == sorted(heard(hanging))


def test_a_file_that_is_wrong_is_said_once_and_stops_nothing(
    home: Path, redis_server: RedisServer, listener: Listener
) -> None:
    with capture_logs() as logs, worker(home, redis_server) as lockstep:
        write_hooks(home, listener)
        wait_until(begun(lockstep, 1))
        (home / "hooks.yml").write_text("webhooks: {x: {url: https://planted")
        # What the postman holds while it knows receivers, it lets go of.
        wait_until(lambda: not lockstep.leases.held([LEASE]))
        entry = happens(lockstep, 1)
        assert heard(listener) == []
        write_hooks(home, listener)
        wait_until(lambda: heard(listener) == [entry])
    assert [each["event"] for each in logs].count("the postman delivers nothing") == 1
    assert "planted" not in str(logs)


def test_a_ledger_that_cannot_be_used_is_said_once_until_it_can(
    home: Path, redis_server: RedisServer, listener: Listener
) -> None:
    write_hooks(home, listener)
    blocked = home / "blocked"
    blocked.write_text("no directory")
    ledger = f"sqlite:///{blocked}/ledger.sqlite"

    def turns() -> int:
        """How often the lease was asked for."""
        return int(redis_server.client().info("commandstats").get("cmdstat_set", {}).get("calls", 0))

    with capture_logs() as logs, worker(home, redis_server, LOCKSTEP_LEDGER_URL=ledger) as lockstep:
        wait_until(lambda: turns() > 5)
        blocked.unlink()
        wait_until(lambda: blocked.is_dir() and begun(lockstep, 1)())
    assert [each["event"] for each in logs].count("the postman delivers nothing") == 1


def test_without_a_broker_that_answers_it_goes_on(home: Path, redis_server: RedisServer, listener: Listener) -> None:
    """The lease is for speed; what two workers may not do at once, the ledger refuses."""
    write_hooks(home, listener)
    redis_server.stop()
    with worker(home, redis_server) as lockstep:
        wait_until(begun(lockstep, 1))
        entry = happens(lockstep, 1)
        wait_until(lambda: heard(listener) == [entry])


def test_a_worker_without_hooks_asks_for_nothing(home: Path, redis_server: RedisServer) -> None:
    with worker(home, redis_server) as lockstep:
        assert not lockstep.leases.held([LEASE])
    assert not (home / "ledger.sqlite").exists()
