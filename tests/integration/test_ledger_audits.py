"""Audits in the ledger, on both databases: one open of a fleet, one row for a moment, ended once; and healing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from orchestrator.adapters.ledger.audits import SqlAudits
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.adapters.ledger.trail import SqlTrail
from orchestrator.domain.audit.audit import Audit, AuditPlan, Outcome
from orchestrator.domain.deployment import Deployment, Healing, Kind, Plan, State
from orchestrator.domain.errors import ConflictError, HeldError, LockstepError, UsageError
from orchestrator.domain.trail import ITSELF
from orchestrator.ports import Audits, Ledger
from tests.integration.ledgers import FLEET, Callers, Ticks, advance, plan, reach, standing
from tests.integration.test_ledger_drains import copied

MOMENT = datetime(2026, 1, 2, 2, tzinfo=UTC)
ASKED = AuditPlan(FLEET, {"name": "web", "audits": {"policy": "heal"}}, True, "heal", "ada", True)
DUE = replace(ASKED, deep=False, remove_extra=False, scheduled_at=MOMENT)
CROWD = 6


@pytest.fixture
def audits(ledger_engine: Engine) -> Audits:
    """A ledger's audits."""
    return SqlAudits(ledger_engine, Ticks())


@pytest.fixture
def trail(ledger_engine: Engine) -> SqlTrail:
    """What the ledger was told."""
    return SqlTrail(ledger_engine, Ticks())


@pytest.fixture(params=Callers)
def callers(request: pytest.FixtureRequest) -> Callers:
    """The kind of callers."""
    kind: Callers = request.param
    return kind


def committed(ledger: Ledger, fleet: str = FLEET) -> Deployment:
    made = ledger.plan(plan(fleet))
    advance(ledger, made.id, State.DONE)
    return standing(ledger, made.id)


def ended(audits: Audits, asked: AuditPlan = ASKED) -> Audit:
    return audits.end_audit(audits.begin_audit(asked).id, Outcome.CONSISTENT, {})


def told(trail: SqlTrail, name: str) -> list[tuple[str, str, object]]:
    entries = [entry.action for entry in trail.entries() if entry.action.name == name]
    return [(action.actor, action.fleet, dict(action.detail)) for action in entries]


# ── begun ──


@pytest.mark.parametrize("asked", [ASKED, DUE], ids=["asked for", "scheduled"])
def test_an_audit_comes_back_as_it_was_begun(audits: Audits, asked: AuditPlan) -> None:
    assert (audits.audits(None, 10), audits.open_audits(), audits.audit(1)) == ([], [], None)
    made = audits.begin_audit(asked)
    assert (made.plan, made.outcome, made.ended_at, made.detail) == (asked, None, None, {})
    assert audits.audit(made.id) == made
    assert audits.audits(FLEET, 10) == audits.audits(None, 10) == audits.open_audits() == [made]


def test_an_open_audit_holds_its_fleet_for_other_audits_and_says_so(audits: Audits) -> None:
    made = audits.begin_audit(ASKED)
    for other in (ASKED, DUE):
        with pytest.raises(HeldError, match=f"audit {made.id} of {FLEET} is open") as held:
            audits.begin_audit(other)
        assert held.value.holder == {
            "audit": made.id,
            "actor": "ada",
            "since": made.begun_at.isoformat(timespec="milliseconds"),
        }
    assert audits.audits(None, 10) == [made]
    elsewhere = audits.begin_audit(replace(ASKED, fleet="Production/other"))
    assert audits.open_audits() == [made, elsewhere]
    audits.end_audit(made.id, Outcome.LOST, {})
    again = audits.begin_audit(ASKED)
    assert audits.open_audits() == [elsewhere, again]


def test_an_open_deployment_keeps_audits_of_its_fleet_from_beginning(audits: Audits, ledger: Ledger) -> None:
    held = ledger.plan(plan())
    with pytest.raises(HeldError, match=f"deployment {held.id} of {FLEET} is open") as refused:
        audits.begin_audit(ASKED)
    assert refused.value.holder["deployment"] == held.id
    assert audits.audits(None, 10) == []
    audits.begin_audit(replace(ASKED, fleet="Production/other"))
    reach(ledger, held.id, State.ABORTED)
    assert audits.begin_audit(ASKED).outcome is None


def test_an_open_audit_keeps_no_deployment_from_beginning(audits: Audits, ledger: Ledger) -> None:
    made = audits.begin_audit(ASKED)
    assert ledger.plan(plan()).state is State.PLANNED
    assert audits.open_audits() == [made]


