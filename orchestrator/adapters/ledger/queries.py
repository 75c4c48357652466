"""What several parts of the ledger ask for, inside a transaction."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, false, func, or_, select

from orchestrator.adapters.ledger.tables import deployments
from orchestrator.domain.activation import NOTHING, ActivationName
from orchestrator.domain.deployment import Decision, Kind
from orchestrator.domain.errors import UsageError

#: The largest number that the databases can hold.
MAX_NUMBER = 2**63 - 1


def deployment_row(number: int | None) -> Select[Any]:
    """One deployment's row."""
    return select(deployments).where(deployments.c.id == number)


def committed(query: Select[Any], fleet: str) -> Select[Any]:
    """Only the fleet's committed deployments, newest epoch first: those that moved it."""
    mine = query.where(
        deployments.c.fleet == fleet,
        deployments.c.decision == Decision.COMMIT.value,
        deployments.c.kind.in_([kind.value for kind in Kind if kind.moves]),
    )
    return mine.order_by(deployments.c.epoch.desc())


def newest(connection: Connection, fleet: str) -> ActivationName:
    """The activation of the fleet's newest deployment, whatever became of it."""
    query = select(deployments.c.epoch, deployments.c.nonce).where(deployments.c.fleet == fleet)
    row = connection.execute(query.order_by(deployments.c.epoch.desc()).limit(1)).one_or_none()
    return NOTHING if row is None else ActivationName(*row)


def of_environments(fleet: ColumnElement[str], environments: Collection[str]) -> ColumnElement[bool]:
    """Whether the fleet of a row is of one of these environments."""
    # Not LIKE, to which "Test" and "test" are the same in SQLite.
    of = [func.substr(fleet, 1, len(each) + 1) == f"{each}/" for each in environments]
    return or_(false(), *of)


def standing(connection: Connection, number: int, column: ColumnElement[Any]) -> Any:
    """A column of the row as it stands; `UsageError` where there is no such deployment."""
    row = connection.execute(select(column).where(deployments.c.id == number)).one_or_none()
    if row is None:
        raise nowhere(number)
    return row[0]


def nowhere(number: int) -> UsageError:
    """There is no such deployment."""
    return UsageError(f"there is no deployment {number}", remedy="see: lockstep history")
