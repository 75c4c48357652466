"""Findings in the ledger, on both databases: open once, renewed, closed, and how often they were put right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from orchestrator.adapters.ledger.audits import SqlAudits
from orchestrator.adapters.ledger.trail import SqlTrail
from orchestrator.domain.audit.audit import Audit, AuditPlan, Known, Outcome
from orchestrator.domain.audit.finding import Finding, Kind, Seriousness
from orchestrator.domain.audit.history import History, history
from orchestrator.domain.errors import LockstepError, UsageError
from orchestrator.ports import Audits
from tests.integration.ledgers import FLEET, Callers, Ticks
from tests.integration.test_ledger_drains import copied

CROWD = 6
DAY = timedelta(days=1)
CHANGED = Finding(FLEET, "f1", Kind.FILE_CHANGED, "releases/ToDo/1/app.js", "a", "b", Seriousness.CLIENTS)
#: Longer than an index of PostgreSQL can hold.
LONG = replace(CHANGED, kind=Kind.FILE_EXTRA, path="x/" * 4000, seriousness=Seriousness.UNTIDY)
SPLIT = Finding(FLEET, "", Kind.FLEET_SPLIT, "", "one", "two", Seriousness.CLIENTS)
ELSEWHERE = replace(CHANGED, fleet="Test/web")


@pytest.fixture
def clock() -> Ticks:
    """The ledger's clock."""
    return Ticks()


@pytest.fixture
def audits(ledger_engine: Engine, clock: Ticks) -> Audits:
    """A ledger's audits."""
    return SqlAudits(ledger_engine, clock)


@pytest.fixture
def trail(ledger_engine: Engine) -> SqlTrail:
    """What the ledger was told."""
    return SqlTrail(ledger_engine, Ticks())


def begun(audits: Audits, fleet: str = FLEET) -> int:
    return audits.begin_audit(AuditPlan(fleet, {}, False, "heal", "ada")).id


def ended(audits: Audits, number: int, *now: Finding, settled: Iterable[Finding] | None = None) -> Audit:
    """The audit found `now`; it looked at everything, or at what is `settled` alone."""
    audit = audits.audit(number)
    assert audit is not None
    known = [each.finding for each in audits.findings(audit.plan.fleet)]
    told = history(known, now, lambda each: settled is None or each in settled)
    return audits.end_audit(number, Outcome.INCONSISTENT if told.open else Outcome.CONSISTENT, {}, told)


def looked(audits: Audits, *now: Finding, fleet: str = FLEET) -> int:
    return ended(audits, begun(audits, fleet), *now).id


def known(audits: Audits, *, closed: bool = False) -> list[Finding]:
    return [each.finding for each in audits.findings(closed=closed)]


def only(audits: Audits) -> Known:
    (found,) = audits.findings(FLEET)
    return found


def told(trail: SqlTrail, name: str) -> list[dict[str, object]]:
    return [dict(entry.action.detail) for entry in trail.entries() if entry.action.name == name]


# ── opened, persisting, closed ──


def test_a_finding_comes_back_as_it_was_found(audits: Audits) -> None:
    assert audits.findings() == []
    number = begun(audits)
    done = ended(audits, number, CHANGED, LONG, SPLIT)
    assert set(known(audits)) == {CHANGED, LONG, SPLIT}
    for each in audits.findings(FLEET):
        assert (each.first, each.last, each.closed_at, each.healed, each.escalated_at) == (
            number,
            number,
            None,
            0,
            None,
        )
        assert each.opened_at == each.seen_at == done.ended_at


def test_one_that_persists_has_its_first_row_and_says_what_was_seen_last(audits: Audits) -> None:
    first = looked(audits, CHANGED)
    before = only(audits)
    anew = replace(CHANGED, expected="c", found="d", seriousness=Seriousness.MAY)
    second = looked(audits, anew)
    after = only(audits)
    assert after == replace(before, finding=anew, last=second, seen_at=after.seen_at)
    assert (after.first, after.seen_at > before.seen_at) == (first, True)


def test_one_that_was_looked_for_and_not_found_closes_and_one_nobody_looked_for_stays(audits: Audits) -> None:
    looked(audits, CHANGED, LONG)
    (kept,) = [each for each in audits.findings() if each.finding == LONG]
    done = ended(audits, begun(audits), settled=[CHANGED])
    assert only(audits) == kept
    (gone,) = [each for each in audits.findings(closed=True) if each.finding == CHANGED]
    assert (gone.closed_at, gone.last) == (done.ended_at, kept.last)


