"""The worker's task that looks: it answers whoever asked, and goes only where the ledger says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inventory.model import Fleet
from orchestrator.adapters.looks import key
from orchestrator.bootstrap import Lockstep
from orchestrator.ota.doctor.look import Errand, Unseen, read_answer
from orchestrator.services.deployments import Schedule
from orchestrator.settings import Settings
from tests.integration.nginx import free_ports
from tests.integration.redis_server import RedisServer
from tests.unit.services.fleets import World, fleet
from workers.bootstrap import Workshop
from workers.tasks.looking import look

NONCE = "0123456789abcdef" * 2


@pytest.fixture
def workshop(tmp_path: Path, redis_server: RedisServer) -> Workshop:
    return Workshop(Lockstep(Settings.read({"LOCKSTEP_HOME": str(tmp_path), "LOCKSTEP_BROKER_URL": redis_server.url})))


@pytest.fixture
def number(tmp_path: Path) -> int:
    """A deployment of a fleet that can't be reached."""
    world = World.at(tmp_path)
    world.release("ToDo", "1.0.0")
    document = fleet(frontends=1).model_dump(mode="json")
    document["frontends"][0].update(address="127.0.0.1", port=free_ports(1)[0])
    made = world.deploying.deploy(Fleet.model_validate(document), {"ToDo": "1.0.0"}, Schedule(), "ann")
    return made.id


def told(server: RedisServer) -> list[Any]:
    bodies: list[Any] = server.client().lrange(key(NONCE), 0, -1)
    return [read_answer(body) for body in bodies]


def errand(number: int, frontend: str = "fe1") -> list[Any]:
    return Errand(NONCE, number, frontend, "ToDo", frozenset(), None, 30.0).words()


def test_a_frontend_that_can_t_be_reached_is_told_as_unseen_and_nothing_goes_into_the_ledger(
    workshop: Workshop, number: int, redis_server: RedisServer
) -> None:
    look(workshop, errand(number))
    ((name, seen),) = told(redis_server)
    assert isinstance(seen, Unseen)
    assert (name, seen.problem.what) == ("fe1", "the frontend can't be reached over SSH")
    assert workshop.lockstep.ledger.reports(number) == []


def test_a_frontend_or_a_deployment_that_the_ledger_does_not_know_is_told_as_unseen(
    workshop: Workshop, number: int, redis_server: RedisServer
) -> None:
    look(workshop, errand(number, "fe9"))
    look(workshop, errand(number + 1))
    (_, strange), (_, unknown) = told(redis_server)
    assert "had no frontend fe9" in strange.problem.what
    assert f"{number + 1}" in unknown.problem.what


@pytest.mark.parametrize("words", [[], ["x"], [NONCE, 1, "fe1; reboot", "ToDo", [], None, 1.0]])
def test_a_message_that_is_no_errand_is_answered_by_nobody(
    workshop: Workshop, redis_server: RedisServer, words: list[Any]
) -> None:
    look(workshop, words)
    assert redis_server.client().keys() == []


def test_an_answer_that_redis_does_not_take_ends_the_task_all_the_same(
    workshop: Workshop, number: int, redis_server: RedisServer
) -> None:
    redis_server.stop()
    look(workshop, errand(number))
