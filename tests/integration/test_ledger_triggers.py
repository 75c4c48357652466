"""What hooks set off, on both databases: claimed once, begun once, ended once, and told to the trail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine

from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.adapters.ledger.trail import SqlTrail
from orchestrator.adapters.ledger.triggers import SqlTriggers
from orchestrator.domain.trigger import Claim, Trigger
from tests.integration.ledgers import FLEET, Callers, Ticks, plan

#: The longest names that there can be.
HOOK = f"hook:{'h' * 63}"
CLAIM = Claim(HOOK, "m" * 255, {"digest": "ab" * 32, "changes": {"ToDo": "1.0.0"}}, FLEET, {"changes": {}})


@pytest.fixture
def triggers(ledger_engine: Engine) -> SqlTriggers:
    return SqlTriggers(ledger_engine, Ticks())


@pytest.fixture
def told(ledger_engine: Engine) -> Iterator[list[str]]:
    """What the trail is to hold at the end of the test, in its order."""
    expected: list[str] = []
    yield expected
    trail = SqlTrail(ledger_engine, Ticks())
    assert [entry.action.name for entry in trail.entries() if entry.action.name.startswith("trigger.")] == expected


def claimed(triggers: SqlTriggers) -> Trigger:
    row = triggers.claim(CLAIM)
    assert row is not None
    return row


def test_a_name_of_a_hook_is_claimed_once(triggers: SqlTriggers, told: list[str]) -> None:
    row = claimed(triggers)
    assert (row.hook, row.name, row.request) == (CLAIM.hook, CLAIM.name, CLAIM.request)
    assert (row.result, row.deployment, row.ended_at) == (None, None, None)
    assert triggers.claim(CLAIM) is None
    assert triggers.claim(Claim("hook:other", CLAIM.name, {}, FLEET)) is not None
    assert triggers.trigger(HOOK, CLAIM.name) == row
    assert triggers.trigger(HOOK, "another") is None
    told += ["trigger.fired"] * 2


def test_of_many_at_once_one_claims(triggers: SqlTriggers, told: list[str]) -> None:
    results = Callers.THREADS.at_once([lambda: triggers.claim(CLAIM)] * 8)
    assert len([each for each in results if each is not None]) == 1
    told += ["trigger.fired"]


def test_what_was_let_go_of_can_be_claimed_again(triggers: SqlTriggers, told: list[str]) -> None:
    row = claimed(triggers)
    triggers.release(row.id, FLEET, {"what": "held"})
    triggers.release(row.id, FLEET, {"what": "held"})
    assert triggers.trigger(HOOK, CLAIM.name) is None
    again = claimed(triggers)
    triggers.end(again.id, {"status": 202})
    triggers.release(again.id, FLEET, {"what": "too late"})
    assert triggers.trigger(HOOK, CLAIM.name) is not None
    told += ["trigger.fired", "trigger.refused", "trigger.fired"]


def test_one_begins(triggers: SqlTriggers, told: list[str]) -> None:
    row = claimed(triggers)
    assert [triggers.begin(row.id), triggers.begin(row.id)] == [True, False]
    (begun,) = triggers.unended(HOOK)
    assert list(begun.result or {}) == ["begun"]
    triggers.end(row.id, {"said": "done"})
    assert triggers.begin(row.id) is False
    assert triggers.unended(HOOK) == []
    told += ["trigger.fired"]


def test_what_has_ended_stays_as_it_is(triggers: SqlTriggers, ledger_engine: Engine) -> None:
    deployment = SqlLedger(ledger_engine, Ticks()).plan(plan())
    row = claimed(triggers)
    assert triggers.deployed(row.id, deployment.id)
    set_off = triggers.trigger(HOOK, CLAIM.name)
    assert set_off is not None
    assert set_off.deployment == deployment.id
    other = triggers.claim(replace(CLAIM, name="other"))
    assert other is not None
    assert not triggers.deployed(other.id, deployment.id)
    triggers.end(row.id, {"status": 202}, deployment.id)
    ended = triggers.trigger(HOOK, CLAIM.name)
    triggers.end(row.id, {"status": 500})
    assert triggers.trigger(HOOK, CLAIM.name) == ended
    assert ended is not None
    assert (ended.result, ended.deployment) == ({"status": 202}, deployment.id)


def test_what_needs_nothing_more_ends_with_its_claim(triggers: SqlTriggers) -> None:
    row = triggers.claim(Claim(HOOK, "m", {}, FLEET, {}, {"status": 200}))
    assert row is not None
    assert row.ended_at is not None
    assert triggers.unended(HOOK) == []
