"""The tasks of one frontend: a report for a step that somebody waits for, nothing for one that nobody waits for."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from inventory.model import Fleet
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.deployment import Decision, Outcome, Report, State, Step
from orchestrator.services.deployments import Schedule
from orchestrator.services.rotation import Rotating
from orchestrator.settings import Settings
from tests.unit.services.fleets import World, fleet
from workers.bootstrap import Workshop
from workers.tasks.deployment import drain
from workers.tasks.frontend import stage, verify

Task = Callable[[Workshop, int, int, str, Sequence[str]], None]
TASKS: dict[Step, Task] = {Step.STAGE: stage, Step.VERIFY: verify}


@pytest.fixture
def nobody_listens() -> Iterator[int]:
    """A port that refuses connections for as long as the test runs: it is bound, but nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def workshop(tmp_path: Path, nobody_listens: int) -> Workshop:
    """Its broker can't be reached: the steps go on without a lease."""
    broker = f"redis://127.0.0.1:{nobody_listens}/0"
    return Workshop(Lockstep(Settings.read({"LOCKSTEP_HOME": str(tmp_path), "LOCKSTEP_BROKER_URL": broker})))


@pytest.fixture
def number(tmp_path: Path, nobody_listens: int) -> int:
    """A deployment that is staging, of a fleet that can't be reached."""
    world = World.at(tmp_path)
    world.release("ToDo", "1.0.0")
    document = fleet(frontends=1).model_dump(mode="json")
    document["frontends"][0].update(address="127.0.0.1", port=nobody_listens)
    unreachable = Fleet.model_validate(document)
    made = world.deploying.deploy(unreachable, {"ToDo": "1.0.0"}, Schedule(), "ann")
    world.ledger.move(made.id, State.PLANNED, State.STAGING)
    return made.id


@pytest.mark.parametrize("step", TASKS)
def test_a_frontend_that_can_t_be_reached_is_reported_as_unknown(workshop: Workshop, number: int, step: Step) -> None:
    TASKS[step](workshop, number, 1, "fe1", ["fe1"])
    ((_, report),) = workshop.lockstep.ledger.reports(number)
    assert (report.frontend, report.step, report.attempt, report.outcome) == ("fe1", step, 1, Outcome.UNKNOWN)
    assert report.problem["what"] == "the frontend can't be reached over SSH"


@pytest.mark.parametrize("step", TASKS)
def test_a_message_that_comes_after_the_decision_does_nothing(workshop: Workshop, number: int, step: Step) -> None:
    workshop.lockstep.ledger.decide(number, Decision.ABORT, [])
    TASKS[step](workshop, number, 1, "fe1", ["fe1"])
    assert workshop.lockstep.ledger.reports(number) == []


@pytest.mark.parametrize("step", TASKS)
def test_of_a_message_that_comes_twice_only_what_nobody_has_reported_is_done(
    workshop: Workshop, number: int, step: Step
) -> None:
    ledger = workshop.lockstep.ledger
    earlier = Report("fe1", step, 1, Outcome.ACCEPTED)
    ledger.record(number, [earlier])
    # Another attempt of it is another asking.
    ledger.record(number, [Report("fe9", step, 2, Outcome.ACCEPTED)])
    for _ in range(2):
        TASKS[step](workshop, number, 1, "fe1", ["fe1", "fe9", "fe8"])
    asked = [(report.frontend, report.attempt) for _, report in ledger.reports(number)]
    assert asked[:2] == [("fe1", 1), ("fe9", 2)]
    assert sorted(asked[2:]) == [("fe8", 1), ("fe9", 1)]


def test_a_frontend_that_the_deployment_does_not_have_is_reported_and_asked_for_nothing(
    workshop: Workshop, number: int
) -> None:
    stage(workshop, number, 1, "fe9", ["fe9"])
    ((_, report),) = workshop.lockstep.ledger.reports(number)
    assert (report.outcome, report.problem["what"]) == (Outcome.UNKNOWN, f"deployment {number} has no frontend fe9")


def unreachable(port: int) -> Fleet:
    """A fleet of two whose first frontend can't be reached."""
    document = fleet(frontends=2).model_dump(mode="json")
    document["frontends"][0].update(address="127.0.0.1", port=port)
    return Fleet.model_validate(document)


@pytest.fixture
def being_readmitted(tmp_path: Path, nobody_listens: int) -> tuple[World, int, int]:
    """A fleet with a drain that nobody has confirmed, and the readmission that is to end it; both by number."""
    world = World.at(tmp_path)
    world.release("ToDo", "1.0.0")
    web = unreachable(nobody_listens)
    world.commit(world.deploying.deploy(web, {"ToDo": "1.0.0"}, Schedule(), "ann"))
    standing = Rotating(world.ledger, world.messages).drain(web, "fe1", "ann", "")
    readmission = world.deploying.readmit(web, ["fe1"], "ann")
    world.carry_out(readmission)
    return world, standing.number, readmission.id


def test_a_drain_that_can_not_be_confirmed_says_why(
    workshop: Workshop, being_readmitted: tuple[World, int, int]
) -> None:
    world, number, readmission = being_readmitted
    world.ledger.decide(readmission, Decision.ABORT, [])
    world.ledger.move(readmission, State.ABORTING, State.ABORTED)
    drain(workshop, number)
    standing = world.ledger.drain(number)
    assert standing is not None
    assert standing.problem["what"] == "the frontend can't be reached over SSH"


def test_one_that_a_decided_readmission_lets_in_is_not_taken_out_again(
    workshop: Workshop, being_readmitted: tuple[World, int, int]
) -> None:
    """The ledger lifts the drain when the readmission has ended: what took it out again would outlast that."""
    world, number, readmission = being_readmitted
    world.ledger.decide(readmission, Decision.COMMIT, [])
    drain(workshop, number)
    standing = world.ledger.drain(number)
    assert standing is not None
    assert (standing.confirmed, standing.problem) == (False, {})


def test_a_drain_that_is_lifted_or_was_never_there_is_nobody_s(
    workshop: Workshop, being_readmitted: tuple[World, int, int]
) -> None:
    world, number, _ = being_readmitted
    world.ledger.add_drain("Production/web", "fe1", {}, "ann", "", anew=True)
    drain(workshop, number)
    drain(workshop, 99)
    standing = world.ledger.drain(number)
    assert standing is not None
    assert standing.problem == {}
