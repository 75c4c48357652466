"""The most telling cells of the kill matrix: who dies, or stands still, around the decision and among the words.

`make chaos` plays all of it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.points import Cell, Database, Deed, Point
from tests.chaos.run import next_deployment, play
from tests.chaos.site import Site, site
from tests.integration import postgres

ON_SQLITE = (
    (Deed.WORKER_KILLED, Point.STAGING),
    (Deed.WORKER_KILLED, Point.BEFORE_DECISION),
    (Deed.WORKER_KILLED, Point.AFTER_DECISION),
    (Deed.WORKER_KILLED, Point.BETWEEN_WORDS),
    (Deed.REDIS_KILLED, Point.BEFORE_DECISION),
    (Deed.REDIS_GONE, Point.STAGING),
    (Deed.REDIS_GONE, Point.BETWEEN_WORDS),
    (Deed.WORKER_STOPPED, Point.BEFORE_DECISION),
    (Deed.WORKER_STOPPED, Point.BETWEEN_WORDS),
)


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("chaos"), Database.SQLITE) as made:
        yield made


@pytest.mark.parametrize(("deed", "point"), ON_SQLITE)
def test_a_deployment_ends_as_the_ledger_says_and_no_client_notices(on_sqlite: Site, deed: Deed, point: Point) -> None:
    result = play(on_sqlite, Cell(Database.SQLITE, deed, point))
    assert result.good, [*result.faults, *on_sqlite.observers.findings()]


def test_the_next_deployment_is_done(on_sqlite: Site) -> None:
    assert next_deployment(on_sqlite) == []


def test_a_ledger_server_that_dies_after_the_decision_and_a_worker_that_dies_among_the_words(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    if postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed")
    with site(tmp_path_factory.mktemp("chaos"), Database.POSTGRESQL) as made:
        for deed, point in (
            (Deed.POSTGRES_KILLED, Point.AFTER_DECISION),
            (Deed.WORKER_KILLED, Point.BETWEEN_WORDS),
        ):
            result = play(made, Cell(Database.POSTGRESQL, deed, point))
            assert result.good, [*result.faults, *made.observers.findings()]
        assert next_deployment(made) == []
