"""The ledger's requests: what a sender gave a name is done once, and answered the same way again (docs/api.md)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, insert, select, update

from orchestrator.adapters.ledger.database import LedgerPart
from orchestrator.adapters.ledger.failures import DuplicateError
from orchestrator.adapters.ledger.tables import requests
from orchestrator.domain.errors import ConflictError
from orchestrator.ports import NamedRequest

#: How long an answer is kept. Clients are promised a day.
KEPT = timedelta(hours=48)


class SqlRequests(LedgerPart):
    """`orchestrator.ports.Requests` on an engine of `engine.open_engine`. Safe to share between threads."""

    def claim(self, scope: str, name: str, digest: str) -> NamedRequest | None:
        """Take a request; what is known of it where it is taken. The unique index lets one in."""
        now = self._clock()
        columns: dict[str, Any] = {"scope": scope, "name": name, "digest": digest, "created_at": now}
        try:
            with self._database.writing() as connection:
                connection.execute(delete(requests).where(requests.c.created_at < now - KEPT))
                connection.execute(insert(requests).values(columns))
        except DuplicateError:
            return self._standing(scope, name)
        return None

    def settle(self, scope: str, name: str, status: int, answer: Mapping[str, Any]) -> None:
        """Keep the answer of a request that is claimed."""
        with self._database.writing() as connection:
            connection.execute(update(requests).where(*_one(scope, name)).values(status=status, answer=dict(answer)))

    def drop(self, scope: str, name: str) -> None:
        """Forget a claim that has no answer."""
        with self._database.writing() as connection:
            connection.execute(delete(requests).where(*_one(scope, name), requests.c.status.is_(None)))

    def _standing(self, scope: str, name: str) -> NamedRequest:
        with self._database.reading() as connection:
            row = connection.execute(select(requests).where(*_one(scope, name))).mappings().one_or_none()
        if row is None:
            raise ConflictError("the same request was refused at this moment", remedy="send it again")
        return NamedRequest(row["digest"], row["created_at"], row["status"], row["answer"])


def _one(scope: str, name: str) -> tuple[Any, ...]:
    return requests.c.scope == scope, requests.c.name == name