def test_one_that_comes_back_has_a_row_of_its_own(audits: Audits) -> None:
    looked(audits, CHANGED)
    old = only(audits)
    looked(audits)
    third = looked(audits, CHANGED)
    new = only(audits)
    assert (new.first, new.id > old.id) == (third, True)
    assert [each.id for each in audits.findings(FLEET, closed=True)] == [new.id, old.id]


def test_what_is_wrong_elsewhere_is_another_finding(audits: Audits) -> None:
    others = (
        replace(CHANGED, frontend="f2"),
        replace(CHANGED, kind=Kind.FILE_MODE),
        replace(CHANGED, path=CHANGED.path[:-1]),
        # The same letters.
        replace(CHANGED, frontend="", path="file-mode/x"),
        replace(CHANGED, frontend="file-changed", kind=Kind.FILE_MODE, path="/x"),
    )
    looked(audits, CHANGED)
    looked(audits, CHANGED, *others)
    looked(audits, ELSEWHERE, fleet=ELSEWHERE.fleet)
    assert {each.finding: each.first for each in audits.findings()} == {
        CHANGED: 1,
        **dict.fromkeys(others, 2),
        ELSEWHERE: 3,
    }


def test_an_audit_that_was_not_carried_out_changes_no_finding(audits: Audits, trail: SqlTrail) -> None:
    looked(audits, CHANGED)
    before = audits.findings()
    for outcome in (Outcome.FAILED, Outcome.LOST, Outcome.OVERTAKEN):
        audits.end_audit(begun(audits), outcome, {})
    assert audits.findings() == before
    assert len(told(trail, "finding.opened")) == 1
    assert told(trail, "finding.closed") == []


def test_an_audit_that_has_ended_leaves_the_findings_as_they_are(audits: Audits, trail: SqlTrail) -> None:
    number = looked(audits, CHANGED)
    before = audits.findings()
    ended(audits, number, LONG)
    assert audits.findings() == before
    assert len(told(trail, "finding.opened")) == 1


def test_of_many_who_end_an_audit_at_once_one_s_findings_stand(audits: Audits) -> None:
    number = begun(audits)
    found = [replace(CHANGED, path=f"releases/{index}") for index in range(CROWD)]
    ends = [
        partial(audits.end_audit, number, Outcome.INCONSISTENT, {"of": index}, History((each,), (), (), ()))
        for index, each in enumerate(found)
    ]
    outcomes = Callers.THREADS.at_once(ends)
    stands = audits.audit(number)
    assert stands is not None
    assert outcomes == [stands] * CROWD
    assert known(audits) == [found[stands.detail["of"]]]


def test_a_history_that_does_not_know_what_is_open_opens_nothing_twice(audits: Audits, trail: SqlTrail) -> None:
    looked(audits, CHANGED)
    before = only(audits)
    audits.end_audit(begun(audits), Outcome.INCONSISTENT, {}, History((CHANGED,), (LONG,), (SPLIT,), ()))
    assert known(audits, closed=True) == [LONG, CHANGED]
    assert before.id in [each.id for each in audits.findings()]
    assert [detail["count"] for detail in told(trail, "finding.opened")] == [1, 1]
    assert told(trail, "finding.closed") == []


def test_findings_that_can_not_be_written_leave_the_audit_open(audits: Audits) -> None:
    number = begun(audits)
    with pytest.raises(LockstepError):
        audits.end_audit(number, Outcome.INCONSISTENT, {"n": float("inf")}, History((CHANGED,), (), (), ()))
    assert (audits.findings(), [each.id for each in audits.open_audits()]) == ([], [number])


# ── lists ──


def test_findings_are_listed_newest_first_page_by_page_of_the_environments_that_are_asked_for(audits: Audits) -> None:
    looked(audits, CHANGED)
    looked(audits, LONG)
    looked(audits, ELSEWHERE, fleet="Test/web")
    assert known(audits) == [ELSEWHERE, LONG]
    assert known(audits, closed=True) == [ELSEWHERE, LONG, CHANGED]
    numbers = [each.id for each in audits.findings(closed=True)]
    assert [each.id for each in audits.findings(closed=True, limit=2)] == numbers[:2]
    assert [each.id for each in audits.findings(closed=True, limit=2, before=numbers[0])] == numbers[1:]
    assert [each.finding for each in audits.findings(environments=["Test"])] == [ELSEWHERE]
    assert [each.finding for each in audits.findings(environments=["test", "Production"])] == [LONG]
    assert audits.findings(FLEET, environments=["Test"]) == audits.findings(environments=[]) == []


