"""The Redis server that carries messages, leases and answers: its address, and how long it has for a word."""

from __future__ import annotations

import re

#: How long Redis has for an answer, in seconds.
ANSWER_SECONDS = 1.0


def plain_url(broker_url: str) -> str:
    """The URL of a broker as redis-py reads it: Celery has its own words for a Unix socket and a database there."""
    if not broker_url.startswith("redis+socket://"):
        return broker_url
    url = broker_url.replace("redis+socket://", "unix://", 1)
    return re.sub(r"([?&])virtual_host=/?", r"\1db=", url)
