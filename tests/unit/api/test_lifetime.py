"""LifeTime's API over HTTP: paths with and without a slash, its documents, its statuses, and its form of errors."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from httpx import Response

from orchestrator.api.lifetime.application import status_of
from orchestrator.domain.access import Grant, Role
from orchestrator.domain.errors import (
    ConflictError,
    ForbiddenError,
    LockstepError,
    ReleaseError,
    UnansweredError,
    UnauthenticatedError,
    UsageError,
)
from orchestrator.domain.lifetime import keys
from orchestrator.domain.lifetime.plan import Status, UnknownKeyError
from orchestrator.settings import Settings
from tests.unit.api.lifetime_server import BASE, Server, plan

NOTHING = "00000000-0000-0000-0000-000000000000"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return Server(tmp_path_factory.mktemp("server"))


ENVIRONMENT, APP = keys.environment_key("Development"), keys.application_key("ToDo")
VERSION = keys.version_key("ToDo", "1.0.0")
#: Everything that can be got without a plan, and its status.
READS = {
    "/environments": 200,
    f"/environments/{ENVIRONMENT}": 200,
    f"/environments/{ENVIRONMENT}/deploymentzones": 200,
    f"/environments/{ENVIRONMENT}/applications": 200,
    f"/environments/{ENVIRONMENT}/applications/{APP}": 200,
    "/applications": 200,
    f"/applications/{APP}": 200,
    f"/applications/{APP}/versions": 200,
    f"/applications/{APP}/versions/{VERSION}": 200,
    f"/environments/{NOTHING}": 404,
    f"/environments/{NOTHING}/deploymentzones": 404,
    f"/environments/{NOTHING}/applications": 404,
    f"/environments/{ENVIRONMENT}/applications/{NOTHING}": 404,
    f"/environments/{ENVIRONMENT}/applications/{keys.application_key('Portal')}": 404,
    f"/applications/{NOTHING}": 404,
    f"/applications/{NOTHING}/versions": 404,
    f"/applications/{APP}/versions/{NOTHING}": 404,
    f"/deployments/{NOTHING}": 404,
    f"/deployments/{NOTHING}/status": 404,
    "/gone": 404,
    "/deployments/%00": 404,
    "/deployments/%ff/status": 404,
    "/applications/a/b/c/d": 404,
    f"/applications/{APP}/versions/{VERSION}/content": 501,
    f"/environments/{ENVIRONMENT}/applications/{APP}/content": 501,
    f"/environments/{ENVIRONMENT}/solutionstatus/1": 501,
    f"/environments/{ENVIRONMENT}/applications/{APP}/sourcecodeaccess/1/status": 501,
    "/modules": 501,
    "/users/1": 501,
    "/applications?IncludeModules=True&IncludeEnvStatus=False": 400,
    "/applications?IncludeEnvStatus=perhaps": 400,
    f"/applications/{APP}/versions?MaximumVersionsToReturn=-1": 400,
    "/deployments?MinDate=yesterday": 400,
    "/deployments?MaxDate=2026-13-01": 400,
    f"/deployments?TargetEnvironmentKey={NOTHING}": 400,
}


def test_every_path_is_the_same_with_a_slash_at_its_end(server: Server) -> None:
    for path, status in READS.items():
        bare, _, query = path.partition("?")
        without, with_slash = (server.asks("GET", f"{each}?{query}") for each in (bare, f"{bare}/"))
        assert (without.status_code, with_slash.status_code) == (status, status), (path, without.text)
        assert without.content == with_slash.content
        assert_error(without, status) if status >= 400 else without.json()


def assert_error(answer: Response, status: int) -> str:
    """It is in LifeTime's form; its text."""
    assert answer.status_code == status, answer.text
    document = answer.json()
    assert set(document) == {"Errors", "StatusCode"}
    assert document["StatusCode"] == status
    assert document["Errors"]
    assert all(isinstance(text, str) and text for text in document["Errors"])
    return " ".join(document["Errors"])


def test_errors_of_every_kind_are_in_lifetimes_form(server: Server) -> None:
    anonymous = server.sends("GET", f"{BASE}/environments")
    assert "no token" in assert_error(anonymous, 401)
    assert anonymous.headers["www-authenticate"].startswith("Bearer")
    assert_error(server.sends("GET", f"{BASE}/modules/"), 401)
    assert_error(server.asks("GET", "/environments", "lks_0"), 401)
    assert_error(server.asks("PATCH", "/environments/"), 405)
    assert "no such path" in assert_error(server.asks("GET", "/../v1/environments"), 404)
    assert_error(server.sends("GET", "/lifetimeapi/"), 404)
    for content in (b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'"text"'):
        assert "body" in assert_error(server.asks("POST", "/deployments/", content=content), 400)
    assert_error(server.asks("POST", "/deployments", content=b" " * 1_100_000), 413)
    # Nobody's body is read at all.
    assert_error(server.sends("POST", f"{BASE}/deployments", content=b"{"), 401)


