"""LifeTime's API under the pipelines that it is for: the real client's scripts, unmodified, move a real fleet."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from ruamel.yaml import YAML

from deploy.lab import Lab
from orchestrator.adapters.sources import entries
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.lifetime.plan import DeploymentPlan, Operation
from orchestrator.services.releases import ReleaseName, Releasing
from orchestrator.settings import Settings
from tests.integration.operator import Operator
from tests.integration.pipeline import Pipeline, pipeline

APPS = {"ToDo": "/ToDo/", "Portal": "/Portal/"}
FRONTENDS = {"Development": ("fe1", "fe2"), "Production": ("fe3", "fe4")}
VERSIONS = ("1.0.0", "1.1.0", "1.2.0", "1.3.0")
FROM_TO = ("-s", "Development", "-d", "Production")


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    directory = tmp_path_factory.mktemp("lifetime")
    with Lab.up(directory / "lab", 4, apps=APPS) as lab:
        made = Operator(directory, lab)
        _share(lab)
        with made.standalone():
            _build(Lockstep(Settings.read(made.environment)), directory / "tree")
            assert made.types("deploy", "Development/web", "ToDo=1.0.0", "Portal=1.0.0").code == 0
            yield made


@pytest.fixture(scope="module")
def ci(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pipeline]:
    with pipeline(operator, tmp_path_factory.mktemp("ci")) as made:
        yield made


def _build(lockstep: Lockstep, directory: Path) -> None:
    """The releases of both apps."""
    releasing = Releasing(lockstep.ledger, lockstep.artifacts, lockstep.clock)
    directory.mkdir()
    for app in APPS:
        for version in VERSIONS:
            for path, content in {"index.html": app.encode(), "version.txt": version.encode()}.items():
                (directory / path).write_bytes(content)
            releasing.build(entries(directory), ReleaseName(app, version))


def _share(lab: Lab) -> None:
    """Give the lab's frontends to two environments."""
    yaml = YAML()
    yaml.width = 4096
    document = yaml.load(lab.inventory_path)
    whole = document["environments"].pop("Lab")["fleets"]["web"]
    for environment, names in FRONTENDS.items():
        fleet = {
            "apps": list(APPS),
            "defaults": dict(whole["defaults"]),
            "frontends": {name: dict(whole["frontends"][name]) for name in names},
        }
        document["environments"][environment] = {"type": environment, "fleets": {"web": fleet}}
    yaml.dump(document, lab.inventory_path)


@contextmanager
def two_step(operator: Operator) -> Iterator[None]:
    """Production asks before it flips."""
    yaml = YAML()
    yaml.width = 4096
    before = operator.lab.inventory_path.read_text()
    document = yaml.load(before)
    document["environments"]["Production"]["two_step"] = True
    yaml.dump(document, operator.lab.inventory_path)
    try:
        yield
    finally:
        operator.lab.inventory_path.write_text(before)


def serves(operator: Operator, environment: str) -> Mapping[str, str]:
    """What the frontends of an environment serve, each asked itself, and all of the same epoch: app -> version."""
    activations = operator.served()
    assert len({activations[name] for name in FRONTENDS[environment]}) == 1, activations
    found: list[dict[str, str]] = []
    for status in operator.lab.status().frontends:
        document: Any = status.activation
        if status.name in FRONTENDS[environment] and isinstance(document, dict):
            found.append({app: release["version"] for app, release in document["apps"].items()})
    assert len(found) == len(FRONTENDS[environment])
    assert all(each == found[0] for each in found)
    return found[0]


def develops(operator: Operator, version: str) -> None:
    """Development gets another version of both apps."""
    assert operator.types("deploy", "Development/web", f"ToDo={version}", f"Portal={version}").code == 0


def test_the_scripts_fetch_what_there_is_and_move_the_frontends_once(operator: Operator, ci: Pipeline) -> None:
    assert "retrieved successfully" in ci.succeeds("fetch_lifetime_data")
    assert [each["Name"] for each in ci.artifact("environments.cache")] == ["Development", "Production"]
    assert {each["Name"] for each in ci.artifact("applications.cache")} == set(APPS)
    said = ci.succeeds("deploy_latest_tags_to_target_env", *FROM_TO, "-l", "ToDo,Portal")
    assert "finished with status finished_successful" in said
    assert serves(operator, "Production") == {"ToDo": "1.0.0", "Portal": "1.0.0"}
    # Both in one flip.
    assert operator.reads("status", "Production/web")["fleets"][0]["epoch"] == 1
    again = ci.succeeds("deploy_latest_tags_to_target_env", *FROM_TO, "-l", "ToDo,Portal")
    assert "Deployment skipped" in again
    assert operator.reads("status", "Production/web")["fleets"][0]["epoch"] == 1


def test_a_plan_that_somebody_saved_is_started(operator: Operator, ci: Pipeline) -> None:
    ci.saves("Development", "ToDo", "1.1.0")
    said = ci.succeeds("start_deployment_to_target_env", "-d", "Development")
    assert "finished with status finished_successful" in said
    assert serves(operator, "Development")["ToDo"] == "1.1.0"
    (entry,) = ci.artifact("deployment_data/deployment_manifest.cache")
    assert (entry["Name"], entry["Version"], entry["DeploymentOperation"]) == ("ToDo", "1.1.0", "Deploy 1.1.0")


