"""A real fleet looked at: right, it gives no finding; each thing that is planted gives its own."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.lab import Lab
from inventory.model import Fleet
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import choose
from orchestrator.domain.audit.audit import Audit, AuditPlan
from orchestrator.domain.audit.drift import drift
from orchestrator.domain.audit.expectation import Expectation
from orchestrator.domain.audit.finding import Finding, Kind
from orchestrator.services.audits.expecting import Expecting
from orchestrator.settings import Settings
from tests.integration.operator import Operator, tree
from workers.audit.survey import SshSurveyor
from workers.frontend.script import script_sha256

OLD = tree("survey", files=6, size=2_000, changed={"old.txt": b"only before"})
NEW = tree("survey", files=6, size=2_000, changed={"index.html": b"<!doctype html>now"})
NOW = datetime(2026, 5, 1, tzinfo=UTC)


class Watched:
    """A fleet that was deployed to, and nobody works on any more."""

    def __init__(self, operator: Operator) -> None:
        self.lab = operator.lab
        lockstep = Lockstep(Settings.read(operator.environment))
        self.fleet = choose(lockstep, "web")
        self.name = lockstep.ledger.committed(self.fleet.key)[0].name
        digest = lockstep.ledger.committed(self.fleet.key)[0].plan.placements[0].digest
        self.release = f"releases/ToDo/{digest}"
        self._expecting = Expecting(
            lockstep.ledger, lambda _: self.name.epoch, lockstep.artifacts, lockstep.clock, script_sha256()
        )

    def expectation(self, *, deep: bool = False) -> Expectation:
        return self._expecting(self.fleet, audit(self.fleet, deep=deep), ())

    def findings(self, fleet: Fleet | None = None, *, deep: bool = False) -> tuple[Finding, ...]:
        """What an audit finds; where another fleet is given, through that."""
        return self.told(self.expectation(deep=deep), fleet)

    def told(self, expectation: Expectation, fleet: Fleet | None = None) -> tuple[Finding, ...]:
        snapshot = (fleet or self.fleet).model_dump(mode="json")
        return drift(expectation, SshSurveyor().survey(snapshot, expectation)).findings

    def kinds(self, *, deep: bool = False) -> set[tuple[str, Kind, str]]:
        return {(each.frontend, each.kind, each.path) for each in self.findings(deep=deep)}

    def root(self, frontend: str) -> Path:
        return self.lab.frontend(frontend).root


def audit(fleet: Fleet, *, deep: bool) -> Audit:
    return Audit(1, AuditPlan(fleet.key, {}, deep, "report", "ann"), NOW)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    directory = tmp_path_factory.mktemp("survey")
    with Lab.up(directory / "lab", 2) as lab:
        operator = Operator(directory, lab)
        with operator.standalone():
            for version, files in (("1.0.0", OLD), ("2.0.0", NEW)):
                operator.builds(version, files)
                said = operator.types("deploy", "web", f"ToDo={version}")
                assert said.code == 0, (said.output, said.messages)
        yield Watched(operator)


@pytest.mark.parametrize("deep", [False, True])
def test_a_fleet_where_all_is_right_gives_no_finding(watched: Watched, deep: bool) -> None:
    assert watched.findings(deep=deep) == ()


@contextmanager
def changed(path: Path, content: bytes | None) -> Iterator[None]:
    """Meanwhile other bytes lie there, or nothing; then the same inode as before."""
    mode, aside = path.parent.stat().st_mode, path.parents[3] / "aside"
    path.parent.chmod(0o755)
    path.rename(aside)
    try:
        if content is not None:
            path.write_bytes(content)
            path.chmod(0o444)
        yield
    finally:
        path.unlink(missing_ok=True)
        aside.rename(path)
        path.parent.chmod(mode)


def test_an_sshd_that_is_down_hides_nothing_of_what_is_served(watched: Watched) -> None:
    watched.lab.stop_sshd("fe1")
    try:
        found = watched.findings()
    finally:
        watched.lab.start_sshd("fe1")
    assert {(each.frontend, each.kind) for each in found} == {("fe1", Kind.UNSEEN)}
    assert {each.path for each in found} >= {"shell", watched.release, "by-hash"}
    assert "http" not in {each.path for each in found}


def test_a_web_server_that_is_down_hides_nothing_of_what_lies_on_the_disk(watched: Watched) -> None:
    watched.lab.stop_nginx("fe2")
    try:
        found = watched.findings()
    finally:
        watched.lab.start_nginx("fe2")
    (unseen,) = [each for each in found if each.frontend == "fe2"]
    assert (unseen.kind, unseen.path) == (Kind.UNSEEN, "http")
    assert "connect to server" in unseen.found


def test_a_load_balancer_that_does_not_answer_hides_nothing_else(watched: Watched, tmp_path: Path) -> None:
    document = watched.fleet.model_dump(mode="json")
    document["load_balancer"]["sockets"] = [f"unix://{tmp_path / 'nobody'}"]
    found = watched.findings(Fleet.model_validate(document))
    assert [(each.kind, each.path) for each in found] == [(Kind.UNSEEN, "load balancer")]


def test_a_frontend_that_never_answers_costs_its_limit_and_holds_up_no_other(watched: Watched) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        document = watched.fleet.model_dump(mode="json")
        port = silent.getsockname()[1]
        document["frontends"][0] |= {"address": "127.0.0.1", "port": port, "url": f"http://127.0.0.1:{port}/"}
        document["audits"] |= {"seconds": 2, "at_once": 1}
        began = time.monotonic()
        found = watched.findings(Fleet.model_validate(document))
        took = time.monotonic() - began
    assert [(each.frontend, each.kind, each.path) for each in found] == [("fe1", Kind.UNSEEN, "")]
    assert took < 8


def test_a_frontend_that_left_the_inventory_is_unseen(watched: Watched) -> None:
    expectation = watched.expectation()
    more = replace(expectation, rotation={**expectation.rotation, "fe9": expectation.rotation["fe1"]})
    found = watched.told(more)
    # HAProxy knows it neither, and tells of nobody then.
    assert {(each.frontend, each.kind, each.path) for each in found} == {
        ("fe9", Kind.UNSEEN, ""),
        ("", Kind.UNSEEN, "load balancer"),
    }