def test_a_body_whose_members_are_something_else(server: Server) -> None:
    good = plan("Production", ToDo="1.0.0")
    for name, value in (
        ("ApplicationOperations", {}),
        ("ApplicationOperations", ["x"]),
        ("ApplicationOperations", [{"ApplicationVersionKey": 1}]),
        ("ApplicationOperations", [{}] * 1001),
        ("ApplicationOperations", None),
        ("TargetEnvironmentKey", None),
        ("TargetEnvironmentKey", 1),
        ("SourceEnvironmentKey", []),
        ("Notes", 5),
        ("Notes", "\0"),
        ("Notes", "\ud800"),
        ("TargetEnvironmentKey", "\udfff"),
    ):
        content = json.dumps({**good, name: value})
        assert_error(server.asks("POST", "/deployments", content=content), 400)
    assert_error(server.asks("POST", "/deployments", json={**good, "TargetEnvironmentKey": NOTHING}), 404)


def test_environments(server: Server) -> None:
    development, production = server.asks("GET", "/environments").json()
    assert development == {
        "Key": ENVIRONMENT,
        "Name": "Development",
        "OSVersion": "11.0.0.0",
        "Order": 0,
        "HostName": "10.0.0.1:8080",
        "UseHTTPS": False,
        "EnvironmentType": "Development",
        "NumberOfFrontEnds": 2,
        "ApplicationServerType": "",
        "ApplicationServer": "",
        "DatabaseProvider": "",
        "IsCloudEnvironment": False,
    }
    assert UUID(development["Key"]).version == 5
    assert [production[name] for name in ("Name", "Order", "HostName", "UseHTTPS", "NumberOfFrontEnds")] == [
        "Production",
        1,
        "shop.example.com",
        True,
        4,
    ]
    zones = server.asks("GET", f"/environments/{production['Key']}/deploymentzones/").json()
    assert [(zone["Name"], zone["IsDefault"], zone["Key"]) for zone in zones] == [
        ("shop", True, keys.zone_key("Production/shop")),
        ("web", False, keys.zone_key("Production/web")),
    ]
    assert set(zones[0]["DeploymentTechnology"]) == {"Key", "Name"}


@pytest.mark.parametrize(("word", "asked"), [("True", True), ("true", True), ("FALSE", False), ("", None)])
def test_booleans_of_a_query_are_taken_in_any_case(server: Server, word: str, asked: bool | None) -> None:
    params = {} if asked is None else {"IncludeEnvStatus": word, "IncludeModules": word}
    found = {each["Name"]: each for each in server.asks("GET", "/applications", params=params).json()}
    assert set(found) == {"Portal", "Shop", "ToDo"}
    assert found["Portal"]["AppStatusInEnvs"] == []
    assert len(found["ToDo"]["AppStatusInEnvs"]) == (1 if asked else 0)
    if asked:
        (status,) = found["ToDo"]["AppStatusInEnvs"]
        assert status["EnvironmentKey"] == ENVIRONMENT
        assert status["BaseApplicationVersionKey"] == VERSION
        assert status["DeploymentZoneKey"] == keys.zone_key("Development/web")
        # JSON's own: clients ask whether it is true, and any text is.
        assert status["IsModified"] is False


def test_versions(server: Server) -> None:
    versions = server.asks("GET", f"/applications/{APP}/versions").json()
    assert [(each["Version"], each["InUse"]) for each in versions] == [("2.0.0", False), ("1.0.0", True)]
    assert len(server.asks("GET", f"/applications/{APP}/versions?MaximumVersionsToReturn=1").json()) == 1
    assert server.asks("GET", f"/applications/{APP}/versions?ChangeLogFilter=x").json() == []
    one = server.asks("GET", f"/applications/{APP}/versions/{VERSION.upper()}/").json()
    assert one == versions[1]
    assert (one["Key"], one["ApplicationKey"], one["ChangeLog"]) == (VERSION, APP, "")
    assert TIME.fullmatch(one["CreatedOn"])


def test_what_runs_is_tagged_with_the_version_that_it_has(server: Server) -> None:
    path = f"/environments/{ENVIRONMENT}/applications/{APP}/versions"
    for each in (path, f"{path}/"):
        made = server.asks("POST", each, json={"Version": "1.0.0", "ChangeLog": "c", "MobileVersions": []})
        assert (made.status_code, made.text) == (201, VERSION)
        assert made.headers["content-type"].startswith("text/plain")
    assert "can't be tagged" in assert_error(server.asks("POST", path, json={"Version": "2.0.0"}), 400)
    assert_error(server.asks("POST", path, json={"ChangeLog": ""}), 400)
    portal = path.replace(APP, keys.application_key("Portal"))
    assert_error(server.asks("POST", portal, json={"Version": "1.0.0"}), 404)


