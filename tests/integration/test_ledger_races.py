"""Several callers write to the ledger at once, as threads and as processes: one wins, and every one is told who."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, event

from orchestrator.adapters.ledger.engine import open_engine, revision, upgrade
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.adapters.ledger.tables import REVISION, metadata
from orchestrator.domain.deployment import Decision, Deployment, Outcome, Report, State, Step
from orchestrator.domain.errors import ConflictError, HeldError, LockstepError
from orchestrator.ports import Ledger, ReleaseRecord
from tests.integration.ledgers import FLEET, PATIENCE, Callers, Ticks, advance, plan, reach, standing
from tests.integration.postgres import Postgres

CROWD = 6


@pytest.fixture(params=Callers)
def callers(request: pytest.FixtureRequest) -> Callers:
    """The kind of callers."""
    kind: Callers = request.param
    return kind


def test_of_many_planners_one_opens_a_deployment_and_the_others_are_told(ledger: Ledger, callers: Callers) -> None:
    outcomes = callers.at_once([lambda: ledger.plan(plan())] * CROWD)
    [made] = [outcome for outcome in outcomes if isinstance(outcome, Deployment)]
    refused = [outcome for outcome in outcomes if outcome != made]
    assert len(refused) == CROWD - 1
    # Who holds it is told, unless it was planned at the same moment.
    holders = [each.holder["deployment"] for each in refused if isinstance(each, HeldError)]
    assert all(isinstance(each, ConflictError) for each in refused)
    assert holders
    assert set(holders) == {made.id}
    assert ledger.unfinished() == [made]
    assert ledger.history(None, 10) == [made]


def test_epochs_are_never_given_twice(ledger: Ledger, callers: Callers) -> None:
    def keep_planning() -> list[tuple[int, str]]:
        given = []
        for _ in range(8):
            try:
                made = ledger.plan(plan())
            except ConflictError:
                continue
            given.append((made.epoch, made.name.nonce))
            reach(ledger, made.id, State.ABORTED)
        return given

    given: list[tuple[int, str]] = []
    for outcome in callers.at_once([keep_planning] * CROWD):
        assert isinstance(outcome, list), outcome
        given += outcome
    kept = [(deployment.epoch, deployment.name.nonce) for deployment in ledger.history(FLEET, 1000)]
    assert sorted(given, reverse=True) == kept
    assert len({epoch for epoch, _ in given}) == len(given)


def test_of_commit_and_abort_one_stands_and_every_caller_is_told_which(ledger: Ledger, callers: Callers) -> None:
    numbers = [ledger.plan(plan(f"Production/{index}")).id for index in range(12)]
    for number in numbers:
        advance(ledger, number, State.ARMING)

    def decide_all(decision: Decision) -> list[Decision | None]:
        return [ledger.decide(number, decision, []) for number in numbers]

    wishes = [Decision.COMMIT, Decision.ABORT] * (CROWD // 2)
    outcomes = callers.at_once([partial(decide_all, wish) for wish in wishes])
    stand = [standing(ledger, number).decision for number in numbers]
    assert None not in stand
    assert outcomes == [stand] * CROWD


def test_an_abort_and_a_move_at_once_leave_an_abort(ledger: Ledger, callers: Callers) -> None:
    number = ledger.plan(plan()).id
    advance(ledger, number, State.VERIFYING)

    def prepare() -> tuple[State, bool] | Decision | None:
        return ledger.prepare(number)

    def give_up() -> tuple[State, bool] | Decision | None:
        return ledger.decide(number, Decision.ABORT, [])

    prepared, decision = callers.at_once([prepare, give_up])
    assert decision is Decision.ABORT
    assert standing(ledger, number).state is State.ABORTING
    assert prepared in ((State.ARMING, True), (State.ABORTING, False))


def test_one_of_many_movers_moved(ledger: Ledger, callers: Callers) -> None:
    number = ledger.plan(plan()).id
    outcomes = callers.at_once([lambda: ledger.move(number, State.PLANNED, State.STAGING)] * CROWD)
    assert outcomes.count((State.STAGING, True)) == 1
    assert outcomes.count((State.STAGING, False)) == CROWD - 1


def test_a_release_added_by_many_at_once_is_there_once(ledger: Ledger, callers: Callers) -> None:
    record = ReleaseRecord("ToDo", "1.0", "a" * 64, 1, 1, datetime(2026, 1, 1, tzinfo=UTC))
    assert callers.at_once([lambda: ledger.add_release(record)] * CROWD) == [record] * CROWD
    others = [replace(record, version="2.0", digest=str(index) * 64) for index in range(CROWD)]
    outcomes = callers.at_once([partial(ledger.add_release, other) for other in others])
    kept = ledger.release("ToDo", "2.0")
    assert [outcome for outcome in outcomes if not isinstance(outcome, ConflictError)] == [kept]


def test_a_follower_of_the_reports_misses_none(ledger: Ledger, callers: Callers) -> None:
    number = ledger.plan(plan()).id
    each = 15

    def report(frontend: str) -> str:
        for attempt in range(1, each + 1):
            ledger.record(number, [Report(frontend, Step.STAGE, attempt, Outcome.ACCEPTED)])
        return "recorded"

    def follow() -> str:
        seen: set[tuple[str, int]] = set()
        last = 0
        while len(seen) < each * CROWD:
            for sequence, answer in ledger.reports(number, last):
                seen.add((answer.frontend, answer.attempt))
                last = sequence
            if len(ledger.reports(number)) == each * CROWD and not ledger.reports(number, last):
                break
        return f"saw {len(seen)}"

    calls: list[Callable[[], str]] = [*(partial(report, f"f{index}") for index in range(CROWD)), follow]
    *written, followed = callers.at_once(calls)
    assert written == ["recorded"] * CROWD
    assert followed == f"saw {each * CROWD}"


def test_more_threads_than_connections_wait_their_turn(ledger: Ledger) -> None:
    number = ledger.plan(plan()).id

    def record_and_read(frontend: str) -> bool:
        ledger.record(number, [Report(frontend, Step.STAGE, 1, Outcome.ACCEPTED)])
        return frontend in {report.frontend for _, report in ledger.reports(number)}

    frontends = [f"f{index}" for index in range(40)]
    assert Callers.THREADS.at_once([partial(record_and_read, frontend) for frontend in frontends]) == [True] * 40
    assert sorted(report.frontend for _, report in ledger.reports(number)) == sorted(frontends)


def test_a_report_is_not_seen_before_one_with_a_smaller_number(ledger_engine: Engine, ledger_url: str) -> None:
    """A writer stands still between its insert and its commit, while another one records."""
    slow, quick = SqlLedger(ledger_engine, Ticks()), SqlLedger(other_engine := open_engine(ledger_url), Ticks())
    number = slow.plan(plan()).id
    inserted, go_on = threading.Event(), threading.Event()

    def stand_still(connection: object) -> None:
        inserted.set()
        assert go_on.wait(PATIENCE)

    def record(ledger: Ledger, frontend: str) -> threading.Thread:
        answers = [Report(frontend, Step.ARM, 1, Outcome.ACCEPTED)]
        thread = threading.Thread(target=ledger.record, args=(number, answers))
        thread.start()
        return thread

    event.listen(ledger_engine, "commit", stand_still)
    first = record(slow, "slow")
    assert inserted.wait(PATIENCE)
    second = record(quick, "quick")
    # Either the second one waits for the first, or it is through: half a second is more than it needs.
    second.join(0.5)
    seen = quick.reports(number)
    go_on.set()
    first.join(PATIENCE)
    second.join(PATIENCE)
    seen += quick.reports(number, seen[-1][0] if seen else 0)
    other_engine.dispose()
    assert [report.frontend for _, report in seen] == ["slow", "quick"]


def test_a_new_database_is_made_by_many_at_once(ledger_url: str, callers: Callers) -> None:
    def make() -> str | None:
        engine = open_engine(ledger_url)
        upgrade(engine)
        try:
            return revision(engine)
        finally:
            engine.dispose()

    outcomes = callers.at_once([make] * CROWD)
    assert outcomes == [REVISION] * CROWD


def test_a_new_file_that_another_process_writes_is_waited_for(tmp_path: Path) -> None:
    """SQLite says "busy" at once to whoever switches to the write-ahead log while another one writes."""
    path = tmp_path / "ledger.sqlite"
    engine = open_engine(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE other (n integer)")
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(revision, engine)
        wait([found], timeout=0.3)
        other.execute("COMMIT")
        assert found.result(PATIENCE) is None
    other.close()
    engine.dispose()


def test_a_process_that_has_upgraded_keeps_no_other_from_it(ledger_url: str) -> None:
    first, second = open_engine(ledger_url), open_engine(ledger_url)
    upgrade(first)
    with first.connect() as still_there:
        still_there.exec_driver_sql("DELETE FROM alembic_version")
        for table in reversed(metadata.sorted_tables):
            still_there.exec_driver_sql(f"DROP TABLE {table.name}")
        if first.dialect.name == "postgresql":
            still_there.exec_driver_sql("DROP FUNCTION trail_only_grows()")
    upgrade(second)
    assert revision(second) == REVISION
    first.dispose()
    second.dispose()


def test_a_child_process_has_connections_of_its_own(ledger_engine: Engine) -> None:
    ledger = SqlLedger(ledger_engine, Ticks())
    number = ledger.plan(plan()).id
    answer = [Report("f1", Step.ARM, 1, Outcome.ACCEPTED)]

    def record_and_read() -> int:
        for _ in range(10):
            ledger.record(number, answer)
            assert standing(ledger, number).state is State.PLANNED
        return len(ledger.reports(number))

    outcomes = Callers.PROCESSES.at_once([record_and_read] * CROWD)
    assert max(count for count in outcomes if not isinstance(count, LockstepError)) == 10 * CROWD
    ledger.record(number, answer)
    assert len(ledger.reports(number)) == 10 * CROWD + 1


def test_a_child_process_inherits_no_open_ledger(tmp_path: Path) -> None:
    """SQLite would take the locks of a file that it finds open for its own, though they are the parent's."""
    path = tmp_path / "ledger.sqlite"
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)

    def open_files() -> list[str]:
        numbers = Path("/proc/self/fd")
        return [str(target) for target in map(Path.resolve, numbers.iterdir()) if path.name in target.name]

    assert open_files()
    assert Callers.PROCESSES.at_once([open_files]) == [[]]
    engine.dispose()


def test_a_fork_leaves_the_parent_s_connections_alone(postgres: Postgres) -> None:
    engine = open_engine(postgres.empty_database())

    def session() -> int:
        with engine.connect() as connection:
            return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())

    mine = session()
    children = Callers.PROCESSES.at_once([session] * 3)
    assert len({mine, *children}) == 4
    assert isinstance(session(), int)
    engine.dispose()
