"""What is written into the ledger tells the trail, in the same transaction; and the trail shows who changes it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from orchestrator.adapters.ledger.builds import SqlBuilds
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.adapters.ledger.tokens import SqlTokens
from orchestrator.adapters.ledger.trail import SqlTrail
from orchestrator.domain.access import Grant, Role
from orchestrator.domain.build import Build
from orchestrator.domain.deployment import Decision, Deployment, Kind, State, Trouble
from orchestrator.domain.errors import ConflictError, LockstepError, UnansweredError, UsageError
from orchestrator.domain.trail import BEGINNING, ITSELF, Action, Entry, UnreadableError, following
from orchestrator.ports import ReleaseRecord, Token
from orchestrator.services.trail import verify
from tests.integration.ledgers import FLEET, Callers, Ticks, advance, plan, standing

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
RELEASE = ReleaseRecord("ToDo", "1.0", "a" * 64, 3, 500, NOON)
BUILD = Build("Production", "ToDo", "7-1", "1.0", "", "ann@desk", NOON)
TOKEN = Token("0123456789ab", "ci", "f" * 64, (Grant(Role.DEPLOYER, "Test"),), "ann@desk", NOON)
GONE = Trouble("activate", "f2", {"what": "gone"})


@pytest.fixture
def trail(ledger_engine: Engine) -> SqlTrail:
    return SqlTrail(ledger_engine, Ticks())


def told(trail: SqlTrail, after: int = 0) -> list[tuple[str, str, str, int | None]]:
    """The actions, without their details."""
    found = (entry.action for entry in trail.entries(after))
    return [(each.name, each.actor, each.fleet, each.deployment) for each in found]


def details(trail: SqlTrail, name: str) -> list[dict[str, object]]:
    """The details of every action of that name."""
    return [dict(entry.action.detail) for entry in trail.entries() if entry.action.name == name]


# ── every kind of write ──


def test_a_deployments_way_is_told_step_by_step(ledger: SqlLedger, trail: SqlTrail) -> None:
    number = ledger.plan(plan(hold=True)).id
    advance(ledger, number, State.VERIFYING)
    ledger.prepare(number)
    ledger.release_hold(number, actor="bob#1")
    ledger.move(number, State.PREPARED, State.VERIFYING)
    ledger.prepare(number)
    ledger.decide(number, Decision.COMMIT, [])
    ledger.note_troubles(number, [GONE])
    ledger.record_skew(number, 0.25)
    ledger.move(number, State.ACTIVATING, State.FINISHING)
    ledger.move(number, State.FINISHING, State.DONE)
    came = ["staging", "verifying", "prepared", "continued", "verifying", "arming"]
    came += ["committed", "stuck", "finishing", "done"]
    actors = {"continued": "bob#1"}
    assert told(trail) == [("deployment.planned", "ada", FLEET, number)] + [
        (f"deployment.{name}", actors.get(name, ITSELF), FLEET, number) for name in came
    ]
    assert details(trail, "deployment.planned") == [
        {
            "state": "planned",
            "epoch": 1,
            "kind": "deploy",
            "changes": {"ToDo": "1"},
            "frontends": ["f1", "f2"],
            "hold": True,
        }
    ]
    assert details(trail, "deployment.stuck")[0]["troubles"] == [GONE.as_dict()]
    assert details(trail, "deployment.done") == [{"state": "done", "epoch": 1, "kind": "deploy", "skew": 0.25}]


def test_an_abort_names_who_asked_and_why(ledger: SqlLedger, trail: SqlTrail) -> None:
    number = ledger.plan(plan()).id
    ledger.decide(number, Decision.ABORT, [GONE], actor="bob@desk")
    ledger.move(number, State.ABORTING, State.ABORTED)
    assert told(trail, 1) == [
        ("deployment.aborting", "bob@desk", FLEET, number),
        ("deployment.aborted", ITSELF, FLEET, number),
    ]
    assert details(trail, "deployment.aborting")[0]["troubles"] == [GONE.as_dict()]


def test_the_rotation_is_told_from_the_drain_to_the_end_of_the_readmission(ledger: SqlLedger, trail: SqlTrail) -> None:
    advance(ledger, ledger.plan(plan()).id, State.DONE)
    before = len(trail.entries())
    drain = ledger.add_drain(FLEET, "f1", {}, "ann", "a new disk")
    ledger.doubt_drain(drain.number, {"what": "nobody answers"})
    ledger.confirm_drain(drain.number, "haproxy")
    again = ledger.add_drain(FLEET, "f1", {}, "bob", "it smokes", anew=True)
    ledger.confirm_drain(again.number, "haproxy")
    back = replace(plan(), kind=Kind.READMIT, changes={}, frontends=("f1",), readmits={"f1": again.number}, actor="eve")
    number = ledger.plan(back).id
    advance(ledger, number, State.DONE)
    assert [words for words in told(trail, before) if not words[0].startswith("deployment.")] == [
        ("rotation.draining", "ann", FLEET, None),
        ("rotation.doubted", ITSELF, FLEET, None),
        ("rotation.drained", ITSELF, FLEET, None),
        ("rotation.draining", "bob", FLEET, None),
        ("rotation.drained", ITSELF, FLEET, None),
        ("rotation.readmitted", ITSELF, FLEET, number),
    ]
    assert told(trail)[-1] == ("deployment.done", ITSELF, FLEET, number)
    common = {"frontend": "f1", "epoch": 1}
    assert details(trail, "rotation.draining") == [
        {**common, "drain": 1, "reason": "a new disk"},
        {**common, "drain": 2, "reason": "it smokes", "instead": 1},
    ]
    assert details(trail, "rotation.doubted") == [{**common, "drain": 1, "problem": {"what": "nobody answers"}}]
    assert details(trail, "rotation.drained")[0] == {**common, "drain": 1, "by": "haproxy"}
    assert details(trail, "rotation.readmitted") == [{**common, "drain": 2}]


def test_a_drain_is_told_again_when_it_is_doubted_or_confirmed_anew(ledger: SqlLedger, trail: SqlTrail) -> None:
    number = ledger.add_drain(FLEET, "f1", {}, "ann", "").number
    ledger.confirm_drain(number, "haproxy")
    ledger.confirm_drain(number, "another")
    ledger.doubt_drain(number, {"what": "no"})
    ledger.confirm_drain(number, "another")
    ledger.doubt_drain(number, {"what": "no"})
    ledger.doubt_drain(number, {})
    names = [name.removeprefix("rotation.") for name, *_ in told(trail)]
    assert names == ["draining", "drained", "drained", "doubted", "drained", "doubted"]
    assert [drain.problem for drain in ledger.drains()] == [{}]


def test_releases_builds_and_tokens_are_told_once(ledger: SqlLedger, ledger_engine: Engine, trail: SqlTrail) -> None:
    builds, tokens = SqlBuilds(ledger_engine, Ticks()), SqlTokens(ledger_engine, Ticks())
    for _ in range(2):
        ledger.add_release(RELEASE, actor="ci#1")
        builds.add_build(BUILD)
    tokens.add_token(TOKEN)
    builds.add_build(replace(BUILD, platform="ios", actor="bob"))
    for actor in ("eve", "too late"):
        builds.retire_build("Production", "ToDo", "7-1", actor=actor)
        tokens.revoke_token(TOKEN.public, actor)
    builds.add_build(BUILD)
    assert [(name, actor) for name, actor, _, _ in told(trail)] == [
        ("release.added", "ci#1"),
        ("build.recorded", "ann@desk"),
        ("token.issued", "ann@desk"),
        ("build.recorded", "bob"),
        ("build.retired", "eve"),
        ("token.revoked", "eve"),
        ("build.recorded", "ann@desk"),
    ]
    assert details(trail, "release.added") == [
        {"app": "ToDo", "version": "1.0", "digest": "a" * 64, "files": 3, "size": 500}
    ]
    assert [detail["platform"] for detail in details(trail, "build.recorded")] == ["", "ios", "ios"]
    assert TOKEN.hash not in str(trail.entries())


def test_neither_nonces_nor_secrets_get_into_it(ledger: SqlLedger, trail: SqlTrail) -> None:
    number = ledger.plan(plan()).id
    ledger.add_drain(FLEET, "f1", {}, "ann", "")
    advance(ledger, number, State.DONE)
    assert standing(ledger, number).name.nonce not in str(trail.entries())


# ── what changed nothing ──


NOTHING_CHANGED: list[Callable[[SqlLedger, int], object]] = [
    lambda ledger, number: ledger.move(number, State.STAGING, State.VERIFYING),
    lambda ledger, number: ledger.prepare(number),
    lambda ledger, number: ledger.decide(number, Decision.COMMIT, [], actor="eve"),
    lambda ledger, number: ledger.release_hold(number, actor="eve"),
    lambda ledger, number: ledger.note_troubles(number, []),
    lambda ledger, number: ledger.add_drain(FLEET, "f1", {}, "eve", "again"),
    lambda ledger, number: ledger.add_drain(FLEET, "f2", {}, "eve", "", remaining=["f1", "f2"]),
    lambda ledger, number: ledger.confirm_drain(1, "haproxy"),
    lambda ledger, number: ledger.doubt_drain(1, {}),
    lambda ledger, number: ledger.doubt_drain(2, {"what": "no"}),
    lambda ledger, number: ledger.confirm_drain(9, "haproxy"),
    lambda ledger, number: ledger.doubt_drain(9, {"what": "no"}),
    lambda ledger, number: ledger.plan(plan()),
    lambda ledger, number: ledger.plan(replace(plan("Production/other"), after=7)),
    lambda ledger, number: ledger.add_release(RELEASE, actor="eve"),
    lambda ledger, number: ledger.add_release(replace(RELEASE, digest="b" * 64), actor="eve"),
    lambda ledger, number: ledger.release_hold(number + 1, actor="eve"),
    lambda ledger, number: ledger.decide(number + 1, Decision.ABORT, [], actor="eve"),
    lambda ledger, number: ledger.note_troubles(number + 1, [GONE]),
]


def test_what_changes_nothing_tells_nothing(ledger: SqlLedger, trail: SqlTrail) -> None:
    ledger.add_release(RELEASE)
    number = ledger.plan(plan()).id
    ledger.add_drain(FLEET, "f1", {}, "ann", "")
    ledger.confirm_drain(1, "haproxy")
    ledger.doubt_drain(ledger.add_drain(FLEET, "f3", {}, "ann", "").number, {"what": "no"})
    before = trail.entries()
    for write in NOTHING_CHANGED:
        with contextlib.suppress(ConflictError, UsageError):
            write(ledger, number)
        assert trail.entries() == before


def test_a_hold_is_continued_once_and_never_after_the_decision(ledger: SqlLedger, trail: SqlTrail) -> None:
    number = ledger.plan(plan(hold=True)).id
    assert [ledger.release_hold(number, actor=actor) for actor in ("bob", "eve")] == [True, True]
    ledger.decide(number, Decision.ABORT, [])
    assert not ledger.release_hold(number, actor="eve")
    assert [words[:2] for words in told(trail, 1)] == [("deployment.continued", "bob"), ("deployment.aborting", ITSELF)]


def test_a_deployment_that_stays_stuck_is_told_when_the_reasons_change(ledger: SqlLedger, trail: SqlTrail) -> None:
    number = ledger.plan(plan()).id
    advance(ledger, number, State.ACTIVATING)
    other = replace(GONE, frontend="f1")
    for troubles in ([GONE], [], [GONE], [GONE, other], [], [GONE]):
        ledger.note_troubles(number, troubles)
    stuck = details(trail, "deployment.stuck")
    assert [len(detail["troubles"]) for detail in stuck if isinstance(detail["troubles"], list)] == [1, 2, 1]


# ── one transaction ──


def test_without_its_entry_no_change_is_made(ledger: SqlLedger, ledger_engine: Engine, trail: SqlTrail) -> None:
    number = ledger.plan(plan()).id
    advance(ledger, number, State.ARMING)
    ledger.add_drain(FLEET, "f1", {}, "ann", "")
    before = standing(ledger, number), ledger.drains(), trail.entries()
    with ledger_engine.begin() as connection:
        connection.execute(text("ALTER TABLE trail RENAME TO elsewhere"))
    writes: list[Callable[[], object]] = [
        lambda: ledger.decide(number, Decision.COMMIT, []),
        lambda: ledger.release_hold(ledger.plan(plan("Production/other", hold=True)).id),
        lambda: ledger.confirm_drain(1, "haproxy"),
        lambda: ledger.doubt_drain(1, {"what": "no"}),
        lambda: ledger.add_drain(FLEET, "f2", {}, "ann", ""),
        lambda: ledger.add_release(RELEASE),
        lambda: SqlBuilds(ledger_engine, Ticks()).add_build(BUILD),
        lambda: SqlTokens(ledger_engine, Ticks()).add_token(TOKEN),
    ]
    for write in writes:
        with pytest.raises(LockstepError) as refused:
            write()
        assert not isinstance(refused.value, UnansweredError)
    with ledger_engine.begin() as connection:
        connection.execute(text("ALTER TABLE elsewhere RENAME TO trail"))
    assert (standing(ledger, number), ledger.drains(), trail.entries()) == before
    assert (ledger.releases(), SqlBuilds(ledger_engine, Ticks()).builds()) == ([], [])
    assert SqlTokens(ledger_engine, Ticks()).tokens() == []


@pytest.mark.parametrize("callers", Callers)
def test_writers_at_once_leave_a_whole_chain_without_a_gap(
    ledger: SqlLedger, ledger_engine: Engine, trail: SqlTrail, callers: Callers
) -> None:
    def carry_out(fleet: str) -> Deployment:
        made = ledger.plan(plan(fleet))
        advance(ledger, made.id, State.DONE)
        drain = ledger.add_drain(fleet, "f1", {}, "ann", "")
        ledger.confirm_drain(drain.number, "haproxy")
        return standing(ledger, made.id)

    fleets = [f"Production/{index}" for index in range(6)]
    outcomes = callers.at_once([partial(carry_out, fleet) for fleet in fleets])
    assert [outcome.plan.fleet for outcome in outcomes if isinstance(outcome, Deployment)] == fleets
    entries = trail.entries()
    assert [entry.number for entry in entries] == list(range(1, 9 * 6 + 1))
    verdict = verify(trail)
    assert (verdict.whole, verdict.entries, verdict.digest) == (True, 54, entries[-1].digest)
    for fleet in fleets:
        assert [entry.action.name for entry in trail.entries(fleet=fleet)][::8] == [
            "deployment.planned",
            "rotation.drained",
        ]


# ── whoever changes it ──


REFUSED = {
    "sqlite": [
        "REPLACE INTO trail SELECT id, at, action, 'eve', fleet, deployment, detail, previous, digest FROM trail"
    ],
    "postgresql": [
        "INSERT INTO trail SELECT * FROM trail ON CONFLICT (id) DO UPDATE SET actor = 'eve'",
        "TRUNCATE trail CASCADE",
    ],
}


def test_the_database_refuses_to_change_it(ledger_engine: Engine, trail: SqlTrail) -> None:
    before = fill(trail)
    statements = ["UPDATE trail SET actor = 'eve'", "DELETE FROM trail", "DELETE FROM trail WHERE id = 2"]
    for statement in statements + REFUSED[ledger_engine.dialect.name]:
        with pytest.raises(DBAPIError, match="the trail only grows"), ledger_engine.begin() as connection:
            connection.execute(text(statement))
        assert trail.entries() == before


def fill(trail: SqlTrail) -> list[Entry]:
    """Five entries."""
    return [trail.add(Action("trigger.fired", "ann", FLEET, None, {"n": number})) for number in range(1, 6)]


def tamper(engine: Engine, *statements: str) -> None:
    """As somebody does who may do anything to the database."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("ALTER TABLE trail DISABLE TRIGGER USER"))
        else:
            connection.execute(text("DROP TRIGGER trail_update"))
            connection.execute(text("DROP TRIGGER trail_delete"))
        for statement in statements:
            connection.execute(text(statement))


