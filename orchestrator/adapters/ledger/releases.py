"""The ledger's releases: which content every version of an app is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, insert, select

from orchestrator.adapters.ledger.actions import release_added
from orchestrator.adapters.ledger.database import LedgerPart
from orchestrator.adapters.ledger.failures import DuplicateError
from orchestrator.adapters.ledger.rows import release_columns, release_record
from orchestrator.adapters.ledger.tables import releases
from orchestrator.adapters.ledger.trail import append
from orchestrator.domain.errors import ConflictError
from orchestrator.domain.trail import ITSELF
from orchestrator.ports import ReleaseRecord


class SqlReleases(LedgerPart):
    """`orchestrator.ports.Releases`."""

    def add_release(self, record: ReleaseRecord, *, actor: str = ITSELF) -> ReleaseRecord:
        """Store a release; the same content again is no change; other content under its version is refused."""
        try:
            with self._database.writing() as connection:
                connection.execute(insert(releases).values(release_columns(record)))
                append(connection, release_added(record, actor), self._clock())
        except DuplicateError:
            found = self.release(record.app, record.version)
            if found is None:
                raise
        else:
            return record
        if found.digest != record.digest:
            raise ConflictError(
                f"{record.app} {record.version} exists with other content",
                expected=f"digest {found.digest}",
                found=f"digest {record.digest}",
                remedy="a version is never changed: build this content under a new version",
            )
        return found

    def release(self, app: str, version: str) -> ReleaseRecord | None:
        """One release, or None."""
        found = self._releases(select(releases).where(releases.c.app == app, releases.c.version == version))
        return found[0] if found else None

    def releases(
        self, app: str | None = None, *, before: tuple[str, str] | None = None, limit: int | None = None
    ) -> list[ReleaseRecord]:
        """All releases, or those of one app, newest first: those older than release `before`, at most `limit`."""
        query = select(releases).order_by(releases.c.id.desc()).limit(limit)
        if before is not None:
            last = select(releases.c.id).where(releases.c.app == before[0], releases.c.version == before[1])
            query = query.where(releases.c.id < last.scalar_subquery())
        return self._releases(query if app is None else query.where(releases.c.app == app))

    def _releases(self, query: Select[Any]) -> list[ReleaseRecord]:
        with self._database.reading() as connection:
            return [release_record(row) for row in connection.execute(query).mappings()]
