"""The fixtures of the integration tests; each lives in the module of its noun."""

from __future__ import annotations

from tests.integration.ledgers import ledger, ledger_engine, ledger_url
from tests.integration.postgres import postgres
from tests.integration.redis_server import redis_server

__all__ = ["ledger", "ledger_engine", "ledger_url", "postgres", "redis_server"]
