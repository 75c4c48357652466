"""Gates on a real fleet: commands that stop a deployment, try what is staged, and see what is served."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deploy.lab import Lab
from orchestrator.adapters.ledger.engine import open_engine
from orchestrator.adapters.ledger.trail import SqlTrail
from orchestrator.bootstrap import utc_now
from orchestrator.domain.trail import broken
from tests.integration.operator import PATIENCE, Operator, tree, wait_until

#: Writes what every frontend says that it serves, first to anybody, then to who has the preview cookie.
LOOKS = """\
for cookie in none "lockstep=$LOCKSTEP_ACTIVATION"; do
  for url in $(printf '%s' "$LOCKSTEP_FRONTENDS" | grep -o 'http://[^"]*'); do
    curl -fsS -o /dev/null -D - --cookie "$cookie" "$url/ToDo/moduleservices/moduleversioninfo" |
      tr -d '\\r' | sed -n "s/^Lockstep-Activation: /${cookie%%=*} /p"
  done
done >> "${0%/*}/$LOCKSTEP_GATE.seen"
"""


class Gated:
    """An operator of a fleet with gates."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.directory = operator.directory / "gates"
        self.directory.mkdir()

    def gates(self, **scripts: str) -> None:
        """Have these gates, and no others."""
        for old in self.directory.iterdir():
            old.unlink()
        gates = {}
        for name, text in scripts.items():
            script = self.directory / name
            script.write_text(f"#!/bin/sh\nset -eu\n{text}\n")
            script.chmod(0o700)
            gates[name] = {"command": [str(script)], "seconds": PATIENCE}
        with self.operator.inventory() as fleet:
            fleet["gates"] = gates

    def read(self, name: str) -> str:
        path = self.directory / name
        return path.read_text() if path.exists() else ""

    def newest(self) -> dict[str, Any]:
        """The newest deployment, with its reports."""
        number = self.operator.reads("history", "web")["deployments"][0]["id"]
        found: dict[str, Any] = self.operator.reads("deployments", "show", str(number))
        return found

    def staged(self) -> dict[str, set[str]]:
        """The activations on each frontend."""
        return {
            frontend.name: {path.name for path in (Path(frontend.root) / "activations").iterdir()}
            for frontend in self.operator.lab.frontends
        }

    def ends(self, number: int) -> list[tuple[str, str]]:
        """How the gates of a deployment ended, as the trail has it; the trail is whole."""
        engine = open_engine(f"sqlite:///{self.operator.home / 'ledger.sqlite'}")
        with closing(engine.raw_connection()):
            entries = list(SqlTrail(engine, utc_now).all())
        engine.dispose()
        assert broken(entries) is None
        return [
            (entry.action.name, entry.action.detail["gate"])
            for entry in entries
            if entry.action.deployment == number and entry.action.name.startswith("gate.")
        ]


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
    directory = tmp_path_factory.mktemp("gates")
    with Lab.up(directory / "lab", 3) as lab:
        operator = Operator(directory, lab, {"LOCKSTEP_PLANTED": "planted-secret"})
        with operator.standalone():
            for version in ("1.0.0", "2.0.0"):
                operator.builds(version, tree("app", files=3, changed={"version.txt": version.encode()}))
            assert operator.types("deploy", "web", "ToDo=1.0.0").code == 0
            yield Gated(operator)


def test_one_that_refuses_before_staging_leaves_every_frontend_as_it_was(gated: Gated) -> None:
    gated.gates(before_stage="echo no window today; exit 3", on_abort='echo "$LOCKSTEP_TROUBLES" > "$0.told"')
    served, staged = gated.operator.served(), gated.staged()
    said = gated.operator.types("deploy", "web", "ToDo=2.0.0")
    assert said.code == 1
    for part in ("the gate before_stage refused", "exit code 3; it printed: no window today", "nothing was changed"):
        assert part in said.output
    deployment = gated.newest()
    assert (deployment["state"], {report["step"] for report in deployment["reports"]}) == ("aborted", {"disarm"})
    assert (gated.operator.served(), gated.staged()) == (served, staged)
    assert [trouble["step"] for trouble in json.loads(gated.read("on_abort.told"))] == ["before_stage"]
    assert gated.ends(deployment["id"]) == [("gate.refused", "before_stage"), ("gate.passed", "on_abort")]


def test_one_before_the_commit_sees_what_is_staged_and_can_refuse_it(gated: Gated) -> None:
    gated.gates(before_commit=f"{LOOKS}\necho the preview is ugly; exit 1")
    served = gated.operator.served()
    said = gated.operator.types("deploy", "web", "ToDo=2.0.0")
    assert said.code == 1
    for part in ("the gate before_commit refused", "exit code 1; it printed: the preview is ugly"):
        assert part in said.output
    deployment = gated.newest()
    assert {report["step"] for report in deployment["reports"]} == {"stage", "verify", "disarm"}
    assert gated.operator.served() == served
    (old,) = set(served.values())
    staged = deployment["preview_cookie"].removeprefix("lockstep=")
    assert gated.read("before_commit.seen").splitlines() == [f"none {old}"] * 3 + [f"lockstep {staged}"] * 3
    assert staged not in {name for names in gated.staged().values() for name in names}


def test_one_after_the_flip_sees_the_new_epoch_served_by_everybody_and_undoes_nothing(gated: Gated) -> None:
    gated.gates(before_stage='env > "$0.environment"', after_activate=f"{LOOKS}\nexit 9", on_abort='echo > "$0.told"')
    done = gated.operator.reads("deploy", "web", "ToDo=2.0.0")
    assert (done["state"], done["decision"], done["troubles"]) == ("done", "commit", [])
    (new,) = set(gated.operator.served().values())
    assert new.startswith(f"{done['epoch']}-")
    assert gated.read("after_activate.seen").splitlines()[:3] == [f"none {new}"] * 3
    assert gated.ends(done["id"]) == [("gate.passed", "before_stage"), ("gate.refused", "after_activate")]
    assert gated.read("on_abort.told") == ""
    environment = gated.read("before_stage.environment")
    assert f"LOCKSTEP_DEPLOYMENT={done['id']}\n" in environment
    assert 'LOCKSTEP_CHANGES={"ToDo":"2.0.0"}\n' in environment
    for secret in ("planted-secret", "LOCKSTEP_LEDGER_URL", "LOCKSTEP_BROKER_URL", "LOCKSTEP_HOME", "redis://"):
        assert secret not in environment


def test_an_abort_ends_the_command_that_the_deployment_waits_for(gated: Gated) -> None:
    gated.gates(before_commit='echo $$ > "$0.pid"; sleep 600', on_abort='echo $LOCKSTEP_DEPLOYMENT > "$0.told"')
    served = gated.operator.served()
    with gated.operator.running("rollback", "web") as process:
        wait_until(lambda: gated.read("before_commit.pid").endswith("\n"))
        # What the file says by now concerns the next deployment.
        with gated.operator.inventory() as fleet:
            fleet["gates"] = {}
        number = gated.newest()["id"]
        assert gated.operator.types("abort", str(number)).code == 0
        assert process.wait(PATIENCE) == 1
    assert not Path(f"/proc/{int(gated.read('before_commit.pid'))}").exists()
    assert gated.newest()["state"] == "aborted"
    assert gated.read("on_abort.told") == f"{number}\n"
    assert gated.operator.served() == served
    assert gated.ends(number) == [("gate.refused", "before_commit"), ("gate.passed", "on_abort")]
    assert gated.operator.types("rollback", "web").code == 0
    assert gated.ends(number + 1) == []
