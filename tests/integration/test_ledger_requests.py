"""Requests that are done once, and pages of what there is, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from orchestrator.adapters.ledger.requests import SqlRequests
from orchestrator.domain.deployment import Decision, State
from orchestrator.domain.errors import HeldError
from orchestrator.ports import Ledger, ReleaseRecord
from tests.integration.ledgers import Callers, Ticks, plan

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_of_many_at_once_one_claims_a_request_and_the_others_read_it(ledger_engine: Engine) -> None:
    requests = SqlRequests(ledger_engine, Ticks())
    claims = Callers.THREADS.at_once([lambda: requests.claim("scope", "key", "d")] * 8)
    assert claims.count(None) == 1
    others = [claim for claim in claims if claim is not None]
    assert {(claim.digest, claim.status) for claim in others} == {("d", None)}  # type: ignore[union-attr]
    requests.settle("scope", "key", 202, {"body": {"id": 1}})
    again = requests.claim("scope", "key", "e")
    assert again is not None
    assert (again.digest, again.status, again.answer) == ("d", 202, {"body": {"id": 1}})
    requests.drop("scope", "key")
    assert requests.claim("scope", "key", "d") is not None, "what is answered is kept"
    assert requests.claim("scope", "other", "d") is None
    requests.drop("scope", "other")
    assert requests.claim("scope", "other", "d") is None


def test_history_and_releases_go_on_below_what_was_seen(ledger: Ledger) -> None:
    numbers = []
    for fleet in ("Test/web", "test/web", "Test_/web", "Production/web", "Test/web"):
        made = ledger.plan(plan(fleet))
        ledger.decide(made.id, Decision.ABORT, [])
        ledger.move(made.id, State.ABORTING, State.ABORTED)
        numbers.append(made.id)
    newest = numbers[::-1]
    assert [each.id for each in ledger.history(None, 2, before=newest[1])] == newest[2:4]
    assert [each.id for each in ledger.history(None, 9, environments=["Test"])] == [newest[0], newest[4]]
    assert [each.id for each in ledger.history(None, 9, environments=["Test", "Production"])] == [
        newest[0],
        newest[1],
        newest[4],
    ]
    assert ledger.history(None, 9, environments=[]) == []
    assert ledger.history("Production/web", 9, environments=["Test"]) == []
    for version in ("1", "2", "3", "4"):
        ledger.add_release(ReleaseRecord("ToDo", version, "a" * 64, 1, 1, NOON))
        ledger.add_release(ReleaseRecord("Shop", version, "a" * 64, 1, 1, NOON))
    found = ledger.releases("ToDo", before=("Shop", "3"), limit=2)
    assert [(each.app, each.version) for each in found] == [("ToDo", "3"), ("ToDo", "2")]
    assert ledger.releases(before=("ToDo", "nowhere")) == []


def test_who_holds_a_fleet_is_told(ledger: Ledger) -> None:
    made = ledger.plan(plan())
    with pytest.raises(HeldError) as refused:
        ledger.plan(plan())
    assert refused.value.holder == {
        "deployment": made.id,
        "state": "planned",
        "actor": made.plan.actor,
        "since": made.created_at.isoformat(timespec="milliseconds"),
    }