# ── the trail ──


def test_the_trail_is_told_of_a_broken_disk_in_one_entry(audits: Audits, trail: SqlTrail) -> None:
    many = [replace(LONG, path=f"{index:04}/{LONG.path}") for index in range(30)]
    number = looked(audits, *many, replace(CHANGED, frontend="f2"))
    (opened,) = told(trail, "finding.opened")
    assert (opened["audit"], opened["count"]) == (number, 31)
    assert opened["seriousness"] == {"clients": 1, "untidy": 30}
    examples = opened["examples"]
    assert isinstance(examples, list)
    assert len(examples) == 20
    assert examples[0] == {
        "frontend": "f2",
        "kind": "file-changed",
        "path": CHANGED.path,
        "seriousness": "clients",
    }
    assert examples[1]["path"] == many[0].path[:255]
    last = looked(audits)
    (closed,) = told(trail, "finding.closed")
    assert (closed["audit"], closed["count"], closed["seriousness"]) == (last, 31, opened["seriousness"])
    names = [entry.action.name for entry in trail.entries()]
    assert names == ["audit.begun", "finding.opened", "audit.ended", "audit.begun", "finding.closed", "audit.ended"]


def test_thousands_of_findings_of_one_audit_are_kept_renewed_and_closed(audits: Audits, trail: SqlTrail) -> None:
    many = [replace(CHANGED, path=f"releases/ToDo/1/{index}") for index in range(5000)]
    looked(audits, *many)
    anew = [replace(each, found="c") for each in many]
    second = begun(audits)
    audits.note_healed(second, [each.identity for each in many])
    ended(audits, second, *anew)
    assert set(known(audits)) == set(anew)
    assert {(each.last, each.healed) for each in audits.findings()} == {(second, 1)}
    looked(audits)
    assert audits.findings() == []
    assert [told(trail, f"finding.{name}")[0]["count"] for name in ("opened", "healed", "closed")] == [5000] * 3
    examples = told(trail, "finding.healed")[0]["examples"]
    assert isinstance(examples, list)
    assert len(examples) == 20


# ── healed ──


def healed(audits: Audits, *findings: Finding) -> None:
    """An audit that puts them right, and finds nothing any more."""
    number = begun(audits)
    audits.note_healed(number, [each.identity for each in findings])
    ended(audits, number)


def test_what_was_healed_before_it_had_a_row_counts_once_for_each_audit(audits: Audits, trail: SqlTrail) -> None:
    assert audits.healed(FLEET) == {}
    healed(audits, CHANGED, LONG)
    healed(audits, CHANGED)
    assert audits.healed(FLEET) == {CHANGED.identity: 2, LONG.identity: 1}
    assert audits.healed("Test/web") == {}
    assert known(audits, closed=True) == []
    looked(audits, CHANGED)
    assert only(audits).healed == 2
    example = {"frontend": "f1", "kind": "file-changed", "path": CHANGED.path}
    assert told(trail, "finding.healed")[1] == {"audit": 2, "count": 1, "examples": [example]}


def test_what_stays_wrong_though_it_was_healed_counts_each_time(audits: Audits) -> None:
    for _ in range(3):
        number = begun(audits)
        audits.note_healed(number, [CHANGED.identity])
        ended(audits, number, CHANGED)
    assert audits.healed(FLEET) == {CHANGED.identity: 3}
    assert (only(audits).first, only(audits).healed) == (1, 3)
    audits.note_escalated(begun(audits), [CHANGED.identity])
    assert (only(audits).healed, only(audits).escalated_at is None) == (3, False)


def test_the_same_audit_s_healing_noted_again_counts_nothing_more(audits: Audits, trail: SqlTrail) -> None:
    number = begun(audits)
    audits.note_healed(number, [CHANGED.identity, CHANGED.identity])
    audits.note_healed(number, [CHANGED.identity])
    audits.note_healed(number, [])
    audits.note_healed(number, [CHANGED.identity, SPLIT.identity])
    assert audits.healed(FLEET) == {CHANGED.identity: 1, SPLIT.identity: 1}
    assert [detail["count"] for detail in told(trail, "finding.healed")] == [1, 1]


def test_of_many_who_note_the_same_at_once_one_counts(audits: Audits) -> None:
    number = begun(audits)
    found = [replace(CHANGED, path=f"releases/{index}").identity for index in range(10)]

    def note_all() -> None:
        for each in found:
            audits.note_healed(number, [each])

    assert Callers.THREADS.at_once([note_all] * CROWD) == [None] * CROWD
    assert audits.healed(FLEET) == dict.fromkeys(found, 1)


