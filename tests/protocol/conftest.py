"""Ledgers: one in memory, and the real one on SQLite. What holds on the one must hold on the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest

from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.ports import Deployments
from tests.empty_ledger import empty_ledger
from tests.protocol.simulation.ledger import MOMENT, MemoryLedger

#: Makes an empty ledger.
MakeLedger = Callable[[], Deployments]


@pytest.fixture
def make_sql_ledger(tmp_path: Path) -> Iterator[MakeLedger]:
    """Real ledgers, each in a new file. Their nonces count, as those of the ledger in memory do."""
    with ExitStack() as stack:
        numbers = count(1)

        def make() -> Deployments:
            engine = empty_ledger(tmp_path / f"ledger-{next(numbers)}.sqlite")
            stack.callback(engine.dispose)
            nonces = count(1)
            return SqlLedger(engine, lambda: MOMENT, lambda: f"{next(nonces):016x}")

        yield make


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request: pytest.FixtureRequest) -> Deployments:
    """An empty ledger of each kind."""
    if request.param == "memory":
        return MemoryLedger()
    make: MakeLedger = request.getfixturevalue("make_sql_ledger")
    return make()
