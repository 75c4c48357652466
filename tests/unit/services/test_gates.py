"""Deployments with gates, led by the service: real commands, a real trail, frontends that agree to everything."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inventory.model import Fleet
from orchestrator.adapters.ledger.trail import SqlTrail
from orchestrator.domain.deployment import Decision, Deployment, State, Step, Trouble
from orchestrator.domain.effects import Ask, GateName
from orchestrator.domain.trail import Action
from orchestrator.services.coordinator import Coordinator, Inbox
from orchestrator.services.gates import LONGEST_TROUBLES, Gatekeeper, environment
from tests.empty_ledger import empty_ledger
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.plans import plan
from tests.unit.coordination.scripted import ScriptedFleet, WatchedLedger, accepted
from tests.unit.services.fleets import Clock, fleet
from workers.gates import LocalGates

#: Appends its gate's name to the file beside it.
TELLS = 'echo "$LOCKSTEP_GATE" >> "${0%/*}/told"\n'


class Site:
    """A fleet with gates, a ledger and a trail."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ledger = MemoryLedger()
        self.fleet = ScriptedFleet()
        engine = empty_ledger(directory / "ledger.sqlite")
        self.trail = SqlTrail(engine, Clock())
        self.gates: dict[GateName, dict[str, Any]] = {}

    def gate(self, name: GateName, text: str, seconds: float = 300) -> None:
        """Have a gate run this, after it has told of itself."""
        script = self.directory / str(name)
        script.write_text(f"#!/bin/sh\n{TELLS}{text}\n")
        script.chmod(0o700)
        self.gates[name] = {"command": [str(script)], "seconds": seconds}

    def planned(self) -> int:
        """A deployment of the fleet as it is now."""
        snapshot = {**fleet(("App", "Shop"), 2).model_dump(mode="json"), "gates": self.gates}
        given = replace(plan(0), fleet="Production/web", frontends=("fe1", "fe2"), snapshot=snapshot)
        return self.ledger.plan(given).id

    def led(self, number: int, *, look: float = 0.02) -> Deployment:
        """The deployment, led as far as it goes."""
        keeper = Gatekeeper(LocalGates(grace_seconds=0.2), self.trail)
        return Coordinator(self.ledger, self.fleet, number, inbox=Inbox(look), gates=keeper).run()

    @property
    def told(self) -> list[str]:
        path = self.directory / "told"
        return path.read_text().split() if path.exists() else []

    @property
    def actions(self) -> list[Action]:
        return [entry.action for entry in self.trail.all()]

    @property
    def asked(self) -> list[Step]:
        return [group[0][0] for group in self.fleet.calls if isinstance(group, list)]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield Site(tmp_path)


def test_those_that_pass_run_once_each_at_their_places(site: Site) -> None:
    for name in GateName:
        site.gate(name, "exit 0")
    row = site.led(site.planned())
    assert (row.state, row.troubles) == (State.DONE, ())
    assert site.told == ["before_stage", "before_commit", "after_activate"]
    assert [(action.name, action.actor, action.fleet, action.deployment) for action in site.actions] == [
        ("gate.passed", "lockstep", "Production/web", row.id)
    ] * 3
    assert [action.detail["gate"] for action in site.actions] == site.told
    assert all(action.detail.keys() == {"gate", "seconds", "exit"} for action in site.actions)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        (GateName.BEFORE_STAGE, [Step.DISARM]),
        (GateName.BEFORE_COMMIT, [Step.STAGE, Step.VERIFY, Step.DISARM]),
    ],
)
@pytest.mark.parametrize("text", ["echo not today; exit 3", "echo not today; sleep 600"])
def test_one_that_stops_and_fails_aborts_before_anybody_is_asked(
    site: Site, name: GateName, asked: list[Step], text: str
) -> None:
    site.gate(name, text, seconds=0.5 if "sleep" in text else 300)
    site.gate(GateName.ON_ABORT, 'echo "$LOCKSTEP_TROUBLES" > "${0%/*}/troubles"')
    row = site.led(site.planned())
    assert (row.state, row.decision, site.asked) == (State.ABORTED, Decision.ABORT, asked)
    ((trouble),) = row.troubles
    assert (trouble.step, trouble.frontend) == (str(name), "")
    assert trouble.problem["found"].endswith("; it printed: not today")
    assert json.loads((site.directory / "troubles").read_text()) == [trouble.as_dict()]
    refused, passed = site.actions
    assert (refused.name, passed.name) == ("gate.refused", "gate.passed")
    assert refused.detail["problem"] == trouble.problem
    assert refused.detail["exit"] == (3 if "exit" in text else None)


@pytest.mark.parametrize("text", ["exit 7", "sleep 600"])
def test_one_after_the_decision_changes_nothing_where_it_fails(site: Site, text: str) -> None:
    site.gate(GateName.AFTER_ACTIVATE, text, seconds=0.5 if "sleep" in text else 300)
    row = site.led(site.planned())
    assert (row.state, row.decision, row.troubles) == (State.DONE, Decision.COMMIT, ())
    assert [action.name for action in site.actions] == ["gate.refused"]


