"""What of a row never changes is read once; what does is read each time."""

from __future__ import annotations

from sqlalchemy import Engine, event, update

from orchestrator.adapters.ledger import known
from orchestrator.adapters.ledger.tables import deployments
from orchestrator.domain.deployment import State
from orchestrator.ports import Ledger
from tests.integration.ledgers import advance, plan, standing


def test_a_row_that_was_seen_before_is_read_without_its_snapshot(ledger: Ledger, ledger_engine: Engine) -> None:
    number = ledger.plan(plan()).id
    first = standing(ledger, number)
    statements: list[str] = []
    event.listen(ledger_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    advance(ledger, number, State.VERIFYING)
    statements.clear()
    second, (third,) = standing(ledger, number), ledger.unfinished()
    assert second == third == ledger.open_deployment(first.plan.fleet)
    assert (second.plan, second.state) == (first.plan, State.VERIFYING)
    assert statements and not [each for each in statements if "snapshot" in each]


def test_another_row_of_the_same_number_is_another_deployment(ledger: Ledger, ledger_engine: Engine) -> None:
    """As where a backup was played back."""
    number = ledger.plan(plan()).id
    standing(ledger, number)
    with ledger_engine.begin() as connection:
        connection.execute(update(deployments).values(nonce="0" * 16, frontends=["f3"]))
    assert standing(ledger, number).plan.frontends == ("f3",)


def test_of_more_deployments_than_it_keeps_each_is_read_right(ledger: Ledger) -> None:
    fleets = [f"Production/f{number}" for number in range(known.MOST + 3)]
    numbers = [ledger.plan(plan(fleet)).id for fleet in fleets]
    for _ in range(2):
        assert [standing(ledger, number).plan.fleet for number in numbers] == fleets
        assert [each.plan.fleet for each in ledger.unfinished()] == fleets
