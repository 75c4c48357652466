"""What frontends keep: what is served, what the policy says, and not one file more. Never less."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from deploy.lab import Lab
from deploy.lab.blueprint import Frontend
from orchestrator.domain.activation import NOTHING
from tests.integration.operator import Operator, fetch, tree
from tests.integration.test_operators import script

VERSIONS = {f"{n}.0.0": tree("kept", files=4, changed={"version.txt": b"%d" % n}) for n in range(1, 7)}
KEEP = 1


@dataclass
class Fleet:
    """A fleet, and the activations that were committed there, newest first."""

    operator: Operator
    committed: list[str] = field(default_factory=list)

    @property
    def frontends(self) -> tuple[Frontend, ...]:
        return self.operator.lab.frontends

    def deploys(self, version: str) -> None:
        said = self.operator.types("deploy", "web", f"ToDo={version}")
        assert said.code == 0, (said.output, said.messages)
        (activation,) = set(self.operator.served().values())
        self.committed.insert(0, activation)

    def holds(self, version: str) -> tuple[str, str]:
        """A deployment that is held: its number, and the activation that is staged for it."""
        number = str(self.operator.reads("deploy", "web", f"ToDo={version}", "--hold")["id"])
        cookie = self.operator.reads("deployments", "show", number)["preview_cookie"]
        return number, cookie.removeprefix("lockstep=")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet that was deployed to five times."""
    directory = tmp_path_factory.mktemp("retention")
    with Lab.up(directory / "lab", 2) as lab:
        operator = Operator(directory, lab)
        operator.policy(keep=KEEP, keep_hours=0)
        with operator.standalone():
            made = Fleet(operator)
            for version, files in VERSIONS.items():
                operator.builds(version, files)
            for version in list(VERSIONS)[:5]:
                made.deploys(version)
                assert_only_what_it_should(made)
            yield made


def held(frontend: Frontend) -> set[str]:
    return {path.name for path in (frontend.root / "activations").iterdir()} - {str(NOTHING)}


def assert_only_what_it_should(fleet: Fleet, *staged: str) -> None:
    """What is active, what is kept and what is staged, with their releases; objects only while linked."""
    kept = {*fleet.committed[: 1 + KEEP], *staged}
    for frontend in fleet.frontends:
        assert held(frontend) == kept
        root = frontend.root
        releases = {path.resolve() for name in kept for path in (root / "activations" / name).glob("[A-Z]*")}
        assert set((root / "releases").glob("*/*")) == {path for path in releases if path.is_dir()}
        trees = [root / "activations" / name / "-" for name in kept]
        used = {path.stat().st_ino for top in (*releases, *trees) for path in top.rglob("*") if path.is_file()}
        assert {path.stat().st_ino for path in (root / "objects").iterdir()} == used
        assert {path.stat().st_ino for path in (root / "by-hash").iterdir()} <= used
        assert not list((root / "incoming").iterdir())


def version_at(frontend: Frontend, *options: str) -> tuple[str, str]:
    """Activation and version that a part of the page comes from."""
    answer = fetch(f"{frontend.url}/ToDo/version.txt", "-H", "Sec-Fetch-Dest: script", *options)
    head, _, body = answer.partition("\r\n\r\n")
    (activation,) = (line.split(": ")[1] for line in head.split("\r\n") if line.startswith("Lockstep-Activation"))
    return activation, body


def test_a_client_of_a_kept_activation_is_answered_from_it_and_one_of_a_pruned_one_from_current(fleet: Fleet) -> None:
    now, kept, *gone = fleet.committed
    assert len(gone) == 3
    for frontend in fleet.frontends:
        assert version_at(frontend) == (now, "5")
        assert version_at(frontend, "-H", f"Cookie: lockstep={kept}") == (kept, "4")
        for activation in gone:
            assert version_at(frontend, "-H", f"Cookie: lockstep={activation}") == (now, "5")


def test_a_version_token_is_answered_as_long_as_its_release_is_kept(fleet: Fleet) -> None:
    tokens = {}
    for activation in fleet.committed[:2]:
        pinned = ("-H", f"Cookie: lockstep={activation}")
        # A pin that is older than what is served does not count for documents, so the kept one's is on the disk alone.
        path = fleet.frontends[0].root / "activations" / activation / "-" / "ToDo" / "moduleversioninfo.json"
        tokens[activation] = json.loads(path.read_text())["versionToken"]
        for frontend in fleet.frontends:
            answer = fetch(f"{frontend.url}/ToDo/moduleservices/moduleinfo?{tokens[activation]}", *pinned)
            assert json.loads(answer.partition("\r\n\r\n")[2])["manifest"]["versionToken"] == tokens[activation]
    assert len(set(tokens.values())) == 2
    for frontend in fleet.frontends:
        gone = fetch(f"{frontend.url}/ToDo/moduleservices/moduleinfo?{'A' * 22}")
        assert re.match(r"HTTP/1\.1 404 ", gone)
        assert len(list((frontend.root / "releases" / "ToDo").iterdir())) == 2


def test_what_is_staged_for_a_held_deployment_stays(fleet: Fleet) -> None:
    number, staged = fleet.holds("6.0.0")
    assert_only_what_it_should(fleet, staged)
    now, kept, *_ = fleet.committed
    for frontend in fleet.frontends:
        # Asked for by hand, at the epoch that is served and at its own.
        for epoch in (now, staged):
            said = script(fleet.operator, frontend.name, "prune", epoch, "0", staged)
            assert said.code == 10
            assert f"REFUSED current {staged} is not below what is served" in said.output
        assert version_at(frontend, "-H", f"Cookie: lockstep={staged}") == (staged, "6")
    # A drain in the meantime takes nothing away, and the readmission after it nothing that is kept.
    assert fleet.operator.types("drain", "web", "fe2").code == 0
    assert_only_what_it_should(fleet, staged)
    assert fleet.operator.types("abort", number).code == 0
    assert fleet.operator.types("readmit", "web", "fe2").code == 0
    first, second = fleet.frontends
    assert held(first) == {now, kept}
    # Out of rotation, it was not told of the abort. Nobody is led there, and the next deployment takes it away.
    assert held(second) == {now, kept, staged}


def test_what_an_abort_could_not_remove_goes_with_the_next_deployment(fleet: Fleet) -> None:
    number, staged = fleet.holds("6.0.0")
    fleet.operator.lab.stop_sshd("fe2")
    assert fleet.operator.types("abort", number).code == 0
    fleet.operator.lab.start_sshd("fe2")
    first, second = fleet.frontends
    assert (staged in held(first), staged in held(second)) == (False, True)
    fleet.deploys("6.0.0")
    assert_only_what_it_should(fleet)
