"""A ledger of releases in memory, for tests of what happens before a release reaches the real one."""

from __future__ import annotations

from orchestrator.domain.errors import ConflictError
from orchestrator.domain.trail import ITSELF
from orchestrator.ports import ReleaseRecord


class Records:
    """`orchestrator.ports.Releases` in memory."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str], ReleaseRecord] = {}

    def add_release(self, record: ReleaseRecord, *, actor: str = ITSELF) -> ReleaseRecord:
        del actor  # no trail here
        found = self._records.setdefault((record.app, record.version), record)
        if found.digest != record.digest:
            raise ConflictError("exists with other content")
        return found

    def release(self, app: str, version: str) -> ReleaseRecord | None:
        return self._records.get((app, version))

    def releases(
        self, app: str | None = None, *, before: tuple[str, str] | None = None, limit: int | None = None
    ) -> list[ReleaseRecord]:
        assert before is None and limit is None
        return [r for r in reversed(self._records.values()) if app in (None, r.app)]
