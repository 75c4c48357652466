"""Ledgers on both databases for the tests, what is written into them, and callers that use them at once."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy import Engine

from orchestrator.adapters.ledger.engine import open_engine, upgrade
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.domain.activation import Placement
from orchestrator.domain.deployment import Decision, Deployment, Kind, Plan, State
from orchestrator.domain.errors import LockstepError
from orchestrator.ports import Ledger
from tests.empty_ledger import empty_ledger
from tests.integration.postgres import Postgres

T = TypeVar("T")

#: How long a test waits for threads and processes before it fails, in seconds.
PATIENCE = 60

FLEET = "Production/web"


class Ticks:
    """A clock that moves on by a second whenever it is read."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Now."""
        self._now += timedelta(seconds=1)
        return self._now

    def skip(self, span: timedelta) -> None:
        """Go on at once."""
        self._now += span


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.empty_database()


@pytest.fixture
def ledger_engine(ledger_url: str) -> Iterator[Engine]:
    """An engine on a database with the ledger's tables."""
    if ledger_url.startswith("sqlite:"):
        engine = empty_ledger(Path(ledger_url.removeprefix("sqlite:///")))
    else:
        engine = open_engine(ledger_url)
        upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(ledger_engine: Engine) -> Ledger:
    """An empty ledger."""
    return SqlLedger(ledger_engine, Ticks())


def placement(app: str, version: str, digest: str = "a" * 64) -> Placement:
    """One app of an activation, mounted under its name."""
    return Placement(app, f"/{app}/", version, digest)


def plan(fleet: str = FLEET, changes: Mapping[str, str] | None = None, *, hold: bool = False, **others: str) -> Plan:
    """A plan that changes `changes` (app to version) and leaves `others` (app=version) as they are."""
    changes = {"ToDo": "1"} if changes is None else changes
    releases = {**others, **changes}
    return Plan(
        fleet=fleet,
        kind=Kind.DEPLOY,
        changes=changes,
        placements=tuple(placement(app, version) for app, version in releases.items()),
        frontends=("f1", "f2"),
        snapshot={"name": fleet},
        actor="ada",
        hold=hold,
    )


#: The way of a deployment that nothing disturbs.
WAY = (State.PLANNED, State.STAGING, State.VERIFYING, State.ARMING, State.ACTIVATING, State.FINISHING, State.DONE)


def advance(ledger: Ledger, number: int, until: State) -> None:
    """Move a planned deployment along the way, committing it where the way says so."""
    for before, after in pairwise(WAY[: WAY.index(until) + 1]):
        if after is State.ACTIVATING:
            assert ledger.decide(number, Decision.COMMIT, []) is Decision.COMMIT
        else:
            assert ledger.move(number, before, after) == (after, True)


def reach(ledger: Ledger, number: int, state: State) -> None:
    """Bring a planned deployment that is to be held into any state."""
    if state in (State.ABORTING, State.ABORTED):
        assert ledger.decide(number, Decision.ABORT, []) is Decision.ABORT
        if state is State.ABORTED:
            assert ledger.move(number, State.ABORTING, State.ABORTED) == (State.ABORTED, True)
    elif state is State.PREPARED:
        advance(ledger, number, State.VERIFYING)
        assert ledger.prepare(number) == (State.PREPARED, True)
    else:
        advance(ledger, number, state)


def standing(ledger: Ledger, number: int) -> Deployment:
    """The deployment as the ledger has it."""
    found = ledger.deployment(number)
    assert found is not None
    return found


class Callers(StrEnum):
    """Who uses the ledger at once."""

    THREADS = "threads"
    PROCESSES = "processes"

    def at_once(self, calls: Sequence[Callable[[], T]]) -> list[T | LockstepError]:
        """Begin all calls at the same moment. Returns what each returned, or the `LockstepError` that it raised."""
        return _in_threads(calls) if self is Callers.THREADS else _in_processes(calls)


def _in_threads(calls: Sequence[Callable[[], T]]) -> list[T | LockstepError]:
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T | LockstepError:
        start.wait(PATIENCE)
        return _outcome(call)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls, timeout=PATIENCE))


def _in_processes(calls: Sequence[Callable[[], T]]) -> list[T | LockstepError]:
    """Children by fork, as Celery's are: they inherit the engine, in whatever state it is."""
    fork = multiprocessing.get_context("fork")
    start = fork.Barrier(len(calls))
    pipes = [fork.Pipe(duplex=False) for _ in calls]

    def run(index: int) -> None:
        start.wait(PATIENCE)
        pipes[index][1].send(_outcome(calls[index]))

    children = [fork.Process(target=run, args=(index,)) for index in range(len(calls))]
    for child in children:
        child.start()
    for _, sending in pipes:
        # The children's copies are the last ones: a child that dies is the end of its pipe.
        sending.close()
    try:
        outcomes: list[T | LockstepError] = []
        for receiving, _ in pipes:
            assert receiving.poll(PATIENCE), "a child process stays silent"
            outcomes.append(receiving.recv())
        return outcomes
    finally:
        for child, (receiving, _) in zip(children, pipes, strict=True):
            receiving.close()
            child.join(PATIENCE)
            child.kill()
            child.join()
            child.close()


def _outcome(call: Callable[[], T]) -> T | LockstepError:
    try:
        return call()
    except LockstepError as error:
        return error