def test_a_moment_of_a_schedule_has_one_row(audits: Audits) -> None:
    made = audits.begin_audit(DUE)
    for _ in range(2):
        with pytest.raises(ConflictError, match="has an audit for 2026-01-02 02:00:00 UTC already") as refused:
            audits.begin_audit(DUE)
        assert not isinstance(refused.value, HeldError)
        assert refused.value.problem.found == f"audit {made.id}"
        audits.end_audit(made.id, Outcome.FAILED, {})
    deep = audits.begin_audit(replace(DUE, deep=True))
    # What has its row is told first: another audit may hold the fleet as well.
    with pytest.raises(ConflictError, match="already"):
        audits.begin_audit(DUE)
    with pytest.raises(HeldError, match=f"audit {deep.id} of {FLEET} is open"):
        audits.begin_audit(replace(DUE, scheduled_at=MOMENT + timedelta(hours=1)))
    audits.end_audit(deep.id, Outcome.CONSISTENT, {})
    for other in (
        replace(DUE, scheduled_at=MOMENT + timedelta(hours=1)),
        replace(DUE, fleet="Production/other"),
        ASKED,
        ASKED,
    ):
        ended(audits, other)
    assert len(audits.audits(None, 10)) == 6


def test_an_audit_of_the_same_moment_holds_the_fleet_for_one_of_another_depth(audits: Audits) -> None:
    deep = audits.begin_audit(replace(DUE, deep=True))
    with pytest.raises(HeldError, match=f"audit {deep.id} of {FLEET} is open"):
        audits.begin_audit(DUE)


def test_of_many_who_begin_an_audit_at_once_one_does_and_the_others_are_told(audits: Audits, callers: Callers) -> None:
    outcomes = callers.at_once([partial(audits.begin_audit, ASKED)] * CROWD)
    assert audits.open_audits() == [each for each in outcomes if isinstance(each, Audit)]
    assert sum(isinstance(each, ConflictError) for each in outcomes) == CROWD - 1
    assert len(audits.audits(None, 10)) == 1


def test_of_many_who_begin_a_moment_s_audit_at_once_one_does(audits: Audits, callers: Callers) -> None:
    outcomes = callers.at_once([lambda: ended(audits, DUE)] * CROWD)
    assert [each for each in outcomes if not isinstance(each, ConflictError)] == audits.audits(None, 10)
    assert len(audits.audits(None, 10)) == 1


def test_an_audit_and_a_deployment_at_once_leave_the_deployment_standing(
    audits: Audits, ledger: Ledger, callers: Callers
) -> None:
    """It is planned in any case: the audit was begun before it, and is overtaken, or is refused."""
    for fleet in (f"Production/{index}" for index in range(4)):
        asked, wanted = replace(ASKED, fleet=fleet), plan(fleet)
        calls: list[Callable[[], object]] = [partial(audits.begin_audit, asked), partial(ledger.plan, wanted)]
        begun, planned = callers.at_once(calls)
        assert ledger.open_deployment(fleet) == planned
        assert isinstance(begun, HeldError) or begun in audits.open_audits()


def test_who_may_not_begin_an_audit_leaves_no_word_in_the_trail(
    audits: Audits, ledger: Ledger, trail: SqlTrail
) -> None:
    audits.begin_audit(ASKED)
    ledger.plan(plan("Production/other"))
    for other in (ASKED, replace(ASKED, fleet="Production/other")):
        with pytest.raises(HeldError):
            audits.begin_audit(other)
    assert told(trail, "audit.begun") == [("ada", FLEET, {"audit": 1, "deep": True, "policy": "heal"})]


# ── never begun ──


def test_what_was_due_and_never_begun_has_a_row_that_says_why(audits: Audits, trail: SqlTrail) -> None:
    audits.begin_audit(ASKED)
    made = audits.note_audit(DUE, Outcome.SKIPPED, "a deployment was open")
    assert made is not None
    assert (made.plan, made.outcome, made.detail) == (DUE, Outcome.SKIPPED, {"reason": "a deployment was open"})
    assert made.ended_at == made.begun_at
    assert audits.audit(made.id) == made
    assert len(audits.open_audits()) == 1
    detail = {
        "audit": made.id,
        "deep": False,
        "policy": "heal",
        "outcome": "skipped",
        "reason": "a deployment was open",
        "scheduled_at": MOMENT.isoformat(),
    }
    assert told(trail, "audit.skipped") == [("ada", FLEET, detail)]


