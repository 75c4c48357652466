"""Polled zones: what is asked over HTTP, what becomes of it in the ledger, and the files in which it is told."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from orchestrator.adapters.ledger.engine import open_engine
from orchestrator.adapters.ledger.triggers import SqlTriggers
from orchestrator.domain.deployment import Decision, State, Trouble
from orchestrator.domain.trigger import Claim, Trigger
from orchestrator.services.deployments import Schedule
from orchestrator.services.zones import Zones
from tests.unit.api.serving import FLEET, TOKEN, Served

KEY, OPERATION = "07897a77-3f58-4e5b-b926-a48605c0b6d0", "dab321f9-72e8-44e8-ae5c-2c8212314cf6"
NEXT = "dab321f9-72e8-44e8-ae5c-2c8212314cf7"


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path)


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def query(operation: str = OPERATION, **others: str) -> dict[str, str]:
    """As the platform appends it; what is "" is left out."""
    given = {
        "Address": "zone.example.com",
        "ApplicationName": "ToDo",
        "ApplicationKey": KEY,
        "OperationId": operation,
        "TargetPath": "\\\\share\\bundles",
        "ResultPath": "\\\\share\\results",
        "ConfigPath": "\\\\share\\configs",
        "ModuleNames": '["ToDo_CS"]',
    } | others
    return {name: packed(value) for name, value in given.items() if value}


def ask(served: Served, step: str, given: dict[str, str] | None = None, **others: str) -> httpx.Response:
    """By the path, as one who can send no header; then a look, as the server's own thread would."""
    params = {**(query() if given is None else given), **others}
    answer = served.ask("GET", f"/zones/containers/{TOKEN}/{step}", params=params)
    served.app.state.watch.look()
    return answer


def files(served: Served) -> dict[str, Any]:
    """The result files by the end of their names."""
    found = sorted((served.home / "results").iterdir())
    return {each.suffix: json.loads(each.read_text()) for each in found}


def open_number(served: Served) -> int:
    found = served.lockstep.ledger.open_deployment(FLEET)
    assert found is not None
    return found.id


def look(served: Served) -> int:
    looked: int = served.app.state.watch.look()
    return looked


def stage(served: Served, number: int) -> None:
    """As workers would, up to the hold."""
    found = served.lockstep.ledger.deployment(number)
    assert found is not None
    served.world.carry_out(found)


def test_an_operation_goes_all_the_way(served: Served) -> None:
    answer = ask(served, "prepare")
    assert (answer.status_code, answer.json()["result"]) == (202, f"{KEY}_{OPERATION}.preparedone")
    number = open_number(served)
    deployment = served.lockstep.ledger.deployment(number)
    assert deployment is not None
    # The newest release.
    assert (deployment.plan.changes, deployment.plan.hold, deployment.plan.actor) == (
        {"ToDo": "2.0.0"},
        True,
        "zone:containers",
    )
    assert (look(served), files(served)) == (0, {})
    stage(served, number)
    assert look(served) == 1
    assert "staged and verified" in files(served)[".preparedone"]["AdditionalInfo"]

    assert ask(served, "deploy").status_code == 202
    assert served.world.messages.coordinated == [number, number]
    assert list(files(served)) == [".preparedone"]
    served.commit(number)
    assert look(served) == 1
    assert f"deployment {number} is done" in files(served)[".deploydone"]["AdditionalInfo"]
    assert [path.name for path in sorted((served.home / "results").iterdir())] == [
        f"{KEY}_{OPERATION}.deploydone",
        f"{KEY}_{OPERATION}.preparedone",
    ]
    assert [(actor, detail["step"]) for _, actor, detail in served.trail] == [
        ("zone:containers", "prepare"),
        ("zone:containers", "deploy"),
    ]
    assert served.trail[0][2]["changes"] == {"ToDo": "2.0.0"}


def test_the_same_request_again_deploys_once(served: Served) -> None:
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: ask(served, "prepare"), range(10)))
    assert {answer.status_code for answer in answers} == {202}
    assert len(served.lockstep.ledger.history(FLEET, 100)) == 1
    assert len(served.trail) == 1


