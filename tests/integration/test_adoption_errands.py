"""The worker's task of adoption: it answers whoever asked, and goes only where its own inventory says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from inventory.model import Fleet
from orchestrator.adapters.adoptions import RedisAdoptions, key
from orchestrator.adapters.dispatch import ADOPT, CeleryDispatch, celery_app
from orchestrator.adapters.inventory import load_inventory
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.adoption.errand import Errand, Silence, how_reached, read_answer
from orchestrator.domain.adoption.site import Held, Site, Where
from orchestrator.domain.errors import Problem
from orchestrator.settings import Settings
from tests.integration.nginx import free_ports
from tests.integration.redis_server import PATIENCE, RedisServer
from tests.unit.services.fleets import HOST_KEY
from workers.bootstrap import Workshop
from workers.tasks.adopting import adopt

NONCE = "0123456789abcdef" * 2
SITE = Site("/srv/www", {"index.html": Held(1, "a" * 64)})
INVENTORY = """
apps:
  ToDo: {{mount: /ToDo/}}
environments:
  Lab:
    fleets:
      web:
        apps: [ToDo]
        defaults: {{user: deploy}}
        frontends:
          fe1: {{address: 127.0.0.1, port: {port}, host_key: "{key}", url: "http://127.0.0.1:1", root: /srv/lockstep}}
"""


@pytest.fixture
def workshop(tmp_path: Path, redis_server: RedisServer) -> Workshop:
    """Its inventory has one frontend, at a port that nobody listens on."""
    (tmp_path / "inventory.yml").write_text(INVENTORY.format(port=free_ports(1)[0], key=HOST_KEY))
    settings = {"LOCKSTEP_HOME": str(tmp_path), "LOCKSTEP_BROKER_URL": redis_server.url}
    return Workshop(Lockstep(Settings.read({**settings, "LOCKSTEP_INVENTORY": str(tmp_path / "inventory.yml")})))


@pytest.fixture
def fleet(workshop: Workshop) -> Fleet:
    return load_inventory(workshop.lockstep.settings.inventory).fleets[0]


def errand(fleet: Fleet, **changed: object) -> list[Any]:
    made = Errand(
        nonce=NONCE,
        fleet=fleet.key,
        frontend="fe1",
        reached=how_reached(fleet.frontends[0]),
        where=Where(path="/srv/www"),
        seconds=30,
    )
    return [{**made.words()[0], **changed}]


def told(server: RedisServer) -> Problem:
    bodies: list[Any] = server.client().lrange(key(NONCE), 0, -1)
    (body,) = bodies
    _, problem = read_answer(body)
    assert isinstance(problem, Problem)
    return problem


def test_a_frontend_that_can_t_be_reached_is_told(workshop: Workshop, fleet: Fleet, redis_server: RedisServer) -> None:
    adopt(workshop, errand(fleet))
    assert told(redis_server).what == "the frontend can't be reached over SSH"


@pytest.mark.parametrize("changed", [{"reached": "0" * 64}, {"frontend": "fe9"}], ids=["otherwise", "unknown"])
def test_nobody_is_sent_where_the_worker_s_own_inventory_does_not_say(
    workshop: Workshop, fleet: Fleet, redis_server: RedisServer, changed: dict[str, object]
) -> None:
    adopt(workshop, errand(fleet, **changed))
    assert told(redis_server).what == "the worker's inventory says something else of this frontend"


def test_a_worker_without_an_inventory_says_so(workshop: Workshop, fleet: Fleet, redis_server: RedisServer) -> None:
    words = errand(fleet)
    workshop.lockstep.settings.inventory.unlink()
    adopt(workshop, words)
    assert "inventory" in told(redis_server).remedy


@pytest.mark.parametrize("words", [[], ["x"], [{"nonce": NONCE}]], ids=["nothing", "text", "half"])
def test_a_message_that_is_no_errand_is_answered_by_nobody(
    workshop: Workshop, redis_server: RedisServer, words: list[Any]
) -> None:
    adopt(workshop, words)
    assert redis_server.client().keys() == []


@contextmanager
def worker(server: RedisServer, task: object) -> Iterator[RedisAdoptions]:
    """A real Celery worker in this process, whose adoption does what the test wants."""
    from celery.contrib.testing.worker import start_worker

    app = celery_app(server.url)
    app.task(name=ADOPT, shared=False)(task)
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=PATIENCE):
        yield RedisAdoptions(server.url, CeleryDispatch(server.url))


def say_nothing(*_: object) -> None:
    """An adoption that tells nobody."""


def test_what_a_worker_brings_reaches_whoever_asked_and_the_list_is_gone(
    fleet: Fleet, redis_server: RedisServer
) -> None:
    def task(*words: object) -> None:
        RedisAdoptions(redis_server.url, CeleryDispatch(redis_server.url)).put(Errand.read(words), SITE)

    with worker(redis_server, task) as adoptions:
        assert adoptions.send([Errand.read(errand(fleet))], PATIENCE) == {"fe1": SITE}
    assert not redis_server.client().exists(key(NONCE))


def test_who_says_nothing_in_time_is_silence(fleet: Fleet, redis_server: RedisServer) -> None:
    with worker(redis_server, say_nothing) as adoptions:
        (brought,) = adoptions.send([Errand.read(errand(fleet))], 0.2).values()
    assert isinstance(brought, Silence)


def test_where_no_worker_runs_nothing_is_sent(fleet: Fleet, redis_server: RedisServer) -> None:
    adoptions = RedisAdoptions(redis_server.url, CeleryDispatch(redis_server.url))
    (brought,) = adoptions.send([Errand.read(errand(fleet))], PATIENCE).values()
    assert isinstance(brought, Problem)
    assert (brought.what, isinstance(brought, Silence)) == ("no worker answers", False)
