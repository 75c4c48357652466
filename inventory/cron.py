"""Cron expressions of five fields, in UTC: whether a text is one, and the moments that it names.

`cronsim` evaluates them, as Debian's cron does: where both days are restricted, either will do; a day field that begins
with a star restricts together with the other one. Its own dialect (seconds, `L`, `#`) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

_VALUE = r"(?:[0-9]{1,2}|[A-Za-z]{3})"
#: A step goes with a star or a range of numbers.
_ITEM = rf"(?:\*|[0-9]{{1,2}}-[0-9]{{1,2}})/[0-9]{{1,2}}|\*|{_VALUE}-{_VALUE}|{_VALUE}"
#: `cronsim` takes 5-5/1 for "from 5 on".
_NARROW = re.compile(r"(?<![0-9])0?([0-9]{1,2})-0?\1/")
_FIELD = rf"(?:{_ITEM})(?:,(?:{_ITEM}))*"
_EXPRESSION = re.compile(rf"{_FIELD}(?: +{_FIELD}){{4}}")
#: As long as an expression may be.
LONGEST = 200
#: Every date comes again within so many years, a leap day on a given weekday included.
_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


def usable(text: str) -> str:
    """The text, if it is an expression that names moments; else `ValueError`."""
    if len(text) <= LONGEST and _EXPRESSION.fullmatch(text) and not _NARROW.search(text):
        try:
            next(CronSim(text, _BEGINNING))
        except StopIteration:
            raise ValueError("expected a cron expression whose moments come") from None
        except CronSimError:
            pass
        else:
            return text
    raise ValueError("expected a cron expression of five fields that names moments, such as '30 2 * * SUN'")


def latest(expression: str, now: datetime) -> datetime:
    """The last moment at or before `now`, which is in UTC."""
    return next(CronSim(expression, now.replace(microsecond=0) + timedelta(seconds=1), reverse=True))


def earlier(expression: str, moment: datetime) -> Iterator[datetime]:
    """The moments before this one, the latest first."""
    return CronSim(expression, moment, reverse=True)


def following(expression: str, moment: datetime) -> datetime:
    """The first moment after this one."""
    return next(CronSim(expression, moment))