def test_guids_are_the_same_in_capitals_and_the_file_is_named_as_the_platform_spells_them(served: Served) -> None:
    ask(served, "prepare", query(OPERATION.upper(), ApplicationKey=KEY.upper()))
    ask(served, "prepare")
    stage(served, 1)
    ask(served, "deploy")
    assert [path.name for path in (served.home / "results").iterdir()] == [
        f"{KEY.upper()}_{OPERATION.upper()}.preparedone"
    ]
    assert served.world.messages.coordinated == [1, 1]


def test_a_result_is_not_written_again(served: Served) -> None:
    ask(served, "prepare")
    stage(served, open_number(served))
    look(served)
    path = served.home / "results" / f"{KEY}_{OPERATION}.preparedone"
    path.write_text("the platform's now")
    assert ask(served, "prepare").status_code == 202
    assert (look(served), path.read_text()) == (0, "the platform's now")


def test_a_result_that_is_there_stays(served: Served) -> None:
    path = served.home / "results" / f"{KEY}_{OPERATION}.configsdone"
    path.write_text("{}")
    ask(served, "update-configs")
    assert path.read_text() == "{}"
    assert look(served) == 0


def test_an_aborted_preparation_tells_why(served: Served) -> None:
    ask(served, "prepare")
    number = open_number(served)
    ledger = served.lockstep.ledger
    trouble = Trouble("verify", "fe1", {"what": "served another manifest", "found": "digest 12"})
    assert ledger.decide(number, Decision.ABORT, [trouble]) is Decision.ABORT
    assert look(served) == 0
    ledger.move(number, State.ABORTING, State.ABORTED)
    look(served)
    message = files(served)[".preparedone"]["Error"]["Message"]
    assert message == f"deployment {number} was aborted: fe1: served another manifest (digest 12)"
    ask(served, "deploy")
    assert files(served)[".deploydone"]["Error"]["Message"] == message


def test_what_is_served_already_is_a_success_of_both_steps(served: Served) -> None:
    ask(served, "prepare")
    stage(served, open_number(served))
    ask(served, "deploy")
    served.commit(1)
    look(served)
    ask(served, "prepare", query(NEXT))
    ask(served, "deploy", query(NEXT))
    found = sorted((served.home / "results").glob(f"{KEY}_{NEXT}.*"))
    assert [json.loads(each.read_text()) for each in found] == [{"AdditionalInfo": f"{FLEET} serves it already"}] * 2
    assert len(served.lockstep.ledger.history(FLEET, 100)) == 1


@pytest.mark.parametrize(
    ("others", "version", "changes", "error"),
    [
        (
            {"ApplicationName": "My app", "ModuleNames": '["Portal", "ToDo"]'},
            "",
            {"ToDo": "2.0.0", "Portal": "2.0.0"},
            "",
        ),
        ({}, "1.0.0", {"ToDo": "1.0.0"}, ""),
        ({"ModuleNames": ""}, "", {"ToDo": "2.0.0"}, ""),
        ({}, "3.0.0", None, "there is no release ToDo 3.0.0"),
        ({"ApplicationName": "Nothing"}, "", None, "no app of this application"),
    ],
)
def test_what_a_request_means(
    served: Served, others: dict[str, str], version: str, changes: dict[str, str] | None, error: str
) -> None:
    named = {"Version": version} if version else {}
    assert ask(served, "prepare", query(**others), **named).status_code == 202
    made = served.lockstep.ledger.open_deployment(FLEET)
    assert (None if made is None else made.plan.changes) == changes
    assert not error or error in files(served)[".preparedone"]["Error"]["Message"]


def test_a_fleet_that_somebody_else_holds_is_an_error_that_says_who(served: Served) -> None:
    ask(served, "prepare")
    ask(served, "prepare", query(NEXT))
    message = files(served)[".preparedone"]["Error"]["Message"]
    assert f"{FLEET} is held by deployment 1" in message


def test_configurations_are_no_work(served: Served) -> None:
    assert ask(served, "update-configs").status_code == 202
    assert "nothing to update" in files(served)[".configsdone"]["AdditionalInfo"]


