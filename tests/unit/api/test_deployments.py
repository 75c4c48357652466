"""Deployments over HTTP: planned, created, held, continued, aborted, rolled back, watched."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.deployment import State
from tests.unit.api.service import WEB, Client, Here, items


@pytest.fixture
def here(tmp_path: Path) -> Here:
    here = Here(tmp_path)
    here.build("1.0.0")
    return here


@pytest.fixture
def client(here: Here) -> Client:
    return here.client()


CHANGES = {"changes": {"ToDo": "1.0.0"}}


def test_a_deployment_is_under_way_when_it_is_answered(client: Client, here: Here) -> None:
    made = client.post(f"{WEB}/deployments", json=CHANGES)
    assert made.status_code == 202, made.text
    view = made.json()
    assert (view["fleet"], view["state"], view["changes"]) == ("Production/web", "planned", {"ToDo": "1.0.0"})
    assert view["actor"].startswith("somebody#")
    assert here.dispatch.coordinated == [view["id"]]
    shown = client.get(made.headers["location"])
    assert (shown.json(), shown.headers["etag"]) == (view, made.headers["etag"])
    assert [each["id"] for each in items(client.get("/api/v1/deployments?fleet=Production/web"))] == [view["id"]]


def test_a_plan_changes_nothing(client: Client, here: Here) -> None:
    planned = client.post(f"{WEB}/deployments?dry_run=true", json=CHANGES)
    assert planned.status_code == 200
    assert planned.json()["apps"]["ToDo"]["to"] == "1.0.0"
    assert planned.json()["frontends"] == ["fe1", "fe2", "fe3"]
    assert here.ledger.history(None, 9) == []
    here.deployed()
    here.deployed("2.0.0")
    back = client.post(f"{WEB}/rollback?dry_run=true", json={})
    assert (back.json()["kind"], back.json()["apps"]["ToDo"]["from"]) == ("rollback", "2.0.0")


def test_a_held_fleet_says_who_holds_it(client: Client, here: Here) -> None:
    first = client.post(f"{WEB}/deployments", json=CHANGES).json()
    refused = client.post(f"{WEB}/deployments", json=CHANGES)
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    problem = refused.json()
    assert problem["type"] == "urn:lockstep:problem:conflict"
    assert problem["holder"] == {
        "deployment": first["id"],
        "state": "planned",
        "actor": first["actor"],
        "since": first["created_at"],
    }


def test_hold_and_time_are_taken_over(client: Client) -> None:
    at = (datetime.now(UTC) + timedelta(hours=3)).replace(microsecond=0)
    zoned = at.astimezone(tz=None).isoformat()
    view = client.post(f"{WEB}/deployments", json={**CHANGES, "hold": True, "at": zoned}).json()
    assert view["hold"] is True
    assert datetime.fromisoformat(view["due_at"]) == at


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"changes": {}},
        {"changes": {"ToDo": "9.9.9"}},
        {"changes": {"Portal": "1.0.0"}},
        {"changes": {"To Do": "1.0.0"}},
        {"changes": {"ToDo": "../1"}},
        {"changes": {"ToDo": "1.0.0\n"}},
        {**CHANGES, "hold": "yes"},
        {**CHANGES, "at": "2030-05-01T22:30:00"},
        {**CHANGES, "at": "22:30"},
        {**CHANGES, "at": "2000-05-01T22:30:00Z"},
        {**CHANGES, "at": "9999-12-31T23:59:59-14:00"},
        {**CHANGES, "new_builds": {"ToDo": "a b"}},
        {**CHANGES, "surprise": 1},
    ],
)
def test_what_can_not_be_a_deployment_is_refused(client: Client, here: Here, body: dict[str, Any]) -> None:
    refused = client.post(f"{WEB}/deployments", json=body)
    assert refused.status_code == 422, refused.text
    assert refused.headers["content-type"] == "application/problem+json"
    assert here.ledger.history(None, 9) == []


def test_what_was_sent_is_not_repeated(client: Client) -> None:
    secret = "s3cret-" * 4
    for body in (
        {**CHANGES, secret: secret},
        {**CHANGES, "hold": secret},
        {"changes": {f"{secret} {secret}": "1"}},
        {"changes": {"ToDo": f"/{secret}"}},
        {**CHANGES, "new_builds": {secret[0] + " " + secret: 1}},
        [secret],
    ):
        refused = client.post(f"{WEB}/deployments", json=body)
        assert refused.status_code == 422
        assert secret not in refused.text, refused.text
        assert refused.json()["errors"]


def test_a_body_that_can_not_be_read_and_one_that_is_too_large(client: Client) -> None:
    broken = client.post(f"{WEB}/deployments", content=b"\xff", headers={"Content-Type": "application/json"})
    assert (broken.status_code, broken.headers["content-type"]) == (400, "application/problem+json")
    large = client.post(f"{WEB}/deployments", json={**CHANGES, "at": "x" * 2_000_000})
    assert (large.status_code, large.headers["content-type"]) == (413, "application/problem+json")
    assert large.json()["type"] == "urn:lockstep:problem:too-large"

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 100_000

    unnamed = client.post(f"{WEB}/deployments", content=endless(), headers={"Content-Type": "application/json"})
    assert (unnamed.status_code, unnamed.json()["type"]) == (413, "urn:lockstep:problem:too-large")


def test_a_held_deployment_goes_on_or_ends_but_only_as_it_was_seen(client: Client, here: Here) -> None:
    made = client.post(f"{WEB}/deployments", json={**CHANGES, "hold": True})
    number, url = made.json()["id"], made.headers["location"]
    row = here.ledger.deployment(number)
    assert row is not None
    here.world.carry_out(row)
    for verb in ("continue", "abort"):
        stale = client.post(f"{url}/{verb}", headers={"If-Match": made.headers["etag"]})
        assert (stale.status_code, stale.json()["type"]) == (412, "urn:lockstep:problem:precondition")
    seen = client.get(url).headers["etag"]
    going = client.post(f"{url}/continue", headers={"If-Match": seen})
    assert (going.status_code, going.json()["hold"]) == (202, False)
    assert going.headers["etag"] != seen
    ended = client.post(f"{url}/abort", headers={"If-Match": going.headers["etag"]})
    assert (ended.status_code, ended.json()["decision"]) == (202, "abort")
    assert client.post(f"{url}/continue").status_code == 202  # it is carried on until it has ended
    here.ledger.move(number, State.ABORTING, State.ABORTED)
    assert client.post(f"{url}/continue").status_code == 409


def test_what_is_committed_is_not_aborted_but_rolled_back(client: Client, here: Here) -> None:
    here.deployed()
    second = here.deployed("2.0.0")
    assert client.post(f"/api/v1/deployments/{second.id}/abort").status_code == 409
    back = client.post(f"{WEB}/rollback", json={})
    assert (back.status_code, back.json()["changes"]) == (202, {"ToDo": "1.0.0"})
    assert client.post(f"{WEB}/rollback", json={"to": 99}).status_code == 422


def test_only_a_deployment_that_has_changed_is_sent_again(client: Client, here: Here) -> None:
    made = client.post(f"{WEB}/deployments", json=CHANGES)
    url, etag = made.headers["location"], made.headers["etag"]
    assert client.get(url, headers={"If-None-Match": etag}).status_code == 304
    here.ledger.move(made.json()["id"], State.PLANNED, State.STAGING)
    changed = client.get(url, headers={"If-None-Match": etag})
    assert (changed.status_code, changed.json()["state"]) == (200, "staging")


def test_history_in_pages_and_of_the_environments_that_may_be_read(client: Client, here: Here) -> None:
    numbers = [here.deployed(environment=each).id for each in ("Test", "Production", "Test", "Production")]
    first = client.get("/api/v1/deployments?limit=3").json()
    here.deployed(environment="Test")
    second = client.get("/api/v1/deployments", params={"limit": 3, "cursor": first["next"]}).json()
    assert [each["id"] for page in (first, second) for each in page["items"]] == numbers[::-1]
    assert second["next"] is None
    tester = here.client(("viewer", "Test"))
    assert {each["fleet"] for each in items(tester.get("/api/v1/deployments"))} == {"Test/web"}
    assert tester.get("/api/v1/deployments?fleet=Production/web").status_code == 403
    assert tester.get(f"/api/v1/deployments/{numbers[1]}").status_code == 403
    assert tester.get("/api/v1/deployments/4711").status_code == 404


@pytest.mark.parametrize(
    "cursor", ["x", "W10", "WyJ4IiwxXQ", "WyJkZXBsb3ltZW50cyIsIjEiXQ", "WyJkZXBsb3ltZW50cyIsLTFd", "%00"]
)
def test_a_cursor_that_is_none_is_refused(client: Client, cursor: str) -> None:
    refused = client.get(f"/api/v1/deployments?cursor={cursor}")
    assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json")


def test_a_cursor_with_words_that_no_release_has_is_refused(client: Client) -> None:
    for words in (["ToDo", "1\u0000"], ["ToDo\ud800", "1"], ["ToDo", "\u00fc"]):
        cursor = base64.urlsafe_b64encode(json.dumps(["releases", *words]).encode()).decode().rstrip("=")
        assert client.get(f"/api/v1/releases?cursor={cursor}").status_code == 422


def test_a_reason_is_a_line_of_text(client: Client) -> None:
    for reason in ("a\u0000b", "a\nb", ""):
        refused = client.post(f"{WEB}/drain", json={"frontend": "fe1", "reason": reason})
        assert refused.status_code == 422


def test_fleets_say_who_is_in_rotation_and_nothing_of_how_to_log_in(client: Client, here: Here) -> None:
    here.deployed()
    drained = client.post(f"{WEB}/drain", json={"frontend": "fe2", "reason": "new disk"})
    assert (drained.status_code, drained.json()["confirmed"]) == (202, False)
    shown = client.get(drained.headers["location"])
    assert {each["name"]: each["rotation"] for each in shown.json()["frontends"]} == {
        "fe1": "serving",
        "fe2": "draining",
        "fe3": "serving",
    }
    here.ledger.confirm_drain(drained.json()["number"], "tests")
    shown = client.get(WEB)
    assert [each["rotation"] for each in shown.json()["frontends"]] == ["serving", "drained", "serving"]
    assert shown.json()["apps"] == {"ToDo": "1.0.0"}
    for secret in ("identity", "ssh-ed25519", "/srv/lockstep"):
        assert secret not in shown.text + client.get("/api/v1/fleets").text
    back = client.post(f"{WEB}/readmit", json={"frontends": ["fe2"]})
    assert (back.status_code, back.json()["kind"]) == (202, "readmit")
    assert client.post(f"{WEB}/drain", json={"frontend": "fe9"}).status_code == 422


def test_builds_are_recorded_listed_and_retired(client: Client, here: Here) -> None:
    url = "/api/v1/environments/Production/builds"
    body = {"app": "ToDo", "build": "7.0-1", "version": "1.0.0", "platform": "ios"}
    assert client.post(url, json=body).status_code == 201
    assert client.post(url, json={**body, "platform": "android"}).status_code == 409
    assert client.post(url, json={**body, "app": "Portal"}).status_code == 422
    assert client.post(url, json={**body, "build": "7.0-2"}).status_code == 201
    first = client.get("/api/v1/builds?limit=1").json()
    assert [each["build"] for each in first["items"]] == ["7.0-1"]
    assert client.post(f"{url}/ToDo/7.0-1/retire").json()["retired_at"] is not None
    rest = client.get("/api/v1/builds", params={"limit": 1, "cursor": first["next"]}).json()
    assert ([each["build"] for each in rest["items"]], rest["next"]) == (["7.0-2"], None)
    assert [each["build"] for each in items(client.get("/api/v1/builds"))] == ["7.0-2"]
    assert len(list(items(client.get("/api/v1/builds?retired=true")))) == 2
    assert client.post(f"{url}/ToDo/7.0-9/retire").status_code == 422
    assert list(items(here.client(("viewer", "Test")).get("/api/v1/builds?retired=true"))) == []


def test_a_token_is_shown_once_and_works_until_it_is_revoked(client: Client, here: Here) -> None:
    body = {"name": "ci", "roles": [{"role": "viewer", "environment": "Test"}], "expires_at": "2030-05-01T00:00:00Z"}
    made = client.post("/api/v1/tokens", json=body, headers={"Idempotency-Key": "one"})
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    again = client.post("/api/v1/tokens", json=body, headers={"Idempotency-Key": "one"})
    assert (again.status_code, again.json()) == (201, {**made.json(), "token": None})
    secret = made.json()["token"]
    theirs = Client(client.app, {"Authorization": f"Bearer {secret}"})
    assert theirs.get("/api/v1/fleets").status_code == 200
    listed = client.get("/api/v1/tokens")
    assert [each["name"] for each in items(listed)] == ["somebody", "ci"]
    assert secret[-40:] not in listed.text
    assert secret[-40:].encode() not in b"".join(path.read_bytes() for path in here.settings.home.glob("ledger*"))
    assert client.post(f"/api/v1/tokens/{made.json()['public']}/revoke").json()["state"] == "revoked"
    assert theirs.get("/api/v1/fleets").status_code == 401
    assert client.post("/api/v1/tokens/000000000000/revoke").status_code == 404
    assert client.post("/api/v1/tokens", json={**body, "expires_at": "2001-01-01T00:00:00Z"}).status_code == 422


def test_the_trail_is_read_in_pages_and_verified(client: Client, here: Here) -> None:
    here.client(("viewer", "Test"))
    first = client.get("/api/v1/trail?limit=1").json()
    second = client.get("/api/v1/trail", params={"limit": 1, "cursor": first["next"]}).json()
    assert [each["number"] for page in (first, second) for each in page["items"]] == [1, 2]
    assert first["items"][0]["digest"] == here.trail.entries()[0].digest
    whole = client.get("/api/v1/trail/verify").json()
    last = here.trail.last()
    assert last is not None
    assert whole == {"intact": True, "entries": last.number, "digest": last.digest, "problem": None}
