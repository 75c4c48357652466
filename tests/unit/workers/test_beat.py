"""The beat speaks to the Redis of the messages, however the broker's URL spells it."""

from __future__ import annotations

import pytest
from redbeat.schedulers import get_redis

from orchestrator.adapters.dispatch import celery_app
from workers.beat import embed


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("redis+socket:///run/redis.sock?virtual_host=/5", 5),
        ("redis://broker.example.com/3", 3),
        ("rediss://broker.example.com/4?ssl_cert_reqs=required", 4),
        ("redis://broker.example.com", 0),
    ],
)
def test_the_schedule_is_in_the_database_of_the_messages(url: str, database: int) -> None:
    app = celery_app(url)
    embed(app, url)
    pool = get_redis(app).connection_pool
    assert pool.connection_kwargs.get("db", 0) == database
    # Made, not connected: a word that redis-py does not know is an error here.
    pool.make_connection()
