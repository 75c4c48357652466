"""A commit that is not answered is an unknown outcome: never a success, never a failure."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.adapters.ledger.engine import open_engine, upgrade
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.domain.deployment import Decision, Outcome, Report, State, Step
from orchestrator.domain.errors import UnansweredError
from orchestrator.ports import Ledger, ReleaseRecord
from tests.integration.ledgers import Callers, Ticks, advance, plan, standing
from tests.integration.postgres import Postgres
from tests.integration.severed import Cut, severed


@pytest.fixture
def direct(postgres: Postgres) -> Iterator[SqlLedger]:
    """The ledger, on a way that nothing cuts."""
    engine = open_engine(postgres.empty_database())
    upgrade(engine)
    yield SqlLedger(engine, Ticks())
    engine.dispose()


@pytest.mark.parametrize("decision", Decision)
@pytest.mark.parametrize("cut", Cut)
def test_a_decision_whose_commit_is_not_answered_is_unknown(
    postgres: Postgres, direct: SqlLedger, cut: Cut, decision: Decision
) -> None:
    number = direct.plan(plan()).id
    advance(direct, number, State.ARMING)
    with severed(postgres) as way:
        engine = open_engine(way.url)
        cut_off = SqlLedger(engine, Ticks())
        assert standing(cut_off, number).state is State.ARMING
        way.cut = cut
        with pytest.raises(UnansweredError, match="did not say whether it wrote") as unknown:
            cut_off.decide(number, decision, [])
        assert "secret" not in str(unknown.value)
        # The way to the server works again, up to the next commit: what stands can be read through it.
        assert standing(cut_off, number).decision is (decision if cut is Cut.AFTER else None)
        engine.dispose()
    assert standing(direct, number).decision is (decision if cut is Cut.AFTER else None)
    assert direct.decide(number, decision, []) is decision


REPORTS = [Report("f1", Step.ARM, 1, Outcome.ACCEPTED)]
RELEASE = ReleaseRecord("ToDo", "1", "a" * 64, 1, 1, datetime(2026, 1, 1, tzinfo=UTC))

WRITES: dict[str, Callable[[Ledger, int], object]] = {
    "add_release": lambda ledger, number: ledger.add_release(RELEASE),
    "plan": lambda ledger, number: ledger.plan(plan("Production/other")),
    "move": lambda ledger, number: ledger.move(number, State.PLANNED, State.STAGING),
    "record": lambda ledger, number: ledger.record(number, REPORTS),
}


@pytest.mark.parametrize("write", WRITES)
def test_every_write_whose_commit_is_not_answered_is_unknown(postgres: Postgres, direct: SqlLedger, write: str) -> None:
    number = direct.plan(plan()).id
    with severed(postgres) as way:
        engine = open_engine(way.url)
        cut_off = SqlLedger(engine, Ticks())
        assert standing(cut_off, number).state is State.PLANNED
        way.cut = Cut.AFTER
        with pytest.raises(UnansweredError):
            WRITES[write](cut_off, number)
        engine.dispose()


def test_a_disk_that_fails_while_sqlite_commits_leaves_the_outcome_unknown(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    engine = open_engine(f"sqlite:///{path}")
    upgrade(engine)
    ledger = SqlLedger(engine, Ticks())
    number = ledger.plan(plan()).id
    advance(ledger, number, State.ARMING)

    def decide_without_room() -> Decision | None:
        ledger.note_troubles(number, [])
        written = path.with_name("ledger.sqlite-wal").stat().st_size
        # In a process of its own: the limit is the process's, and stays.
        resource.setrlimit(resource.RLIMIT_FSIZE, (written, written))
        return ledger.decide(number, Decision.COMMIT, [])

    [outcome] = Callers.PROCESSES.at_once([decide_without_room])
    assert isinstance(outcome, UnansweredError), outcome
    assert "disk I/O error" in outcome.problem.found
    assert standing(ledger, number).decision in (None, Decision.COMMIT)
    assert ledger.decide(number, Decision.COMMIT, []) is Decision.COMMIT
    engine.dispose()