def test_a_moment_that_has_its_row_is_not_noted_again(audits: Audits, trail: SqlTrail) -> None:
    assert audits.note_audit(DUE, Outcome.MISSED, "late") is not None
    assert audits.note_audit(DUE, Outcome.COVERED, "deep") is None
    with pytest.raises(ConflictError, match="already"):
        audits.begin_audit(DUE)
    begun = audits.begin_audit(replace(DUE, deep=True))
    assert audits.note_audit(begun.plan, Outcome.SKIPPED, "held") is None
    assert [each.outcome for each in audits.audits(None, 10)] == [None, Outcome.MISSED]
    assert len(told(trail, "audit.skipped")) == 1


def test_what_somebody_asked_for_or_looked_at_is_not_noted_as_never_begun(audits: Audits) -> None:
    for asked, outcome in ((ASKED, Outcome.SKIPPED), (DUE, Outcome.CONSISTENT), (DUE, Outcome.LOST)):
        with pytest.raises(ValueError, match="without being begun"):
            audits.note_audit(asked, outcome, "")
    assert audits.audits(None, 10) == []


# ── the schedule ──


def test_a_schedule_counts_from_where_it_was_started_first(audits: Audits, trail: SqlTrail) -> None:
    assert audits.last_scheduled(FLEET, deep=True) is None
    assert audits.start_schedule(FLEET, deep=True, at=MOMENT) == MOMENT
    assert audits.start_schedule(FLEET, deep=True, at=MOMENT + timedelta(days=1)) == MOMENT
    assert audits.last_scheduled(FLEET, deep=True) == MOMENT
    assert audits.last_scheduled(FLEET, deep=False) is None
    assert audits.last_scheduled("Production/other", deep=True) is None
    assert told(trail, "audit.scheduled") == [(ITSELF, FLEET, {"deep": True, "starts_at": MOMENT.isoformat()})]


def test_of_many_who_start_a_schedule_at_once_all_are_told_of_one_start(audits: Audits, callers: Callers) -> None:
    starts = [MOMENT + timedelta(minutes=index) for index in range(CROWD)]
    outcomes = callers.at_once([partial(audits.start_schedule, FLEET, deep=True, at=at) for at in starts])
    assert outcomes == [audits.last_scheduled(FLEET, deep=True)] * CROWD


def test_the_last_moment_of_a_schedule_is_the_latest_that_has_a_row(audits: Audits) -> None:
    later, latest = MOMENT + timedelta(hours=1), MOMENT + timedelta(hours=2)
    ended(audits, replace(DUE, scheduled_at=latest))
    assert audits.last_scheduled(FLEET, deep=False) is None
    audits.start_schedule(FLEET, deep=False, at=MOMENT)
    audits.note_audit(replace(DUE, scheduled_at=later), Outcome.MISSED, "late")
    audits.note_audit(replace(DUE, scheduled_at=latest + timedelta(1), deep=True), Outcome.MISSED, "late")
    audits.note_audit(replace(DUE, scheduled_at=latest + timedelta(1), fleet="Test/web"), Outcome.MISSED, "late")
    ended(audits)
    assert audits.last_scheduled(FLEET, deep=False) == latest


# ── ended ──


def test_an_audit_ends_once_and_stays_as_it_ended(audits: Audits, trail: SqlTrail) -> None:
    made = audits.begin_audit(DUE)
    detail = {"epoch": 7, "opened": 2, "persisting": 1, "closed": 0, "drained": ["f1"], "seconds": 0.25}
    done = audits.end_audit(made.id, Outcome.INCONSISTENT, detail)
    assert done == replace(made, outcome=Outcome.INCONSISTENT, ended_at=done.ended_at, detail=detail)
    assert done.ended_at is not None
    assert audits.end_audit(made.id, Outcome.LOST, {"epoch": 9}) == done
    assert audits.audit(made.id) == done
    assert audits.open_audits() == []
    own = {"audit": made.id, "deep": False, "policy": "heal", "scheduled_at": MOMENT.isoformat()}
    assert told(trail, "audit.ended") == [(ITSELF, FLEET, {**detail, **own, "outcome": "inconsistent"})]


def test_of_many_who_end_an_audit_at_once_one_does_and_all_are_told_how(
    audits: Audits, trail: SqlTrail, callers: Callers
) -> None:
    number = audits.begin_audit(ASKED).id
    ends = [partial(audits.end_audit, number, outcome, {}) for outcome in (Outcome.LOST, Outcome.CONSISTENT) * 3]
    assert callers.at_once(ends) == [audits.audit(number)] * CROWD
    assert len(told(trail, "audit.ended")) == 1


def test_an_audit_that_does_not_exist_is_said_not_to_exist(audits: Audits) -> None:
    for number in (-1, 0, 1, 2**31, 2**63 - 1, 2**63, 10**40):
        assert audits.audit(number) is None
        with pytest.raises(LockstepError):
            audits.end_audit(number, Outcome.LOST, {})
    with pytest.raises(UsageError, match="there is no audit 1"):
        audits.end_audit(1, Outcome.LOST, {})