@pytest.mark.parametrize("name", [GateName.BEFORE_STAGE, GateName.BEFORE_COMMIT])
def test_an_operator_s_abort_ends_what_runs_and_the_deployment_is_aborted(site: Site, name: GateName) -> None:
    site.gate(name, "sleep 600")
    site.gate(GateName.ON_ABORT, "exit 0")

    def abort_once_it_runs(readings: int) -> None:
        del readings
        if site.told == [str(name)]:
            MemoryLedger.decide(site.ledger, number, Decision.ABORT, [])

    site.ledger = WatchedLedger(abort_once_it_runs)
    number = site.planned()
    row = site.led(number)
    assert (row.state, site.told, site.asked[-1]) == (State.ABORTED, [str(name), "on_abort"], Step.DISARM)
    off, passed = site.actions
    assert (off.name, off.detail["problem"]["what"]) == ("gate.refused", f"the gate {name} was called off")
    assert (passed.name, passed.detail["gate"]) == ("gate.passed", "on_abort")


def test_whoever_leads_no_more_leaves_no_command_behind(site: Site) -> None:
    site.gate(GateName.AFTER_ACTIVATE, 'echo $$ > "${0%/*}/pid"; sleep 600')
    pid = site.directory / "pid"

    def answer(ask: Ask) -> Any:
        if ask.step is Step.CONFIRM:
            deadline = time.monotonic() + 60
            while not (pid.exists() and pid.read_text().endswith("\n")):
                assert time.monotonic() < deadline
                time.sleep(0.01)
            raise KeyboardInterrupt
        return accepted(ask)

    site.fleet = ScriptedFleet(answer)
    with pytest.raises(KeyboardInterrupt):
        site.led(site.planned())
    assert not Path(f"/proc/{int(pid.read_text())}").exists()
    assert site.fleet.closed == 1


@pytest.mark.parametrize("name", [GateName.BEFORE_STAGE, GateName.BEFORE_COMMIT])
def test_a_process_that_runs_no_gates_lets_nobody_through(site: Site, name: GateName) -> None:
    site.gate(name, "exit 0")
    number = site.planned()
    row = Coordinator(site.ledger, site.fleet, number, inbox=Inbox(0.02)).run()
    assert (row.state, [trouble.step for trouble in row.troubles]) == (State.ABORTED, [str(name)])
    assert site.told == []


# ── what a command is told ──


def told(name: GateName, change: Callable[[Deployment], Deployment] = lambda row: row) -> dict[str, str]:
    here = fleet(("App", "Shop"), 3)
    snapshot = here.model_dump(mode="json")
    given = replace(plan(0), fleet=here.key, frontends=("fe1", "fe3"), snapshot=snapshot, actor="ann@desk")
    return environment(change(MemoryLedger().plan(given)), Fleet.model_validate(snapshot), name)


def test_it_is_told_all_of_the_deployment() -> None:
    row = MemoryLedger().plan(plan(0))
    assert told(GateName.BEFORE_STAGE) == {
        "LOCKSTEP_GATE": "before_stage",
        "LOCKSTEP_DEPLOYMENT": "1",
        "LOCKSTEP_KIND": "deploy",
        "LOCKSTEP_FLEET": "Production/web",
        "LOCKSTEP_ENVIRONMENT": "Production",
        "LOCKSTEP_EPOCH": "1",
        "LOCKSTEP_ACTIVATION": str(row.name),
        "LOCKSTEP_ACTOR": "ann@desk",
        "LOCKSTEP_CHANGES": '{"App":"1.0","Shop":"7"}',
        "LOCKSTEP_APPS": json.dumps(
            {"App": {"digest": "a" * 64, "version": "1.0"}, "Shop": {"digest": "b" * 64, "version": "7"}},
            separators=(",", ":"),
        ),
        "LOCKSTEP_FRONTENDS": '[{"name":"fe1","url":"http://127.0.0.1:8080"},'
        '{"name":"fe3","url":"http://127.0.0.3:8080"}]',
    }


def test_only_who_is_told_of_an_abort_is_told_why() -> None:
    keys = {name: set(told(name)) for name in GateName}
    assert keys[GateName.ON_ABORT] == keys[GateName.BEFORE_STAGE] | {"LOCKSTEP_TROUBLES"}
    assert keys[GateName.BEFORE_STAGE] == keys[GateName.BEFORE_COMMIT] == keys[GateName.AFTER_ACTIVATE]


def test_the_manual_names_every_variable() -> None:
    text = (Path(__file__).parents[3] / "docs" / "gates.md").read_text()
    for variable in told(GateName.ON_ABORT):
        assert f"| `{variable}` |" in text


def test_however_many_troubles_there_are_the_command_can_be_started_and_reads_json() -> None:
    many = tuple(Trouble("stage", f"fe{n}", {"what": "ü" * 500}) for n in range(500))
    text = told(GateName.ON_ABORT, lambda row: replace(row, troubles=many))["LOCKSTEP_TROUBLES"]
    assert LONGEST_TROUBLES - 4_000 < len(text.encode()) <= LONGEST_TROUBLES
    assert json.loads(text) == [trouble.as_dict() for trouble in many[: len(json.loads(text))]]


def test_a_name_with_what_no_environment_can_hold_is_told_without_it() -> None:
    change: Callable[[Deployment], Deployment] = lambda row: replace(row, plan=replace(row.plan, actor="a\0b"))  # noqa: E731
    assert told(GateName.ON_ABORT, change)["LOCKSTEP_ACTOR"] == "ab"
