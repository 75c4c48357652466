"""A ledger without a row, in a file: to migrate each one anew takes longer than most of what is tested with it."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import Engine

from orchestrator.adapters.ledger.engine import open_engine, upgrade


def empty_ledger(path: Path) -> Engine:
    """An engine on a new one at `path`."""
    path.write_bytes(_empty())
    return open_engine(f"sqlite:///{path}")


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        engine = open_engine(f"sqlite:///{directory}/ledger.sqlite")
        upgrade(engine)
        engine.dispose()
        return (Path(directory) / "ledger.sqlite").read_bytes()
