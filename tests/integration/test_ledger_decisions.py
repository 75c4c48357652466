"""Every move and every decision is a compare-and-set on one row, and the database itself holds the row together."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.domain.deployment import MOVES, UNDECIDED, Decision, State, Trouble, decided_state, may_decide
from orchestrator.ports import Ledger
from tests.integration.ledgers import Ticks, advance, plan, reach, standing

NOW = datetime(2026, 7, 8, 9, 10, 11, 121314, tzinfo=UTC)
REFUSAL = Trouble("arm", "f2", {"what": "no", "where": "f2", "expected": "", "found": "", "remedy": ""})


def test_every_move_happens_once_and_only_from_where_the_row_is(ledger: Ledger) -> None:
    number = ledger.plan(plan()).id
    assert ledger.move(number, State.STAGING, State.VERIFYING) == (State.PLANNED, False)
    assert ledger.move(number, State.PLANNED, State.STAGING) == (State.STAGING, True)
    assert ledger.move(number, State.PLANNED, State.STAGING) == (State.STAGING, False)


def test_no_move_stands_in_for_a_decision(ledger: Ledger) -> None:
    number = ledger.plan(plan()).id
    for before, after in product(State, State):
        if after not in MOVES[before]:
            with pytest.raises(ValueError, match="without a decision"):
                ledger.move(number, before, after)
    assert standing(ledger, number).state is State.PLANNED


@pytest.mark.parametrize("decision", Decision)
def test_a_decision_is_written_where_the_protocol_allows_it(ledger: Ledger, decision: Decision) -> None:
    for state in State:
        number = ledger.plan(plan(f"Production/{state}", hold=True)).id
        reach(ledger, number, state)
        before = standing(ledger, number)
        stands = ledger.decide(number, decision, [REFUSAL])
        after = standing(ledger, number)
        if may_decide(state, decision):
            assert stands is decision
            assert (after.state, after.decision, after.troubles) == (decided_state(decision), decision, (REFUSAL,))
            assert after.decided_at is not None
            assert after.ended_at is None
        else:
            assert stands is before.decision
            assert after == before


def test_what_was_decided_first_stands(ledger: Ledger) -> None:
    for first, second in product(Decision, Decision):
        number = ledger.plan(plan(f"Production/{first}-{second}")).id
        advance(ledger, number, State.ARMING)
        assert ledger.decide(number, first, []) is first
        decided = standing(ledger, number)
        assert ledger.decide(number, second, [REFUSAL]) is first
        assert standing(ledger, number) == decided


def test_the_database_itself_refuses_a_state_without_its_decision(ledger_engine: Engine) -> None:
    SqlLedger(ledger_engine, Ticks()).plan(plan())
    update = text("UPDATE deployments SET state = :state")
    for state in State:
        with ledger_engine.connect() as connection:
            if state in UNDECIDED:
                assert connection.execute(update, {"state": state}).rowcount == 1
            else:
                with pytest.raises(IntegrityError):
                    connection.execute(update, {"state": state})


#: What no writer may make of a planned deployment.
CONTRADICTIONS = (
    "decision = 'commit'",
    "decision = 'commit', state = 'activating'",
    "decision = 'perhaps', state = 'activating', decided_at = created_at",
    "decision = 'abort', state = 'activating', decided_at = created_at",
    "decision = 'commit', state = 'aborting', decided_at = created_at",
    "state = 'activating', decided_at = created_at",
    "decided_at = created_at",
    "state = 'nowhere'",
    "ended_at = created_at",
    "decision = 'abort', state = 'aborted', decided_at = created_at",
    "decision = 'abort', state = 'aborting', decided_at = created_at, ended_at = created_at",
    "epoch = 0",
)


def test_the_database_itself_refuses_a_row_that_contradicts_itself(ledger_engine: Engine) -> None:
    SqlLedger(ledger_engine, Ticks()).plan(plan())
    for change in CONTRADICTIONS:
        with ledger_engine.connect() as connection, pytest.raises(IntegrityError):
            connection.execute(text(f"UPDATE deployments SET {change}"))


def test_verified_goes_on_to_arming_or_is_held_as_the_row_says(ledger: Ledger) -> None:
    free = ledger.plan(plan()).id
    held = ledger.plan(plan("Production/held", hold=True)).id
    assert ledger.prepare(free) == (State.PLANNED, False)
    for number, state in ((free, State.ARMING), (held, State.PREPARED)):
        advance(ledger, number, State.VERIFYING)
        assert ledger.prepare(number) == (state, True)
        assert ledger.prepare(number) == (state, False)


def test_a_released_hold_is_gone_with_its_times(ledger: Ledger) -> None:
    number = ledger.plan(replace(plan(hold=True), due_at=NOW, expires_at=NOW)).id
    reach(ledger, number, State.PREPARED)
    assert ledger.release_hold(number)
    released = standing(ledger, number).plan
    assert (released.hold, released.due_at, released.expires_at) == (False, None, None)
    assert ledger.move(number, State.PREPARED, State.VERIFYING) == (State.VERIFYING, True)
    assert ledger.prepare(number) == (State.ARMING, True)


def test_the_hold_of_what_is_decided_is_not_released(ledger: Ledger) -> None:
    number = ledger.plan(plan(hold=True)).id
    ledger.decide(number, Decision.ABORT, [])
    assert not ledger.release_hold(number)
    assert standing(ledger, number).plan.hold


def test_times_tell_when_it_was_decided_and_when_it_ended(ledger: Ledger) -> None:
    number = ledger.plan(plan()).id
    advance(ledger, number, State.FINISHING)
    decided = standing(ledger, number)
    assert decided.ended_at is None
    ledger.move(number, State.FINISHING, State.DONE)
    done = standing(ledger, number)
    assert done.decided_at == decided.decided_at
    assert done.decided_at is not None
    assert done.ended_at is not None
    assert done.created_at < done.decided_at < done.ended_at


# ── troubles and skew ──


def test_troubles_are_replaced_while_it_is_open_and_gone_when_it_is_done(ledger: Ledger) -> None:
    number = ledger.plan(plan()).id
    advance(ledger, number, State.ACTIVATING)
    ledger.note_troubles(number, [REFUSAL, replace(REFUSAL, frontend="")])
    assert standing(ledger, number).troubles == (REFUSAL, replace(REFUSAL, frontend=""))
    ledger.note_troubles(number, [REFUSAL])
    assert standing(ledger, number).troubles == (REFUSAL,)
    ledger.move(number, State.ACTIVATING, State.FINISHING)
    ledger.move(number, State.FINISHING, State.DONE)
    assert standing(ledger, number).troubles == ()


def test_why_it_was_aborted_is_kept_for_ever(ledger: Ledger) -> None:
    number = ledger.plan(plan()).id
    ledger.note_troubles(number, [replace(REFUSAL, step="stage")])
    ledger.decide(number, Decision.ABORT, [REFUSAL])
    ledger.note_troubles(number, [])
    ledger.move(number, State.ABORTING, State.ABORTED)
    ledger.note_troubles(number, [])
    assert standing(ledger, number).troubles == (REFUSAL,)


def test_the_first_skew_is_kept(ledger: Ledger) -> None:
    number = ledger.plan(plan()).id
    ledger.record_skew(number, 0.0021)
    ledger.record_skew(number, 9.0)
    assert standing(ledger, number).skew == 0.0021