def test_an_app_is_not_removed_but_one_that_is_gone_is(served: Served) -> None:
    ask(served, "prepare")
    stage(served, 1)
    ask(served, "deploy")
    served.commit(1)
    ask(served, "undeploy")
    assert "still serves ToDo" in files(served)[".undeploydone"]["Error"]["Message"]
    ask(served, "undeploy", query(NEXT, ApplicationName="Portal"))
    found = served.home / "results" / f"{KEY}_{NEXT}.undeploydone"
    assert "does not serve it" in json.loads(found.read_text())["AdditionalInfo"]


def test_nothing_flips_that_was_not_prepared(served: Served) -> None:
    ask(served, "deploy")
    assert "was not prepared" in files(served)[".deploydone"]["Error"]["Message"]


def test_a_deploy_that_comes_early_waits(served: Served) -> None:
    ask(served, "prepare")
    ask(served, "deploy")
    assert (files(served), served.world.messages.coordinated) == ({}, [1])
    stage(served, 1)
    look(served)
    assert served.world.messages.coordinated == [1, 1]
    look(served)
    assert served.world.messages.coordinated == [1, 1]


def test_where_four_eyes_are_asked_for_somebody_else_continues(tmp_path: Path) -> None:
    served = Served(tmp_path, four_eyes=True)
    ask(served, "prepare")
    stage(served, 1)
    ask(served, "deploy")
    held = served.lockstep.ledger.deployment(1)
    assert held is not None
    assert (held.state, held.plan.hold, ".deploydone" in files(served)) == (State.PREPARED, True, False)
    served.lockstep.deploying.proceed(1, "ann@ops")
    served.commit(1)
    look(served)
    assert "AdditionalInfo" in files(served)[".deploydone"]


# ── interruptions ──


def test_a_server_that_begins_anew_carries_on(served: Served) -> None:
    served.ask("GET", f"/zones/containers/{TOKEN}/prepare", params=query())
    assert served.lockstep.ledger.open_deployment(FLEET) is None
    served.start()
    look(served)
    stage(served, open_number(served))
    served.start()
    assert look(served) == 1
    assert list(files(served)) == [".preparedone"]


def kept(**others: Any) -> Claim:
    request: dict[str, Any] = {
        "step": "prepare",
        "application": "ToDo",
        "key": KEY,
        "operation": OPERATION,
        "apps": ["ToDo"],
    }
    request |= {"file": f"{KEY}_{OPERATION}.preparedone", "changes": {"ToDo": "2.0.0"}, **others}
    return Claim("zone:containers", f"prepare/{KEY}_{OPERATION}", request, FLEET)


@pytest.mark.parametrize("deployed", [True, False])
def test_a_server_that_died_while_it_deployed_leaves_no_second_deployment(served: Served, deployed: bool) -> None:
    row = served.lockstep.triggers.claim(kept())
    assert row is not None
    assert served.lockstep.triggers.begin(row.id)
    fleet, zone = served.lockstep.inventory().fleets[0], served.lockstep.hooks().zones[0]
    if deployed:
        served.lockstep.deploying.deploy(fleet, {"ToDo": "2.0.0"}, Schedule(hold=True), "zone:containers")
    # Another server may be at it just now.
    assert (look(served), files(served)) == (0, {})

    later = Zones(
        served.lockstep.triggers,
        served.lockstep.deploying,
        served.lockstep.zones.results,
        lambda: served.lockstep.clock() + timedelta(minutes=2),
    )
    later.advance(zone, fleet, lambda *_: None)
    if deployed:
        stage(served, open_number(served))
        assert look(served) == 1
        assert "AdditionalInfo" in files(served)[".preparedone"]
    else:
        assert "interrupted" in files(served)[".preparedone"]["Error"]["Message"]
    assert len(served.lockstep.ledger.history(FLEET, 100)) == int(deployed)


class Overtaken(SqlTriggers):
    """Has looked just before another server carried everything on."""

    served: Served

    def unended(self, hook: str) -> list[Trigger]:
        found = super().unended(hook)
        look(self.served)
        return found


