"""A broker's URL is Celery's; what speaks to Redis beside Celery must reach the same database."""

from __future__ import annotations

import pytest
import redis

from orchestrator.adapters.broker import plain_url


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("redis+socket:///run/redis.sock", 0),
        ("redis+socket:///run/redis.sock?virtual_host=5", 5),
        ("redis+socket:///run/redis.sock?virtual_host=/5", 5),
        ("redis://broker.example.com/3", 3),
        ("redis://broker.example.com", 0),
    ],
)
def test_leases_are_in_the_database_of_the_messages(url: str, database: int) -> None:
    pool = redis.ConnectionPool.from_url(plain_url(url))
    assert pool.connection_kwargs.get("db", 0) == database
    # Made, not connected: a word that redis-py does not know is an error here.
    pool.make_connection()
