"""A store-only app on a real fleet: builds in the field keep what they have, whatever is deployed and pruned."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator

import pytest

from deploy.lab import Lab
from orchestrator.domain.release import ota_hash
from tests.integration.operator import Operator, tree

NATIVE = ("-H", "OutSystems-client-env: native")
#: The recipe's way to tell them.
KNOWS_NATIVE = '"~^native\\z" native;'
VERSION_CHECK = "/ToDo/moduleservices/moduleversioninfo"


def contract(signature: str) -> bytes:
    return json.dumps({"format": 1, "screens": {"Lists": "l1"}, "actions": {"Save": signature}}).encode()


#: Every version has a file of its own, so that a prune would take it; 4.0.0 breaks what all the others rely on.
VERSIONS = {
    version: tree(
        "store",
        files=4,
        size=2_000,
        changed={
            "contract.json": contract("s2" if version == "4.0.0" else "s1"),
            f"only {version}.js": version.encode(),
        },
    )
    for version in ("1.0.0", "2.0.0", "3.0.0", "4.0.0")
}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A fleet on 2.0.0 that keeps one earlier activation; 1.0.0 was served once, and a build of it is in the field."""
    directory = tmp_path_factory.mktemp("distribution")
    with Lab.up(directory / "lab", 2) as lab:
        made = Operator(directory, lab)
        made.policy(keep=1, keep_hours=0, verify="all")
        with made.standalone():
            for version, files in VERSIONS.items():
                made.builds(version, files)
            deploys(made, "1.0.0")
            made.distributes(ToDo="store-only")
            records(made, "1-android", "1.0.0")
            deploys(made, "2.0.0")
            yield made


def deploys(operator: Operator, version: str, *options: str) -> None:
    said = operator.types("deploy", "web", f"ToDo={version}", *options)
    assert said.code == 0, (said.output, said.messages)


def records(operator: Operator, build: str, version: str) -> None:
    assert operator.types("builds", "add", "Lab", "ToDo", build, "--version", version).code == 0


def curl(url: str, *options: str) -> bytes:
    return subprocess.run(["curl", "-sfg", *options, url], capture_output=True, check=True).stdout


def told(operator: Operator, *options: str, query: str = "") -> set[str]:
    """The version tokens that the frontends name."""
    urls = (f"{frontend.url}{VERSION_CHECK}{query}" for frontend in operator.lab.frontends)
    return {json.loads(curl(url, *options))["versionToken"] for url in urls}


def test_a_build_in_the_field_keeps_all_of_its_version_on_every_frontend(operator: Operator) -> None:
    """Its release was served last two activations ago, and one is kept."""
    (token,) = told(operator, *NATIVE)
    deploys(operator, "3.0.0")
    (newer,) = told(operator)

    assert told(operator, *NATIVE) == told(operator, query=f"?{token}") == {token} != {newer}
    for frontend in operator.lab.frontends:
        info = json.loads(curl(f"{frontend.url}/ToDo/moduleservices/moduleinfo?{token}"))
        urls = info["manifest"]["urlVersions"]
        assert "/ToDo/only%201.0.0.js" in urls
        assert len(urls) == len(VERSIONS["1.0.0"])
        for url, version in urls.items():
            content = curl(f"{frontend.url}{url}{version}", *NATIVE)
            assert version == "?" + ota_hash(hashlib.md5(content, usedforsecurity=False).digest())
        # What no build has and no activation keeps was pruned.
        assert not list((frontend.root / "releases").rglob("only 1.0.0.js"))


def test_a_second_build_is_told_its_version_by_its_token_alone(operator: Operator) -> None:
    (first,) = told(operator, *NATIVE)
    records(operator, "3-ios", "3.0.0")
    (third,) = told(operator)
    deploys(operator, "2.0.0")

    assert told(operator, *NATIVE, query=f"?{first}") == {first}
    assert told(operator, query=f"?{third}") == {third}
    for frontend in operator.lab.frontends:
        status = ("-o", "/dev/null", "-w", "%{http_code}")
        words = ["curl", "-sg", *status, *NATIVE, frontend.url + VERSION_CHECK]
        assert subprocess.run(words, capture_output=True, check=True, text=True).stdout == "404"


def test_a_release_that_breaks_builds_is_refused_and_a_dry_run_says_so(operator: Operator) -> None:
    records(operator, "1-android", "1.0.0")
    before = operator.reads("history", "web")

    said = operator.types("deploy", "web", "ToDo=4.0.0")
    assert said.code == 1
    assert "1-android (made from 1.0.0): action Save: has another signature" in said.messages
    dry_run = operator.types("deploy", "web", "ToDo=4.0.0", "--dry-run")
    assert dry_run.code == 0
    assert "will not understand build 1-android (made from 1.0.0):" in dry_run.output
    assert "to confirm: --accept-incompatible-builds" in dry_run.output
    assert operator.reads("history", "web") == before

    deploys(operator, "4.0.0", "--accept-incompatible-builds")
    # The way back breaks nothing.
    assert operator.types("rollback", "web").code == 0


def test_a_web_server_that_does_not_know_native_clients_stops_the_deployment(operator: Operator) -> None:
    """A recipe of before: whoever asks gets the new version, which the verification over HTTP must find."""
    frontend = operator.lab.frontends[0]
    path = next(p for p in operator.directory.rglob("*.conf") if f"root {frontend.root}/current;" in p.read_text())
    recipe = path.read_text()
    assert recipe.count(KNOWS_NATIVE) == 1

    def serves(text: str) -> None:
        path.write_text(text)
        operator.lab.stop_nginx(frontend.name)
        operator.lab.start_nginx(frontend.name)

    serves(recipe.replace(KNOWS_NATIVE, '"~^naive\\z" native;'))
    try:
        said = operator.types("deploy", "web", "ToDo=3.0.0")
    finally:
        serves(recipe)
    assert said.code == 1
    assert "to native clients" in said.output + said.messages
