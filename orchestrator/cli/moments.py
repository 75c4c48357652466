"""Times that people type."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from orchestrator.domain.errors import UsageError

SPAN = re.compile(r"([1-9][0-9]{0,5})([mhdw])")
UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


def parse_moment(text: str, now: datetime, where: str = "--at") -> datetime:
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
            "not a time", where=where, expected="22:30, 2026-05-01T22:30 or 2026-05-01T22:30+02:00", found=text[:40]
        ) from error
    moment = _in_utc(moment, text, where)
    if moment <= now:
        raise UsageError("this time is over", where=where, expected=f"after {now:%Y-%m-%d %H:%M} UTC", found=text[:40])
    return moment


def parse_end(text: str, now: datetime, where: str) -> datetime:
    """A time to come, in UTC: after a span such as 30d, 12h, 90m or 2w from `now` on, or as `parse_moment` reads it."""
    span = SPAN.fullmatch(text.strip())
    if span is None:
        return parse_moment(text, now, where)
    try:
        return now + timedelta(**{UNITS[span[2]]: int(span[1])})
    except OverflowError as error:
        raise UsageError("this time is too far away", where=where, found=text[:40]) from error


def _in_utc(moment: datetime, text: str, where: str) -> datetime:
    try:
        return moment.astimezone(UTC)
    except (OverflowError, ValueError) as error:
        raise UsageError("this time is out of range", where=where, found=text[:40]) from error
