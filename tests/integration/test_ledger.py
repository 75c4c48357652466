"""What one caller plans and releases is what every caller reads, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine

from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.domain.activation import ActivationName
from orchestrator.domain.deployment import (
    Decision,
    Kind,
    Outcome,
    Report,
    State,
    Step,
)
from orchestrator.domain.errors import ConflictError, LockstepError, UsageError
from orchestrator.ports import Ledger, ReleaseRecord
from tests.integration.ledgers import FLEET, Ticks, advance, plan, reach, standing

NOW = datetime(2026, 7, 8, 9, 10, 11, 121314, tzinfo=UTC)
RELEASE = ReleaseRecord("ToDo", "1.0", "a" * 64, 12, 3_000_000_000, NOW)


# ── releases ──


def test_a_release_comes_back_as_it_was_added(ledger: Ledger) -> None:
    assert ledger.release("ToDo", "1.0") is None
    assert ledger.add_release(RELEASE) == RELEASE
    assert ledger.release("ToDo", "1.0") == RELEASE
    assert ledger.release("ToDo", "1") is None
    assert ledger.release("todo", "1.0") is None


def test_the_same_content_again_is_the_release_that_is_there(ledger: Ledger) -> None:
    ledger.add_release(RELEASE)
    assert ledger.add_release(replace(RELEASE, created_at=NOW + timedelta(days=1))) == RELEASE
    assert ledger.releases() == [RELEASE]


def test_other_content_under_a_version_is_refused(ledger: Ledger) -> None:
    ledger.add_release(RELEASE)
    with pytest.raises(ConflictError, match="other content"):
        ledger.add_release(replace(RELEASE, digest="b" * 64))
    assert ledger.release("ToDo", "1.0") == RELEASE


def test_releases_are_listed_newest_first_of_all_apps_or_one(ledger: Ledger) -> None:
    first, other, last = RELEASE, replace(RELEASE, app="Shop"), replace(RELEASE, version="0.9")
    for record in (first, other, last):
        ledger.add_release(record)
    assert ledger.releases() == [last, other, first]
    assert ledger.releases("ToDo") == [last, first]
    assert ledger.releases("Nobody") == []


# ── planning ──


def test_a_plan_comes_back_as_it_was_made(ledger: Ledger) -> None:
    asked = replace(
        plan(hold=True, Shop="2"),
        kind=Kind.ROLLBACK,
        snapshot={"name": "Ünïcode 🙂", "policy": {"verify": "all", "seconds": 0.1}, "none": None},
        actor="ada@ops 'x'",
        due_at=NOW,
        expires_at=NOW + timedelta(hours=96),
    )
    made = ledger.plan(asked)
    assert made.plan == asked
    assert made.state is State.PLANNED
    assert (made.decision, made.decided_at, made.ended_at, made.troubles, made.skew) == (None, None, None, (), None)
    assert made.created_at.utcoffset() == timedelta(0)
    assert ledger.deployment(made.id) == made
    assert ledger.open_deployment(FLEET) == made
    assert ledger.unfinished() == [made]


def test_an_activation_has_the_next_epoch_and_a_nonce_of_its_own(ledger_engine: Engine) -> None:
    ledger = SqlLedger(ledger_engine, Ticks())
    names = []
    for _ in range(12):
        made = ledger.plan(plan())
        names.append(made.name)
        reach(ledger, made.id, State.ABORTED)
    assert [name.epoch for name in names] == list(range(1, 13))
    assert len({name.nonce for name in names}) == 12
    assert all(ActivationName.parse(str(name)) == name for name in names)


def test_a_fleet_has_one_open_deployment_and_its_epochs_to_itself(ledger: Ledger) -> None:
    held = ledger.plan(plan())
    with pytest.raises(ConflictError, match=f"deployment {held.id} of {FLEET} is open") as refused:
        ledger.plan(plan())
    assert "planned, by ada, since 2026-01-02" in refused.value.problem.found
    assert ledger.plan(plan("Production/other")).epoch == 1
    assert ledger.open_deployment(FLEET) == held


def test_a_fleet_is_held_until_its_deployment_has_ended(ledger: Ledger) -> None:
    for state in State:
        fleet = f"Production/{state}"
        number = ledger.plan(plan(fleet, hold=True)).id
        reach(ledger, number, state)
        if state.ended:
            assert ledger.open_deployment(fleet) is None
            assert ledger.plan(plan(fleet)).epoch == 2
        else:
            with pytest.raises(ConflictError):
                ledger.plan(plan(fleet))


def test_a_plan_that_would_undo_what_was_committed_meanwhile_is_refused(ledger: Ledger) -> None:
    ledger.add_release(RELEASE)
    first = ledger.plan(plan(changes={"ToDo": "1", "Shop": "1"}))
    advance(ledger, first.id, State.DONE)
    second = ledger.plan(plan(changes={"ToDo": "2"}, Shop="1"))
    advance(ledger, second.id, State.DONE)
    with pytest.raises(ConflictError, match=r"ToDo: .* was moved by somebody else"):
        ledger.plan(plan(changes={"Shop": "2"}, ToDo="1"))
    assert ledger.open_deployment(FLEET) is None
    assert ledger.plan(plan(changes={"Shop": "2"}, ToDo="2")).epoch == 3


def test_what_was_aborted_does_not_count_as_what_the_fleet_serves(ledger: Ledger) -> None:
    first = ledger.plan(plan(changes={"ToDo": "1", "Shop": "1"}))
    advance(ledger, first.id, State.DONE)
    reach(ledger, ledger.plan(plan(changes={"ToDo": "2"}, Shop="1")).id, State.ABORTED)
    assert ledger.plan(plan(changes={"Shop": "2"}, ToDo="1")).epoch == 3


def test_a_new_app_or_one_that_was_taken_out_is_not_outdated(ledger: Ledger) -> None:
    first = ledger.plan(plan(changes={"ToDo": "1", "Shop": "1"}))
    advance(ledger, first.id, State.DONE)
    second = ledger.plan(plan(changes={"News": "1"}, ToDo="1"))
    assert [p.app for p in second.activation.placements] == ["News", "ToDo"]


# ── lists ──


def test_lists_are_newest_first_and_know_their_fleet(ledger: Ledger) -> None:
    one = ledger.plan(plan()).id
    advance(ledger, one, State.DONE)
    two = ledger.plan(plan("Production/other")).id
    three = ledger.plan(plan()).id
    reach(ledger, three, State.ABORTED)
    four = ledger.plan(plan()).id
    advance(ledger, four, State.ACTIVATING)
    assert [d.id for d in ledger.history(None, 10)] == [four, three, two, one]
    assert [d.id for d in ledger.history(FLEET, 2)] == [four, three]
    assert [d.id for d in ledger.committed(FLEET)] == [four, one]
    assert [d.id for d in ledger.unfinished()] == [two, four]
    assert ledger.committed("Production/other") == []
    assert ledger.history("Production/nothing", 10) == []
    assert ledger.open_deployment("Production/nothing") is None


# ── times ──


def test_times_of_other_zones_come_back_in_utc(ledger: Ledger) -> None:
    far = timezone(timedelta(hours=13, minutes=45))
    made = ledger.plan(replace(plan(hold=True), due_at=NOW.astimezone(far)))
    assert made.plan.due_at == NOW
    assert made.plan.due_at is not None
    assert made.plan.due_at.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LockstepError, match="needs a time zone"):
        ledger.plan(replace(plan(), due_at=NOW.replace(tzinfo=None)))
    assert ledger.unfinished() == []


# ── numbers ──

WRITES: tuple[Callable[[Ledger, int], object], ...] = (
    lambda ledger, number: ledger.move(number, State.PLANNED, State.STAGING),
    lambda ledger, number: ledger.prepare(number),
    lambda ledger, number: ledger.release_hold(number),
    lambda ledger, number: ledger.decide(number, Decision.ABORT, []),
    lambda ledger, number: ledger.note_troubles(number, []),
    lambda ledger, number: ledger.record_skew(number, 0.1),
    lambda ledger, number: ledger.record(number, [Report("f1", Step.ARM, 1, Outcome.ACCEPTED)]),
)


def test_a_write_to_no_deployment_is_an_error(ledger: Ledger) -> None:
    planned = ledger.plan(plan())
    for write in WRITES:
        with pytest.raises(UsageError, match=f"there is no deployment {planned.id + 1}"):
            write(ledger, planned.id + 1)
    assert standing(ledger, planned.id) == planned


def test_a_number_that_no_deployment_has_finds_none(ledger: Ledger) -> None:
    assert ledger.plan(plan()).id == 1
    for number in (-1, 0, 2, 2**31, 2**63 - 1, 2**63, 10**40):
        assert ledger.deployment(number) is None