def test_a_detail_that_json_cannot_hold_leaves_the_audit_open(audits: Audits) -> None:
    made = audits.begin_audit(ASKED)
    with pytest.raises(LockstepError, match="nothing was written"):
        audits.end_audit(made.id, Outcome.CONSISTENT, {"seconds": float("nan")})
    assert audits.open_audits() == [made]


def test_audits_are_listed_newest_first_page_by_page_of_the_environments_that_are_asked_for(audits: Audits) -> None:
    fleets = ["Test/web", "test/web", "Production/web", "Testing/web", "Test/web"]
    one, two, three, four, five = (ended(audits, replace(ASKED, fleet=fleet)) for fleet in fleets)
    assert audits.audits(None, 10) == [five, four, three, two, one]
    assert audits.audits(None, 2) == [five, four]
    assert audits.audits(None, 2, before=four.id) == [three, two]
    assert audits.audits("Test/web", 10, before=five.id) == [one]
    assert audits.audits(None, 10, environments=["Test"]) == [five, one]
    assert audits.audits(None, 10, environments=["Production", "test"]) == [three, two]
    assert audits.audits("Test/web", 10, environments=["Production"]) == audits.audits(None, 10, environments=[]) == []


# ── deployments that heal ──


def heal(healing: Healing, fleet: str = FLEET) -> Plan:
    return replace(plan(fleet), kind=Kind.HEAL, changes={}, frontends=("f2",), healing=healing)


def test_healing_has_the_name_of_what_the_fleet_serves_and_says_what_it_is_to_do(
    audits: Audits, ledger: Ledger
) -> None:
    first = committed(ledger)
    assert audits.highest_epoch(FLEET) == 1
    reach(ledger, ledger.plan(plan()).id, State.ABORTED)
    number = audits.begin_audit(ASKED).id
    assert audits.highest_epoch(FLEET) == 2
    assert audits.highest_epoch("Production/other") == 0
    for healing in (Healing(number, 2, remove_extra=True), Healing(number, 2)):
        made = ledger.plan(heal(healing))
        assert (made.name, made.plan.kind, made.plan.healing) == (first.name, Kind.HEAL, healing)
        assert standing(ledger, made.id) == made
        with pytest.raises(HeldError, match=f"deployment {made.id} of {FLEET} is open"):
            ledger.plan(plan())
        advance(ledger, made.id, State.DONE)
    assert standing(ledger, first.id).plan.healing is None


def test_healing_moves_no_fleet_and_takes_no_epoch(audits: Audits, ledger: Ledger) -> None:
    first = committed(ledger)
    for _ in range(2):
        advance(ledger, ledger.plan(heal(Healing(1, 1))).id, State.DONE)
    assert ledger.committed(FLEET) == [first]
    assert ledger.readmissions(FLEET, first.epoch) == []
    assert audits.highest_epoch(FLEET) == 1
    assert committed(ledger).epoch == 2


def test_a_fleet_that_serves_nothing_has_nothing_to_heal(ledger: Ledger) -> None:
    with pytest.raises(ConflictError, match="serves nothing yet"):
        ledger.plan(heal(Healing(1, 1)))
    assert ledger.unfinished() == []


# ── what the database itself holds to ──


def test_whoever_writes_the_rows_a_fleet_has_one_open_audit_and_a_moment_one_row(
    audits: Audits, ledger_engine: Engine
) -> None:
    number = audits.begin_audit(DUE).id
    later = f"'{MOMENT + timedelta(hours=1)}'"
    refused = [{"scheduled_at": "NULL"}, {"ended_at": "begun_at", "outcome": "'lost'"}, {"ended_at": "begun_at"}]
    for columns in (*refused, {"fleet": "'Production/other'", "outcome": "'lost'"}):
        with pytest.raises(IntegrityError):
            copied(ledger_engine, "audits", number, **columns)
    copied(ledger_engine, "audits", number, fleet="'Production/other'")
    copied(ledger_engine, "audits", number, ended_at="begun_at", outcome="'lost'", scheduled_at=later)
    assert len(audits.audits(None, 10)) == 3


def test_an_epoch_is_one_deployment_s_but_for_healing_whoever_writes_the_rows(ledger_engine: Engine) -> None:
    ledger = SqlLedger(ledger_engine, Ticks())
    number = committed(ledger).id
    with pytest.raises(IntegrityError):
        copied(ledger_engine, "deployments", number)
    for _ in range(2):
        copied(ledger_engine, "deployments", number, kind="'heal'")
    assert len(ledger.history(FLEET, 10)) == 3