def test_two_steps_stop_before_the_flip_and_a_manifest_says_what(operator: Operator, ci: Pipeline) -> None:
    develops(operator, "1.1.0")
    ci.succeeds("generate_manifest_file", "-s", "Development", "-l", "ToDo,Portal")
    manifest = "Artifacts/trigger_manifest/auto_gen_trigger_manifest.json"
    assert "exist in the Production" in ci.succeeds(
        "validate_manifest_apps_exist_in_target_env", "-s", "Production", "-f", manifest
    )
    before = serves(operator, "Production")
    with two_step(operator):
        said = ci.succeeds("deploy_tags_to_target_env_with_manifest", *FROM_TO, "-f", manifest, "-z")
        assert "first step finished successfully" in said
        assert serves(operator, "Production") == before
        assert "finished_successful" in ci.succeeds("continue_deployment_to_target_env", "-d", "Production")
    assert serves(operator, "Production") == {"ToDo": "1.1.0", "Portal": "1.1.0"}
    assert "Deployment skipped" in ci.succeeds(
        "deploy_tags_to_target_env_with_manifest", *FROM_TO, "-f", manifest, "-z"
    )


def test_the_scripts_that_tag_find_nothing_to_do_or_what_is_tagged(operator: Operator, ci: Pipeline) -> None:
    running = serves(operator, "Production")["ToDo"]
    ci.succeeds("tag_modified_apps", "-d", "Production", "-l", "ToDo,Portal")
    entry = {
        "ApplicationName": "ToDo",
        "ApplicationKey": ci.keys("/applications")["ToDo"],
        "ChangeLog": "",
        "Version": running,
    }
    (ci.directory / "tags.json").write_text(json.dumps([entry]))
    words = ("-d", "Production", "-l", "ToDo", "-f", "./tags.json")
    assert f"tagged as {running}" in ci.succeeds("tag_apps_based_on_manifest_data", *words)
    (ci.directory / "tags.json").write_text(json.dumps([{**entry, "Version": "9.9.9"}]))
    refused = ci.runs("tag_apps_based_on_manifest_data", *words)
    assert refused.code != 0
    assert "a release has its version since it was built" in refused.messages


def test_a_script_for_what_lockstep_has_not_says_why_it_fails(ci: Pipeline) -> None:
    package = ci.directory / "app.oap"
    package.write_bytes(b"a package")
    said = ci.runs("deploy_package_to_target_env", "-d", "Production", "-p", str(package))
    assert said.code != 0, said.output
    assert "not supported: Lockstep keeps releases as trees of files" in said.messages


def test_a_failed_verification_names_the_frontend(operator: Operator, ci: Pipeline) -> None:
    develops(operator, "1.2.0")
    lab, before = operator.lab, serves(operator, "Production")
    stale = lab.directory / "stale"
    current = lab.frontend("fe4").root
    shutil.copytree((current / "current").resolve(), stale / "activations" / (current / "current").resolve().name)
    (stale / "current").symlink_to(f"activations/{(current / 'current').resolve().name}")
    lab.serve_elsewhere("fe4", stale)
    try:
        said = ci.runs("deploy_latest_tags_to_target_env", *FROM_TO, "-l", "ToDo,Portal")
    finally:
        lab.serve_elsewhere("fe4", current)
    assert said.code == 1
    assert "finished with status finished_with_errors" in said.output
    status = ci.artifact("DeploymentErrors")
    assert status["DeploymentStatus"] == "finished_with_errors"
    assert any("fe4" in line["Message"] and "verify" in line["Message"] for line in status["DeploymentLog"])
    assert not any(line["Message"].startswith("fe3") for line in status["DeploymentLog"])
    assert serves(operator, "Production") == before


def test_what_holds_a_fleet_is_named_and_the_plan_stays_saved(operator: Operator, ci: Pipeline) -> None:
    held = operator.reads("deploy", "Development/web", "ToDo=1.0.0", "--hold")
    key = ci.saves("Development", "ToDo", "1.3.0")
    refused = ci.runs("start_deployment_to_target_env", "-d", "Development")
    assert refused.code != 0
    assert f"deployment {held['id']} of Development/web is open" in refused.messages
    with ci.client as client:
        assert client.get(f"/deployments/{key}/status/").json()["DeploymentStatus"] == "saved"
        assert operator.types("abort", str(held["id"])).code == 0
        assert client.delete(f"/deployments/{key}/").status_code == 204


def test_a_plan_that_nobody_starts_blocks_no_pipeline(operator: Operator, ci: Pipeline) -> None:
    develops(operator, "1.3.0")
    lockstep = Lockstep(Settings.read(operator.environment))
    then = lockstep.clock() - timedelta(hours=1)
    key = str(uuid4())
    wanted = (Operation("ToDo", "1.0.0"),)
    lockstep.lifetime_plans.add_plan(
        DeploymentPlan(key, "", "Production", "Production/web", "", wanted, then, "somebody", then, "somebody")
    )
    said = ci.succeeds("deploy_latest_tags_to_target_env", *FROM_TO, "-l", "ToDo,Portal")
    assert "Waiting for LifeTime" not in said
    assert serves(operator, "Production") == {"ToDo": "1.3.0", "Portal": "1.3.0"}
    with ci.client as client:
        assert client.get(f"/deployments/{key}/status/").json()["DeploymentStatus"] == "saved"