def test_a_plan_from_its_creation_to_its_end(server: Server) -> None:
    made = server.asks("POST", "/deployments/", json=plan("Production", ToDo="1.0.0", Portal="2.0.0"))
    assert made.status_code == 201
    assert made.headers["content-type"].startswith("text/plain")
    key = str(UUID(made.text))
    shown = server.asks("GET", f"/deployments/{key}/").json()
    assert (shown["ApplicationsToRedeploy"], shown["ApplicationConflicts"]) == ([], [])
    document = shown["Deployment"]
    assert (document["Key"], document["Notes"], document["SourceEnvironmentKey"]) == (key, "n", "")
    assert document["StartedOn"] == document["AbortedOn"] == "1900-01-01T00:00:00"
    assert TIME.fullmatch(document["CreatedOn"])
    assert document["CreatedByUsername"].startswith("ci#")
    assert document["ApplicationOperations"][0] == {
        "ApplicationKey": APP,
        "ApplicationVersionKey": VERSION,
        "DeploymentOperation": "Deploy 1.0.0",
        "DeploymentZoneKey": keys.zone_key("Production/web"),
    }
    assert document in server.asks("GET", "/deployments").json()
    status = server.asks("GET", f"/deployments/{key}/status").json()
    assert status == {"DeploymentStatus": "saved", "Info": "", "DeploymentLog": []}
    for command in ("continue", "abort"):
        assert_error(server.asks("POST", f"/deployments/{key}/{command}"), 400)
        assert_error(server.asks("POST", f"/deployments/{NOTHING}/{command}/"), 404)
    assert_error(server.asks("POST", f"/deployments/{NOTHING}/start/"), 404)
    assert_error(server.asks("POST", f"/deployments/{key}/pause"), 404)

    started = server.asks("POST", f"/deployments/{key}/start?RedeployOutdated=True&ContinueWithErrors=True")
    assert (started.status_code, started.content) == (202, b"")
    status = server.asks("GET", f"/deployments/{key}/status/").json()
    assert status["DeploymentStatus"] == "running"
    assert all(TIME.fullmatch(line["Instant"]) and line["Message"] for line in status["DeploymentLog"])
    assert_error(server.asks("POST", f"/deployments/{key}/start/"), 400)
    assert_error(server.asks("DELETE", f"/deployments/{key}/"), 400)
    assert_error(server.asks("PUT", f"/deployments/{key}", json=plan("Production", ToDo="2.0.0")), 400)

    # Production has two steps.
    held = server.lockstep.ledger.open_deployment("Production/web")
    assert held is not None
    server.world.carry_out(held)
    status = server.asks("GET", f"/deployments/{key}/status/").json()
    assert (status["DeploymentStatus"], status["Info"]) == ("needs_user_intervention", "deployment_prepared")
    other = server.saves(ToDo="2.0.0")
    refused = assert_error(server.asks("POST", f"/deployments/{other}/start"), 400)
    assert f"deployment {held.id} of Production/web is open" in refused
    assert "ci#" in refused
    assert server.asks("DELETE", f"/deployments/{other}").status_code == 204
    assert_error(server.asks("DELETE", f"/deployments/{other}"), 404)
    assert server.asks("POST", f"/deployments/{key}/continue/").status_code == 202
    aborted = server.asks("POST", f"/deployments/{key}/abort/")
    assert (aborted.status_code, aborted.content) == (202, b"")
    assert TIME.fullmatch(server.asks("GET", f"/deployments/{key}").json()["Deployment"]["AbortedOn"])
    words = {server.asks("GET", f"/deployments/{key}/status").json()["DeploymentStatus"]}
    assert words <= {str(word) for word in Status}


def test_a_saved_plan_is_changed(server: Server) -> None:
    key = server.saves(Shop="1.0.0")
    changed = server.asks("PUT", f"/deployments/{key}/", json={**plan("Production", Shop="2.0.0"), "Notes": "other"})
    assert changed.status_code == 200
    assert changed.json() == server.asks("GET", f"/deployments/{key}").json()["Deployment"]
    assert (changed.json()["Key"], changed.json()["Notes"]) == (key, "other")
    assert changed.json()["ApplicationOperations"][0]["DeploymentOperation"] == "Deploy 2.0.0"
    assert server.asks("DELETE", f"/deployments/{key}/").status_code == 204


def test_no_deployments_are_no_content(server: Server) -> None:
    tomorrow = (server.lockstep.clock() + timedelta(days=1)).date().isoformat()
    assert server.asks("GET", "/deployments/", params={"MinDate": tomorrow}).status_code == 204
    never = {"MinDate": "2020-01-01", "MaxDate": "2020-01-02T00:00:00Z"}
    assert (answer := server.asks("GET", "/deployments", params=never)).status_code == 204
    assert answer.content == b""


