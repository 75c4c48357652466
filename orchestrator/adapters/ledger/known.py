"""Rows of deployments that are read many times a second: what of them never changes is read once.

A row names every frontend of its fleet, and how each is reached: of 1,000 frontends half a megabyte of JSON.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, RowMapping, Select

from orchestrator.adapters.ledger.rows import Columns
from orchestrator.adapters.ledger.tables import deployments

#: Written with the row, and never again.
FIXED = frozenset({"changes", "placements", "frontends", "snapshot", "readmits", "updates", "healing"})
#: Of how many deployments it is kept: there are seldom more open ones at once, and more of them would cost memory.
MOST = 32

Key = tuple[Any, ...]

_VARYING = [column for column in deployments.c if column.name not in FIXED]


class KnownRows:
    """What this process knows of rows. Safe to share between threads, and across a fork: it has no lock."""

    def __init__(self) -> None:
        self._fixed: dict[Key, Columns] = {}

    def read(self, connection: Connection, query: Select[Any]) -> list[Columns]:
        """The rows of a query of whole deployments. They share what never changes: nobody may change it."""
        varying = connection.execute(query.with_only_columns(*_VARYING)).mappings().all()
        known = [{**row, **fixed} for row in varying if (fixed := self._fixed.get(_key(row))) is not None]
        if len(known) == len(varying):
            return known
        # Whole, and anew: between the two readings a row may have come or gone.
        rows = [dict(row) for row in connection.execute(query).mappings()]
        for row in rows:
            self._fixed[_key(row)] = {name: row[name] for name in FIXED}
        for oldest in list(self._fixed)[:-MOST]:
            self._fixed.pop(oldest, None)
        return rows


def _key(row: RowMapping | Columns) -> Key:
    """Of this row and no other, even where a backup was played back under a process that runs."""
    return row["id"], row["nonce"], row["created_at"]