def test_two_servers_that_look_at_once_deploy_once(served: Served) -> None:
    served.ask("GET", f"/zones/containers/{TOKEN}/prepare", params=query())
    lockstep = served.lockstep
    stale = Overtaken(open_engine(lockstep.settings.ledger_url), lockstep.clock)
    stale.served = served
    fleet, zone = lockstep.inventory().fleets[0], lockstep.hooks().zones[0]
    zones = Zones(stale, lockstep.deploying, lockstep.zones.results, lockstep.clock)
    assert zones.advance(zone, fleet, lambda *_: None) == 0
    assert (files(served), len(lockstep.ledger.history(FLEET, 9))) == ({}, 1)
    stage(served, 1)
    assert zones.advance(zone, fleet, lambda *_: None) == 1
    assert "AdditionalInfo" in files(served)[".preparedone"]


def test_one_request_that_can_t_go_on_holds_no_other_up(served: Served) -> None:
    spoilt = kept(file="elsewhere/x.preparedone", problem="planted")
    assert served.lockstep.triggers.claim(spoilt) is not None
    ask(served, "update-configs")
    assert list(files(served)) == [".configsdone"]


def test_a_folder_that_takes_nothing_is_tried_again_and_told_once(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    (served.home / "results").rmdir()
    ask(served, "update-configs")
    look(served)
    assert "".join(capsys.readouterr()).count("a zone's result waits") == 1
    (served.home / "results").mkdir()
    assert look(served) == 1


def test_the_server_itself_looks_after_the_zones(served: Served) -> None:
    appeared = threading.Event()
    path = served.home / "results" / f"{KEY}_{OPERATION}.configsdone"
    with served.app.state.watch.running():
        served.ask("GET", f"/zones/containers/{TOKEN}/update-configs", params=query())
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            appeared.wait(0.02)
    assert path.exists()
    assert not [each for each in threading.enumerate() if each.name == "zones"]


# ── who may ask, and what is no request ──


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """For what leaves nothing behind."""
    return Served(tmp_path_factory.mktemp("shared"))


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (f"/zones/containers/{TOKEN}/prepare", {}, 200),
        ("/zones/containers/prepare", {"authorization": f"Bearer {TOKEN}"}, 200),
        ("/zones/containers/prepare", {"authorization": f"bearer  {TOKEN}"}, 200),
        ("/zones/containers/prepare", {}, 401),
        ("/zones/containers/prepare", {"authorization": f"Basic {TOKEN}"}, 401),
        ("/zones/containers/prepare", {"authorization": "Bearer "}, 401),
        (f"/zones/containers/{TOKEN}x/prepare", {}, 401),
        (f"/zones/containers/{TOKEN[:-1]}/prepare", {}, 401),
        (f"/zones/containers/{TOKEN.upper()}/prepare", {}, 401),
        ("/zones/containers/%C3%A9/prepare", {}, 401),
        (f"/zones/nobody/{TOKEN}/prepare", {}, 401),
        (f"/zones/containers/{TOKEN}/destroy", {}, 422),
    ],
)
def test_who_may_ask(shared: Served, path: str, headers: dict[str, str], status: int) -> None:
    shared.start()
    answer = shared.ask("GET", path, headers=headers)
    assert (answer.status_code, TOKEN in answer.text) == (status, False)