def test_how_long_a_saved_plan_is_listed_is_a_setting(tmp_path: Path) -> None:
    server = Server(tmp_path, LIFETIME_LISTED_SECONDS="0")
    key = server.saves(Shop="1.0.0")
    assert server.asks("GET", "/deployments").status_code == 204
    assert server.asks("GET", f"/deployments/{key.upper()}/status/").json()["DeploymentStatus"] == "saved"
    for wrong in ("-1", "soon", "1e9", "nan"):
        with pytest.raises(UsageError, match="not a time in seconds"):
            Settings.read({"LOCKSTEP_LIFETIME_LISTED_SECONDS": wrong})


def test_a_day_is_in_the_list_to_its_end(server: Server) -> None:
    key = server.saves(Shop="1.0.0")
    made = server.asks("GET", f"/deployments/{key}").json()["Deployment"]["CreatedOn"]
    today = made[:10]
    exact = {"MinDate": f"{today}T00:00:00", "MaxDate": f"{today}T23:59:59.999999Z"}
    for params in ({"MinDate": today, "MaxDate": today}, exact):
        found = server.asks("GET", "/deployments", params=params).json()
        assert key in [each["Key"] for each in found]
    before = {"MinDate": "2020-01-01", "MaxDate": f"{today}T00:00:00Z"}
    assert key not in server.asks("GET", "/deployments", params=before).text
    assert server.asks("DELETE", f"/deployments/{key}").status_code == 204


def test_statuses_are_those_that_clients_know() -> None:
    for error, status in (
        (UnansweredError("x"), 500),
        (LockstepError("x"), 500),
        (ConflictError("x"), 400),
        (UsageError("x"), 400),
        (ReleaseError("x"), 400),
        (ForbiddenError("x"), 403),
        (UnauthenticatedError("x"), 401),
        (UnknownKeyError("x"), 404),
    ):
        assert status_of(error) == status


def test_roles_decide_environment_by_environment(server: Server) -> None:
    viewer = server.issue(Grant(Role.VIEWER, "Development"))
    assert [each["Name"] for each in server.asks("GET", "/environments", viewer).json()] == ["Development"]
    assert [each["Name"] for each in server.asks("GET", "/applications", viewer).json()] == ["Portal", "ToDo"]
    production, shop = keys.environment_key("Production"), keys.application_key("Shop")
    key = server.saves(Shop="1.0.0")
    for method, path, body in (
        ("GET", f"/environments/{production}", None),
        ("GET", f"/environments/{production}/applications", None),
        ("GET", f"/applications/{shop}", None),
        ("GET", f"/applications/{shop}/versions", None),
        ("GET", f"/deployments?TargetEnvironmentKey={production}", None),
        ("GET", f"/deployments/{key}", None),
        ("GET", f"/deployments/{key}/status", None),
        ("POST", f"/deployments/{key}/start", None),
        ("POST", "/deployments", plan("Development", ToDo="1.0.0")),
        ("POST", f"/environments/{ENVIRONMENT}/applications/{APP}/versions", {"Version": "1.0.0"}),
    ):
        assert "may not" in assert_error(server.asks(method, path, viewer, json=body), 403)
    deployer = server.issue(Grant(Role.DEPLOYER, "Development"), Grant(Role.VIEWER))
    assert server.asks("GET", f"/deployments/{key}/", deployer).status_code == 200
    assert_error(server.asks("POST", f"/deployments/{key}/start/", deployer), 403)
    nobody = server.issue(Grant(Role.VIEWER, "Elsewhere"))
    for path in ("/environments", "/applications", "/deployments"):
        assert server.asks("GET", path, nobody).status_code == 204


def test_who_fails_to_authenticate_too_often_waits(tmp_path: Path) -> None:
    server = Server(tmp_path)
    answers = [server.asks("GET", "/environments", "wrong") for _ in range(11)]
    assert_error(answers[9], 401)
    assert_error(answers[10], 429)
    assert int(answers[10].headers["retry-after"]) > 0


def test_what_is_wrong_with_the_server_is_no_fault_of_the_request(tmp_path: Path) -> None:
    server = Server(tmp_path)
    key = server.saves(ToDo="1.0.0")
    server.messages.broken = True
    assert "the broker" in assert_error(server.asks("POST", f"/deployments/{key}/start"), 500)
    assert server.asks("GET", f"/deployments/{key}/status").json()["DeploymentStatus"] == "finished_with_errors"
    (tmp_path / "inventory.yml").write_text("environments: [")
    assert "inventory.yml" in assert_error(server.asks("GET", "/environments"), 500)
    (tmp_path / "ledger.sqlite").unlink()
    assert_error(server.asks("GET", "/environments"), 500)
