"""What the watch does with a drain, at a real HAProxy: nobody is taken out whom a readmission has just let in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inventory.model import Fleet
from orchestrator.adapters.load_balancer import HaproxyLoadBalancer
from orchestrator.bootstrap import Lockstep
from orchestrator.services.deployments import Schedule
from orchestrator.settings import Settings
from tests.integration.haproxy import Haproxy, haproxy
from tests.unit.services.fleets import World, fleet
from workers.bootstrap import Workshop
from workers.tasks.deployment import tend


@pytest.fixture
def balancer(tmp_path: Path) -> Iterator[Haproxy]:
    with haproxy(tmp_path, {"fe1": "9", "fe2": "9", "fe3": "9"}) as running:
        yield running


@pytest.fixture
def web(balancer: Haproxy) -> Fleet:
    settings = {"kind": "haproxy", "sockets": [balancer.socket()], "backend": "web"}
    return Fleet.model_validate({**fleet().model_dump(mode="json"), "load_balancer": settings})


def test_the_watch_leaves_a_frontend_alone_that_is_being_readmitted(tmp_path: Path, web: Fleet) -> None:
    world = World.at(tmp_path)
    world.release("ToDo", "1.0.0")
    world.commit(world.deploying.deploy(web, {"ToDo": "1.0.0"}, Schedule(), "operator"))
    drain = world.ledger.add_drain(web.key, "fe1", web.model_dump(mode="json"), "operator", "a new disk")
    world.ledger.confirm_drain(drain.number, "HAProxy")
    workshop = Workshop(Lockstep(Settings.read({"LOCKSTEP_HOME": str(tmp_path)})))
    assert web.load_balancer is not None
    rotation = HaproxyLoadBalancer(web.load_balancer)

    # Drained, and HAProxy has forgotten it.
    tend(workshop, drain.number)
    assert not rotation.uses("fe1")

    # The readmission has let it in, and has not ended yet.
    readmission = world.deploying.readmit(web, ["fe1"], "operator")
    rotation.readmit("fe1")
    tend(workshop, drain.number)
    assert rotation.uses("fe1")

    world.commit(readmission)
    tend(workshop, drain.number)
    assert rotation.uses("fe1")


def test_a_drain_during_a_readmission_is_another_one_and_holds(tmp_path: Path, web: Fleet) -> None:
    world = World.at(tmp_path)
    world.release("ToDo", "1.0.0")
    world.commit(world.deploying.deploy(web, {"ToDo": "1.0.0"}, Schedule(), "operator"))
    snapshot = web.model_dump(mode="json")
    first = world.ledger.add_drain(web.key, "fe1", snapshot, "operator", "a new disk")
    world.deploying.readmit(web, ["fe1"], "operator")
    again = world.ledger.add_drain(web.key, "fe1", snapshot, "operator", "it smokes", anew=True)
    world.ledger.confirm_drain(again.number, "HAProxy")
    workshop = Workshop(Lockstep(Settings.read({"LOCKSTEP_HOME": str(tmp_path)})))
    assert web.load_balancer is not None
    rotation = HaproxyLoadBalancer(web.load_balancer)
    for number in (first.number, again.number):
        tend(workshop, number)
    assert not rotation.uses("fe1")