def test_nobody_learns_which_zones_there_are(shared: Served) -> None:
    shared.start()
    answers = [shared.ask("GET", f"/zones/{name}/wrong/prepare", params=query()) for name in ("containers", "nobody")]
    (shared.home / "zone.token").chmod(0o644)
    answers.append(shared.ask("GET", f"/zones/containers/{TOKEN}/prepare", params=query()))
    (shared.home / "zone.token").chmod(0o600)
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ApplicationKey", None),
        ("ApplicationKey", ""),
        ("ApplicationKey", "plain text"),
        ("ApplicationKey", KEY),
        ("ApplicationKey", packed("../../etc/passwd")),
        ("ApplicationKey", packed(f"{KEY}/..")),
        ("ApplicationKey", packed(f"{KEY}\n")),
        ("ApplicationKey", packed(KEY.replace("0", "\u0660"))),
        ("OperationId", packed("..\\..\\x")),
        ("OperationId", packed("")),
        ("OperationId", packed("\0")),
        ("OperationId", base64.b64encode(b"\xff\xfe").decode()),
        ("ApplicationName", packed("x" * 201)),
        ("ApplicationName", "\u00e9"),
        ("ModuleNames", packed("ToDo")),
        ("ModuleNames", packed('{"a": 1}')),
        ("ModuleNames", packed("[1]")),
        ("ModuleNames", packed("[" * 5000)),
        ("ModuleNames", packed(json.dumps(["x"] * 501))),
        ("Version", "../1"),
        ("Version", "1.0\u0660"),
    ],
)
def test_what_is_no_request_leaves_nothing(shared: Served, name: str, value: str | None) -> None:
    shared.start()
    given = {key: each for key, each in [*query().items(), (name, value)] if each is not None}
    if value is None:
        del given[name]
    answer = ask(shared, "prepare", given)
    assert (answer.status_code, answer.json()["where"]) == (422, name)
    assert (shared.trail, files(shared)) == ([], {})


def test_a_plus_that_came_unquoted_is_one(served: Served) -> None:
    name = "ToDo>>>>"
    assert "+" in packed(name)
    path = f"/zones/containers/{TOKEN}/prepare?ApplicationKey={packed(KEY)}&OperationId={packed(OPERATION)}"
    answer = served.ask("GET", f"{path}&ApplicationName={packed(name)}&ModuleNames={packed('[]')}")
    assert answer.status_code == 202
    assert served.trail[0][2]["application"] == name


LOGS = """
import structlog
from orchestrator.logs import configure

def fail(token):
    raise RuntimeError("a fault")

for form in ("json", "text"):
    configure(form)
    try:
        fail("planted-" + "value")
    except RuntimeError as error:
        structlog.get_logger().error("a request failed", exc_info=error)
"""


def test_the_log_of_a_fault_holds_no_values() -> None:
    said = subprocess.run([sys.executable, "-c", LOGS], capture_output=True, text=True, check=True).stderr
    assert said.count("a fault") == 2
    assert "planted-value" not in said


def test_the_log_of_a_fault_names_the_route_and_not_the_path(
    served: Served,
) -> None:
    with structlog.testing.capture_logs() as logged:
        served.app.state.authenticator = None
        assert served.ask("GET", f"/zones/containers/{TOKEN}/prepare").status_code == 500
    (entry,) = logged
    assert (entry["method"], entry["route"]) == ("GET", "/zones/{name}/{token}/{step}")
    assert TOKEN not in str({key: value for key, value in entry.items() if key != "exc_info"})


def test_what_another_operation_has_deployed_is_not_taken_for_an_interrupted_ones(tmp_path: Path) -> None:
    """One began for 1.0.0 and died; the next has deployed 2.0.0, and has not said so yet."""
    served = Served(tmp_path)
    lockstep = served.lockstep
    fleet, zone = lockstep.inventory().fleets[0], lockstep.hooks().zones[0]
    first = lockstep.triggers.claim(kept(changes={"ToDo": "1.0.0"}))
    following = kept(operation=NEXT, file=f"{KEY}_{NEXT}.preparedone")
    second = lockstep.triggers.claim(replace(following, name=f"prepare/{KEY}_{NEXT}"))
    assert first is not None
    assert second is not None
    for each in (first, second):
        lockstep.triggers.begin(each.id)
    lockstep.deploying.deploy(fleet, {"ToDo": "2.0.0"}, Schedule(hold=True), "zone:containers")
    later = Zones(
        lockstep.triggers, lockstep.deploying, lockstep.zones.results, lambda: lockstep.clock() + timedelta(minutes=2)
    )
    later.advance(zone, fleet, lambda *_: None)
    found = [lockstep.triggers.trigger(each.hook, each.name) for each in (first, second)]
    assert [each.deployment for each in found if each is not None] == [None, 1]
    # Nor is one deployment two operations': whoever comes second is told so.
    assert not lockstep.triggers.deployed(first.id, 1)
