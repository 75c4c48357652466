"""The commands drain and readmit, as typed: what they refuse; and `--wait`, which waits for the fleet and no more."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.bootstrap import Lockstep
from orchestrator.cli import deployments
from orchestrator.cli.app import main
from orchestrator.cli.deployments import when_free
from orchestrator.cli.output import Exit
from orchestrator.domain.deployment import Decision, Deployment, State
from orchestrator.domain.errors import ConflictError
from orchestrator.services.deployments import Schedule
from orchestrator.settings import Settings
from tests.unit.inventory.documents import VALID
from tests.unit.services.fleets import World, fleet

AT_ONCE = Schedule()
WEB = fleet().key


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an inventory and no broker."""
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(VALID)
    for name in ("LEDGER_URL", "BROKER_URL", "ARTIFACTS", "LEASE_SECONDS"):
        monkeypatch.delenv(f"LOCKSTEP_{name}", raising=False)
    monkeypatch.setenv("LOCKSTEP_HOME", str(tmp_path))
    monkeypatch.setenv("LOCKSTEP_INVENTORY", str(inventory))
    return tmp_path


def typed(*words: str) -> int:
    """The exit code."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    "words", [["drain"], ["drain", "web"], ["drain", "web", "fe1", "fe2"], ["readmit"], ["readmit", "web"]]
)
def test_what_is_missing_or_too_much_is_a_usage_error(home: Path, words: list[str]) -> None:
    assert typed(*words) == Exit.USAGE
    assert not (home / "ledger.sqlite").exists()


@pytest.mark.parametrize("command", ["drain", "readmit"])
def test_a_fleet_that_the_inventory_does_not_have_is_named(
    home: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert typed(command, "nothing", "fe1", "--json") == Exit.USAGE
    assert "nothing" in json.dumps(json.loads("".join(capsys.readouterr())))
    assert not (home / "ledger.sqlite").exists()


@pytest.mark.parametrize("command", ["drain", "readmit"])
@pytest.mark.usefixtures("home")
def test_without_a_broker_nothing_is_written(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert typed(command, "Production/web", "fe1") == Exit.USAGE
    assert "no broker is configured" in "".join(capsys.readouterr())


@pytest.mark.usefixtures("home")
def test_a_readmission_can_wait_and_a_drain_need_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("drain", "web", "fe1", "--wait") == Exit.USAGE
    assert "No such option" in capsys.readouterr().err
    assert typed("readmit", "Production/web", "fe1", "--wait") == Exit.USAGE
    assert "no broker is configured" in "".join(capsys.readouterr())


# ── --wait ──


@pytest.fixture
def world(home: Path) -> World:
    made = World.at(home)
    made.release("ToDo", "1.0.0")
    made.release("ToDo", "2.0.0")
    return made


@pytest.fixture
def lockstep(home: Path) -> Lockstep:
    return Lockstep(Settings.read({"LOCKSTEP_HOME": str(home)}))


def planned(world: World, version: str = "1.0.0") -> Deployment:
    return world.deploying.deploy(fleet(), {"ToDo": version}, AT_ONCE, "ann@ops")


def test_a_fleet_that_is_free_is_not_waited_for(world: World, lockstep: Lockstep) -> None:
    for wait in (False, True):
        made = when_free(lockstep, WEB, wait, lambda: planned(world))
        world.commit(made)


def test_without_wait_whoever_holds_the_fleet_is_the_answer(world: World, lockstep: Lockstep) -> None:
    held = planned(world)
    with pytest.raises(ConflictError, match=f"deployment {held.id} of {WEB} is open"):
        when_free(lockstep, WEB, False, lambda: planned(world))


class Looked(SqlLedger):
    """A ledger that says each time that it was asked who holds a fleet."""

    looks = threading.Semaphore(0)

    def open_deployment(self, fleet: str) -> Deployment | None:
        self.looks.release()
        return super().open_deployment(fleet)


def test_with_wait_it_begins_once_the_fleet_is_free_and_says_whom_it_waits_for(
    world: World, lockstep: Lockstep, capsys: pytest.CaptureFixture[str]
) -> None:
    held = planned(world)
    tries: list[int] = []

    def start() -> Deployment:
        tries.append(1)
        return planned(world, "2.0.0")

    lockstep.ledger = looked = Looked(lockstep._engine, lockstep.clock)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(when_free, lockstep, WEB, True, start)
        for _ in range(2):
            assert looked.looks.acquire(timeout=60)
        world.ledger.decide(held.id, Decision.ABORT, [])
        world.ledger.move(held.id, State.ABORTING, State.ABORTED)
        made = waiting.result(60)
    assert (made.epoch, tries) == (2, [1])
    assert capsys.readouterr().err.count(f"waiting for deployment {held.id} (planned, by ann@ops") == 1


def test_a_conflict_that_does_not_pass_is_not_waited_for(world: World, lockstep: Lockstep) -> None:
    world.commit(planned(world))

    def start() -> Deployment:
        return world.deploying.readmit(fleet(), ["fe1"], "ann")

    with pytest.raises(ConflictError, match="in rotation already"):
        when_free(lockstep, WEB, True, start)


def test_one_that_was_faster_is_waited_for_as_well(world: World, lockstep: Lockstep) -> None:
    tries: list[Deployment] = []

    def start() -> Deployment:
        if tries:
            return planned(world, "2.0.0")
        tries.append(planned(world))
        try:
            return planned(world)
        finally:
            threading.Timer(2 * deployments.WAIT_SECONDS, world.commit, tries).start()

    assert when_free(lockstep, WEB, True, start).epoch == 2


def test_who_interrupts_after_it_was_planned_gets_what_was_planned(world: World, lockstep: Lockstep) -> None:
    def start() -> Deployment:
        world.deploying.deploy(fleet(), {"ToDo": "1.0.0"}, AT_ONCE, deployments.actor())
        raise KeyboardInterrupt

    assert when_free(lockstep, WEB, False, start).epoch == 1

    def not_mine() -> Deployment:
        raise KeyboardInterrupt

    world.commit(world.ledger.unfinished()[0])
    planned(world)
    with pytest.raises(KeyboardInterrupt):
        when_free(lockstep, WEB, False, not_mine)
