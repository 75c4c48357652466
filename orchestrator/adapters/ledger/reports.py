"""The ledger's reports: what frontends answered."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import insert, select

from orchestrator.adapters.ledger.database import LedgerPart
from orchestrator.adapters.ledger.queries import nowhere
from orchestrator.adapters.ledger.rows import report_columns, report_of
from orchestrator.adapters.ledger.tables import deployments, reports
from orchestrator.domain.deployment import Report, Step


class SqlReports(LedgerPart):
    """The reports of `orchestrator.ports.Deployments`. They are observed, not done: the trail does not tell them."""

    def record(self, number: int, answers: Iterable[Report]) -> None:
        """Keep reports, in one transaction."""
        now = self._clock()
        rows = [report_columns(number, report, now) for report in answers]
        if not rows:
            return
        with self._database.writing() as connection:
            # One writer of a deployment's reports at a time. Sequence numbers are drawn before the commit: without
            # this lock a later number could be seen first, and whoever reads "after" it would miss the earlier one.
            # SQLite has one writer anyway.
            lock = select(deployments.c.id).where(deployments.c.id == number).with_for_update(key_share=True)
            if connection.scalar(lock) is None:
                raise nowhere(number)
            connection.execute(insert(reports), rows)

    def reported(self, number: int, step: Step, attempt: int) -> frozenset[str]:
        """Who has reported on this asking: names alone."""
        mine = (reports.c.deployment == number, reports.c.step == step.value, reports.c.attempt == attempt)
        with self._database.reading() as connection:
            return frozenset(connection.scalars(select(reports.c.frontend).where(*mine)))

    def reports(self, number: int, after: int = 0) -> list[tuple[int, Report]]:
        """Reports with their sequence numbers, oldest first."""
        query = select(reports).where(reports.c.deployment == number, reports.c.id > after).order_by(reports.c.id)
        with self._database.reading() as connection:
            return [(row["id"], report_of(row)) for row in connection.execute(query).mappings()]