TAMPERED = {
    "an actor": (["UPDATE trail SET actor = 'eve' WHERE id = 3"], 2, "entry 3 was changed"),
    "an action": (["UPDATE trail SET action = 'gate.passed' WHERE id = 1"], 0, "entry 1 was changed"),
    "a detail": (["""UPDATE trail SET detail = '{"n": 9}' WHERE id = 5"""], 4, "entry 5 was changed"),
    "no detail": (["UPDATE trail SET detail = '7' WHERE id = 4"], 3, "entry 4 was changed: it can't be read"),
    "a time": (["UPDATE trail SET at = '2020-01-01 00:00:00' WHERE id = 2"], 1, "entry 2 was changed"),
    "a deployment": (["UPDATE trail SET deployment = 7 WHERE id = 2"], 1, "entry 2 was changed"),
    "a fleet": (["UPDATE trail SET fleet = '' WHERE id = 2"], 1, "entry 2 was changed"),
    "a digest": (["UPDATE trail SET digest = previous WHERE id = 2"], 1, "entry 2 was changed"),
    "a link": (["UPDATE trail SET previous = digest WHERE id = 2"], 1, "entry 2 does not follow the entry before it"),
    "one removed": (["DELETE FROM trail WHERE id = 2"], 1, "entry 2 is missing: entry 3 comes in its place"),
    "the first removed": (["DELETE FROM trail WHERE id = 1"], 0, "entry 1 is missing: entry 2 comes in its place"),
    "one removed, and the rest moved up": (
        ["DELETE FROM trail WHERE id = 2", *(f"UPDATE trail SET id = {n} WHERE id = {n + 1}" for n in (2, 3, 4))],
        1,
        "entry 2 does not follow the entry before it",
    ),
    "two that changed places": (
        [f"UPDATE trail SET id = {after} WHERE id = {before}" for before, after in ((3, 9), (4, 3), (9, 4))],
        2,
        "entry 3 does not follow the entry before it",
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_the_first_entry_that_was_tampered_with_is_named(ledger_engine: Engine, trail: SqlTrail, how: str) -> None:
    statements, whole, wrong = TAMPERED[how]
    before = fill(trail)
    assert verify(trail).whole
    tamper(ledger_engine, *statements)
    verdict = verify(trail)
    assert (verdict.entries, verdict.wrong) == (whole, wrong)
    assert verdict.digest == (before[whole - 1].digest if whole else BEGINNING)
    # The ledger goes on, and what is wrong stays to be seen.
    trail.add(Action("trigger.fired", "ann"))
    assert verify(trail).wrong == wrong


def test_whoever_computes_one_entry_anew_and_links_the_next_to_it_is_found(
    ledger_engine: Engine, trail: SqlTrail
) -> None:
    first, second, third, *_ = fill(trail)
    forged = following(replace(second.action, actor="eve"), second.at, first.number, first.digest)
    tamper(
        ledger_engine,
        f"UPDATE trail SET actor = 'eve', digest = '{forged.digest}' WHERE id = 2",
        f"UPDATE trail SET previous = '{forged.digest}' WHERE id = 3",
    )
    assert third.previous == second.digest
    assert verify(trail).wrong == "entry 3 was changed"


def test_a_chain_that_was_cut_at_its_end_or_written_anew_is_noticed_by_a_digest_kept_elsewhere(
    ledger_engine: Engine, trail: SqlTrail
) -> None:
    kept = fill(trail)
    assert verify(trail, kept[2].digest).expected_at == 3
    assert verify(trail, BEGINNING).expected_at == 0
    tamper(ledger_engine, "DELETE FROM trail WHERE id > 3")
    assert verify(trail).whole
    assert verify(trail, kept[2].digest).whole
    lost = verify(trail, kept[-1].digest)
    assert (lost.entries, lost.wrong) == (3, f"no entry has the expected digest {kept[-1].digest}")
    tamper_again = "DELETE FROM trail"
    with ledger_engine.begin() as connection:
        connection.execute(text(tamper_again))
    fill(trail)
    assert verify(trail).whole
    assert not verify(trail, kept[-1].digest).whole


def test_text_that_is_no_time_is_an_entry_that_cannot_be_read(ledger_engine: Engine, trail: SqlTrail) -> None:
    if ledger_engine.dialect.name == "postgresql":
        pytest.skip("PostgreSQL takes nothing else for a time")
    before = fill(trail)
    tamper(ledger_engine, "UPDATE trail SET at = 'noon' WHERE id = 3")
    assert list(trail.entries()) == before[:2]
    with pytest.raises(UnreadableError, match="entry 3"):
        trail.entries(2)
    with pytest.raises(UnreadableError):
        trail.newest(5)
    assert verify(trail).wrong == "entry 3 was changed: it can't be read"


def test_pages_and_the_newest(trail: SqlTrail) -> None:
    assert (trail.last(), list(trail.newest(3)), verify(trail).entries) == (None, [], 0)
    filled = fill(trail)
    other = trail.add(Action("token.issued", "ann"))
    assert list(trail.entries(3)) == [*filled[3:], other]
    assert list(trail.entries(1, 2)) == filled[1:3]
    assert list(trail.entries(fleet="")) == [other]
    assert list(trail.newest(2)) == [filled[4], other]
    assert list(trail.newest(2, fleet=FLEET)) == filled[3:]
    assert list(trail.all()) == [*filled, other]
    assert trail.last() == other
