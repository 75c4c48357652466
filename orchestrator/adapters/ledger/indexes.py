"""The indexes of the ledger's tables that hold some of the rows. The migrations make them; a test holds them together.

They stand apart from the tables because nothing that reads or writes the ledger needs them, and a condition in
PostgreSQL's words makes SQLAlchemy load all that it knows of PostgreSQL, which takes 35 ms.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, text

from orchestrator.adapters.ledger.tables import audits, deliveries, deployments, drains, findings, metadata

#: For whoever wants the whole schema: with this module loaded, it has the indexes as well.
__all__ = ["metadata"]


def _where(condition: str) -> dict[str, Any]:
    """Of which rows, for both databases."""
    return {f"{dialect}_where": text(condition) for dialect in ("sqlite", "postgresql")}


#: One open deployment per fleet: the database itself says so.
one_open = Index(
    "uq_deployments_open",
    deployments.c.fleet,
    unique=True,
    **_where("ended_at IS NULL"),
)

#: An epoch is one deployment's. Readmissions and healing bring frontends to an epoch that was committed before.
one_of_epoch = Index(
    "uq_deployments_epoch",
    deployments.c.fleet,
    deployments.c.epoch,
    unique=True,
    **_where("kind NOT IN ('readmit', 'heal')"),
)

#: A frontend is out of rotation once.
one_drain = Index(
    "uq_drains_standing",
    drains.c.fleet,
    drains.c.frontend,
    unique=True,
    **_where("lifted_at IS NULL"),
)

#: The deliveries that are still to be made, in the order in which each receiver gets them.
due_deliveries = Index(
    "ix_deliveries_due",
    deliveries.c.receiver,
    deliveries.c.entry,
    **_where("due_at IS NOT NULL"),
)

#: One open audit per fleet.
one_audit = Index(
    "uq_audits_open",
    audits.c.fleet,
    unique=True,
    **_where("ended_at IS NULL"),
)

#: A moment of a schedule has one row, whoever was there first.
one_of_moment = Index(
    "uq_audits_scheduled",
    audits.c.fleet,
    audits.c.deep,
    audits.c.scheduled_at,
    unique=True,
    **_where("scheduled_at IS NOT NULL"),
)

#: A finding is open once. The fleet comes first for those who ask for what is open in it.
one_finding = Index(
    "uq_findings_open",
    findings.c.fleet,
    findings.c.identity,
    unique=True,
    **_where("closed_at IS NULL"),
)
