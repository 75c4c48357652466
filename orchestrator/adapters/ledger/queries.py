"""What several parts of the ledger ask for, inside a transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select

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
    """Only the fleet's committed deployments, newest epoch first. Readmissions are none of them."""
    mine = query.where(
        deployments.c.fleet == fleet,
        deployments.c.decision == Decision.COMMIT.value,
        deployments.c.kind != Kind.READMIT.value,
    )
    return mine.order_by(deployments.c.epoch.desc())


def newest(connection: Connection, fleet: str) -> ActivationName:
    """The activation of the fleet's newest deployment, whatever became of it."""
    query = select(deployments.c.epoch, deployments.c.nonce).where(deployments.c.fleet == fleet)
    row = connection.execute(query.order_by(deployments.c.epoch.desc()).limit(1)).one_or_none()
    return NOTHING if row is None else ActivationName(*row)


def standing(connection: Connection, number: int, column: ColumnElement[Any]) -> Any:
    """A column of the row as it stands; `UsageError` where there is no such deployment."""
    row = connection.execute(select(column).where(deployments.c.id == number)).one_or_none()
    if row is None:
        raise nowhere(number)
    return row[0]


def nowhere(number: int) -> UsageError:
    """There is no such deployment."""
    return UsageError(f"there is no deployment {number}", remedy="see: lockstep history")
