"""Audits over HTTP: begun, watched, listed; what they found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.domain.audit.audit import Outcome
from orchestrator.domain.audit.finding import Finding, Kind, Seriousness
from orchestrator.domain.audit.history import History
from tests.unit.api.service import WEB, Client, Here, items

FLEET = "Production/web"


def finding(frontend: str, path: str) -> Finding:
    return Finding(FLEET, frontend, Kind.FILE_CHANGED, path, "abc", "def", Seriousness.CLIENTS)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    here = Here(tmp_path)
    here.deployed()
    return here


@pytest.fixture
def client(here: Here) -> Client:
    return here.client()


def ended(here: Here, client: Client, *opened: Finding, closed: tuple[Finding, ...] = ()) -> int:
    number: int = client.post(f"{WEB}/audits", json={}).json()["id"]
    outcome = Outcome.INCONSISTENT if opened else Outcome.CONSISTENT
    here.audits.end_audit(number, outcome, {"opened": len(opened)}, History(opened, (), closed, ()))
    return number


def test_an_audit_is_under_way_when_it_is_answered(here: Here, client: Client) -> None:
    made = client.post(f"{WEB}/audits", json={"deep": True, "policy": "heal", "remove_extra": True})
    assert made.status_code == 202, made.text
    view = made.json()
    assert (view["fleet"], view["outcome"], view["cause"]) == (FLEET, None, "operator")
    assert (view["deep"], view["policy"], view["remove_extra"]) == (True, "heal", True)
    assert here.dispatch.audited == [view["id"]]
    shown = client.get(made.headers["location"])
    assert (shown.json(), shown.headers["etag"]) == (view, made.headers["etag"])
    assert client.get(made.headers["location"], headers={"If-None-Match": made.headers["etag"]}).status_code == 304


def test_the_fleets_own_policy_counts_without_one(client: Client) -> None:
    assert client.post(f"{WEB}/audits", json={}).json()["policy"] == "report"


@pytest.mark.parametrize("body", [{"policy": "burn"}, {"deep": "yes"}, {"more": 1}], ids=["policy", "type", "field"])
def test_what_is_not_known_is_refused(here: Here, client: Client, body: dict[str, Any]) -> None:
    assert client.post(f"{WEB}/audits", json=body).status_code == 422
    assert here.audits.audits(None, 9) == []


def test_a_second_one_is_told_of_the_first(client: Client) -> None:
    first = client.post(f"{WEB}/audits", json={}).json()
    refused = client.post(f"{WEB}/audits", json={})
    assert (refused.status_code, refused.json()["holder"]["audit"]) == (409, first["id"])


def test_the_same_request_again_begins_no_other(here: Here, client: Client) -> None:
    name = {"Idempotency-Key": "nightly-1"}
    first, again = (client.post(f"{WEB}/audits", json={}, headers=name) for _ in range(2))
    assert (again.json(), again.headers["idempotency-replayed"]) == (first.json(), "true")
    assert len(here.audits.audits(None, 9)) == 1


def test_a_list_goes_on_where_the_page_before_ended(here: Here, client: Client) -> None:
    numbers = [ended(here, client) for _ in range(3)]
    page = client.get(f"/api/v1/audits?limit=2&fleet={FLEET}").json()
    rest = client.get(f"/api/v1/audits?limit=2&cursor={page['next']}").json()
    assert [each["id"] for each in (*page["items"], *rest["items"])] == numbers[::-1]
    assert rest["next"] is None


def test_an_audits_findings_are_those_that_were_open_when_it_ended(here: Here, client: Client) -> None:
    one, two = finding("fe1", "a"), finding("fe2", "b")
    first = ended(here, client, one)
    second = ended(here, client, two, closed=(one,))
    paths = [
        [each["path"] for each in items(client.get(f"/api/v1/audits/{number}/findings"))] for number in (first, second)
    ]
    assert paths == [["a"], ["b"]]
    assert [each["path"] for each in items(client.get("/api/v1/findings"))] == ["b"]
    everything = items(client.get(f"/api/v1/findings?closed=true&fleet={FLEET}"))
    assert [(each["path"], each["closed_at"] is None) for each in everything] == [("b", True), ("a", False)]


def test_findings_come_in_pages(here: Here, client: Client) -> None:
    number = ended(here, client, *(finding("fe1", path) for path in "abc"))
    for url in (f"/api/v1/audits/{number}/findings", "/api/v1/findings"):
        page = client.get(f"{url}?limit=2").json()
        rest = client.get(f"{url}?limit=2&cursor={page['next']}").json()
        assert sorted(each["path"] for each in (*page["items"], *rest["items"])) == ["a", "b", "c"]


def test_other_environments_are_not_seen(here: Here, client: Client) -> None:
    number = ended(here, client, finding("fe1", "a"))
    elsewhere = here.client(("viewer", "Test"))
    assert items(elsewhere.get("/api/v1/audits")) == items(elsewhere.get("/api/v1/findings")) == []
    for url in (f"/audits/{number}", f"/audits/{number}/findings", f"/findings?fleet={FLEET}"):
        assert elsewhere.get(f"/api/v1{url}").status_code == 403


def test_an_audit_that_is_not_there_is_404(client: Client) -> None:
    assert client.get("/api/v1/audits/99").status_code == 404
    assert client.get("/api/v1/audits/99/findings").status_code == 404
