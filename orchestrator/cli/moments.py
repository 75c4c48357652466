"""Times that people type."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from orchestrator.domain.errors import UsageError

CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


def parse_moment(text: str, now: datetime) -> datetime:
    """A time to come, in UTC: ISO 8601 with or without a zone, or HH:MM, both else in this machine's zone.

    `now` carries a zone; HH:MM is its next occurrence after `now`.
    """
    clock = CLOCK.fullmatch(text.strip())
    if clock is not None:
        local = now.astimezone()
        moment = local.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return (moment if moment > local else moment + timedelta(days=1)).astimezone(UTC)
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise UsageError(
            "not a time", where="--at", expected="22:30, 2026-05-01T22:30 or 2026-05-01T22:30+02:00", found=text[:40]
        ) from error
    moment = moment.astimezone(UTC)
    if moment <= now:
        raise UsageError("this time is over", where="--at", expected=f"after {now:%Y-%m-%d %H:%M} UTC", found=text[:40])
    return moment
