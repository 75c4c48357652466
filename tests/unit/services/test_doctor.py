"""The doctor brings together what is seen at one moment, and goes on without what nobody can see."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from inventory.model import Fleet
from orchestrator.domain.deployment import Decision, State
from orchestrator.domain.errors import Problem, UnansweredError, UsageError
from orchestrator.ota.doctor.findings import Code
from orchestrator.ota.doctor.look import Errand, Look, Unseen
from orchestrator.services.deployments import Schedule
from orchestrator.services.doctor import ATTEMPTS, Doctor, Examination, Scope
from tests.unit.services.fleets import World, fleet

UNSEEN = Unseen(Problem("nobody was there"))


@dataclass
class Nobody:
    """Looks that see nothing, and remember who was to look; `meanwhile` happens while they are waited for."""

    meanwhile: Callable[[], None] = lambda: None
    errands: list[Errand] = field(default_factory=list)

    def look(
        self, errands: Sequence[Errand], seconds: float, heard: Callable[[int], None]
    ) -> Mapping[str, Look | Unseen]:
        self.errands += errands
        self.meanwhile()
        heard(len(errands))
        return dict.fromkeys((errand.frontend for errand in errands), UNSEEN)

    def put(self, errand: Errand, seen: Look | Unseen) -> None:
        raise AssertionError("the doctor does not answer itself")


@pytest.fixture
def web() -> Iterator[Fleet]:
    """A fleet of three that refuse connections for as long as the test runs: bound, but nobody listens."""
    document = fleet(apps=("ToDo",)).model_dump(mode="json")
    with ExitStack() as stack:
        for frontend in document["frontends"]:
            bound = stack.enter_context(socket.socket())
            bound.bind(("127.0.0.1", 0))
            frontend["url"] = f"http://127.0.0.1:{bound.getsockname()[1]}"
        yield Fleet.model_validate(document)


@pytest.fixture
def world(tmp_path: Path, web: Fleet) -> World:
    made = World.at(tmp_path)
    for version in ("1.0.0", "2.0.0"):
        made.release("ToDo", version)
    made.commit(made.deploying.deploy(web, {"ToDo": "1.0.0"}, Schedule(), "ann"))
    return made


def examined(world: World, web: Fleet, looks: Nobody, scope: Scope | None = None, app: str = "ToDo") -> Examination:
    doctor = Doctor(world.ledger, world.artifacts, lambda: looks, world.clock)
    return doctor.examine_fleet(web, web.frontends[0].base_url, app, scope or Scope(), lambda _: None)


def codes(examination: Examination) -> set[Code]:
    return {finding.code for finding in examination.findings}


SILENT = {Code.SILENT_FRONTEND, Code.SILENT_ADDRESS, Code.UNSEEN_DISK, Code.NOTHING_EXAMINED}


def test_where_nobody_answers_nothing_is_known(world: World, web: Fleet) -> None:
    looks = Nobody()
    examination = examined(world, web, looks)
    assert codes(examination) == SILENT
    assert [errand.frontend for errand in looks.errands] == ["fe1", "fe2", "fe3"]
    assert len({errand.nonce for errand in looks.errands}) == 1
    assert {errand.deployment for errand in looks.errands} == {1}
    assert (examination.checked, examination.files) == (1, 1)


def test_without_a_way_to_workers_it_goes_on_and_says_why(world: World, web: Fleet) -> None:
    def none() -> Nobody:
        raise UnansweredError("no broker is configured")

    doctor = Doctor(world.ledger, world.artifacts, none, world.clock)
    examination = doctor.examine_fleet(web, web.frontends[0].base_url, "ToDo", Scope(), lambda _: None)
    assert codes(examination) == SILENT
    (unseen,) = [finding for finding in examination.findings if finding.code is Code.UNSEEN_DISK]
    assert "no broker is configured" in unseen.found
    assert unseen.where == ("fe1", "fe2", "fe3")


def test_a_frontend_that_is_elsewhere_by_now_is_not_looked_at(world: World, web: Fleet) -> None:
    document = web.model_dump(mode="json")
    document["frontends"][1]["address"] = "127.0.0.99"
    document["frontends"][2]["url"] = web.frontends[2].base_url.replace("127.0.0.1", "127.0.0.3")
    looks = Nobody()
    examination = examined(world, Fleet.model_validate(document), looks)
    assert [errand.frontend for errand in looks.errands] == ["fe1", "fe3"]
    assert any("inventory has changed" in f.found and f.where == ("fe2",) for f in examination.findings)


def test_after_a_readmission_its_copy_of_the_fleet_counts(world: World, web: Fleet) -> None:
    document = web.model_dump(mode="json")
    document["frontends"][1]["address"] = "127.0.0.99"
    moved = Fleet.model_validate(document)
    world.ledger.add_drain(web.key, "fe2", web.model_dump(mode="json"), "ann", "moved")
    readmission = world.deploying.readmit(moved, ["fe2"], "ann")
    looks = Nobody()
    examined(world, moved, looks)
    assert {errand.deployment for errand in looks.errands} == {readmission.id}
    assert len(looks.errands) == 3


def test_a_fleet_that_moves_once_is_looked_at_again(world: World, web: Fleet) -> None:
    def move_once() -> None:
        if len(looks.errands) == 3:
            world.commit(world.deploying.deploy(web, {"ToDo": "2.0.0"}, Schedule(), "ann"))

    looks = Nobody(meanwhile=move_once)
    examination = examined(world, web, looks)
    assert codes(examination) == SILENT
    assert len(looks.errands) == 6
    assert examination.seen.release is not None
    assert (examination.seen.release.version, examination.seen.release.name.epoch) == ("2.0.0", 2)


def test_a_fleet_that_moves_each_time_is_said_to(world: World, web: Fleet) -> None:
    versions = iter(["2.0.0", "1.0.0"] * ATTEMPTS)
    looks = Nobody(
        meanwhile=lambda: world.commit(world.deploying.deploy(web, {"ToDo": next(versions)}, Schedule(), "ann"))
    )
    assert codes(examined(world, web, looks)) == {*SILENT, Code.MOVED}
    assert len(looks.errands) == 3 * ATTEMPTS


def test_an_open_deployment_is_said_with_what_it_waits_for(world: World, web: Fleet) -> None:
    made = world.deploying.deploy(web, {"ToDo": "2.0.0"}, Schedule(hold=True), "ann")
    world.carry_out(made)
    going = examined(world, web, Nobody()).seen.open
    assert going is not None
    assert (going.number, going.state, going.committed, going.waits_for) == (
        2,
        "prepared",
        False,
        "lockstep continue 2",
    )
    world.ledger.decide(made.id, Decision.ABORT, [])
    going = examined(world, web, Nobody()).seen.open
    assert going is not None
    assert going.state == State.ABORTING


def test_a_file_is_asked_about_by_any_of_its_names(world: World, web: Fleet) -> None:
    looks = Nobody()
    examination = examined(world, web, looks, Scope(file="/ToDo/index.html?" + "x" * 22))
    assert {errand.file for errand in looks.errands} == {"index.html"}
    assert Code.OTHER_HASH in codes(examination)
    assert Code.NOT_LISTED in codes(examined(world, web, Nobody(), Scope(file="index.htm")))


def test_of_a_store_only_app_the_activation_with_its_builds_is_what_must_be_there(world: World, web: Fleet) -> None:
    first = world.ledger.release("ToDo", "1.0.0")
    assert first is not None
    plan = world.deploying.plan(web, {"ToDo": "2.0.0"}, Schedule(), "ann")
    placements = tuple(replace(placement, builds=(first.digest,)) for placement in plan.placements)
    world.commit(world.ledger.plan(replace(plan, placements=placements)))
    looks = Nobody()
    release = examined(world, web, looks).seen.release
    assert release is not None
    assert release.version == "2.0.0"
    tree = release.activation_tree
    assert tree is not None
    assert "-/ToDo/native/store-only" in tree.files
    assert {errand.known for errand in looks.errands} == {frozenset({tree.digest(), release.release_tree.digest()})}


def test_what_can_t_be_examined_is_a_mistake_of_whoever_asks(world: World, web: Fleet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not serve Portal"):
        examined(world, web, Nobody(), app="Portal")
    other = web.model_copy(update={"name": "other"})
    with pytest.raises(UsageError, match="serves nothing yet"):
        examined(world, other, Nobody())
    shutil.rmtree(tmp_path / "artifacts")
    with pytest.raises(UsageError, match="can't be read here"):
        examined(world, web, Nobody())