def test_what_nobody_audits_can_not_be_noted(audits: Audits) -> None:
    for note in (audits.note_healed, audits.note_escalated):
        with pytest.raises(UsageError, match="there is no audit 7"):
            note(7, [CHANGED.identity])


def test_one_that_comes_back_within_30_days_of_its_end_keeps_how_often_it_was_healed(
    audits: Audits, clock: Ticks
) -> None:
    healed(audits, CHANGED)
    clock.skip(29 * DAY)
    looked(audits, CHANGED)
    clock.skip(50 * DAY)
    assert audits.healed(FLEET) == {CHANGED.identity: 1}
    looked(audits)
    clock.skip(29 * DAY)
    healed(audits, CHANGED)
    clock.skip(29 * DAY)
    assert audits.healed(FLEET) == {CHANGED.identity: 2}
    looked(audits, CHANGED)
    assert only(audits).healed == 2


@pytest.mark.parametrize("opened", [True, False], ids=["with a row", "without a row"])
def test_what_comes_back_later_was_never_healed_whatever_is_healed_then(
    audits: Audits, clock: Ticks, opened: bool
) -> None:
    if opened:
        looked(audits, CHANGED)
    healed(audits, CHANGED, ELSEWHERE)
    clock.skip(31 * DAY)
    assert audits.healed(FLEET) == {}
    healed(audits, CHANGED)
    assert audits.healed(FLEET) == {CHANGED.identity: 1}


def test_one_fleet_s_audit_forgets_nothing_of_another(audits: Audits, clock: Ticks) -> None:
    looked(audits, ELSEWHERE, fleet="Test/web")
    number = begun(audits, "Test/web")
    audits.note_healed(number, [ELSEWHERE.identity])
    ended(audits, number, ELSEWHERE)
    clock.skip(60 * DAY)
    looked(audits)
    assert audits.healed("Test/web") == {ELSEWHERE.identity: 1}


# ── given up ──


def test_one_that_is_given_up_says_since_when_and_the_trail_is_told_once(audits: Audits, trail: SqlTrail) -> None:
    first = begun(audits)
    audits.note_escalated(first, [CHANGED.identity])
    audits.note_escalated(first, [CHANGED.identity])
    ended(audits, first, CHANGED, LONG)
    since = {each.finding: each.escalated_at for each in audits.findings()}
    assert (since[LONG], since[CHANGED] is None) == (None, False)
    second = begun(audits)
    audits.note_escalated(second, [CHANGED.identity, LONG.identity])
    ended(audits, second, CHANGED, LONG)
    after = {each.finding: each.escalated_at for each in audits.findings()}
    assert (after[CHANGED], after[LONG] is None) == (since[CHANGED], False)
    assert [detail["examples"] for detail in told(trail, "finding.escalated")] == [
        [{"frontend": "f1", "kind": each.kind.value, "path": each.path[:255]}] for each in (CHANGED, LONG)
    ]
    assert (audits.healed(FLEET), {each.healed for each in audits.findings()}) == ({}, {0})


def test_one_that_closed_and_came_back_is_given_up_once_more(audits: Audits, trail: SqlTrail) -> None:
    first = begun(audits)
    audits.note_escalated(first, [CHANGED.identity])
    ended(audits, first, CHANGED)
    looked(audits)
    looked(audits, CHANGED)
    assert only(audits).escalated_at is None
    looked(audits)
    looked(audits, CHANGED)
    last = begun(audits)
    audits.note_escalated(last, [CHANGED.identity])
    ended(audits, last, CHANGED)
    new, between, old = (each.escalated_at for each in audits.findings(closed=True))
    assert between is None
    assert new is not None
    assert old is not None
    assert old < new
    assert [detail["audit"] for detail in told(trail, "finding.escalated")] == [first, last]


# ── what the database itself holds to ──


def test_a_finding_is_open_once_whoever_writes_the_rows(audits: Audits, ledger_engine: Engine) -> None:
    looked(audits, CHANGED)
    number = only(audits).id
    for columns in ({}, {"closed_at": "seen_at"}, {"closed_by": "1", "fleet": "'Test/web'"}, {"first_audit": "9"}):
        with pytest.raises(IntegrityError):
            copied(ledger_engine, "findings", number, **columns)
    copied(ledger_engine, "findings", number, closed_at="seen_at", closed_by="1")
    copied(ledger_engine, "findings", number, identity="'other'")
    assert len(audits.findings(closed=True)) == 3
