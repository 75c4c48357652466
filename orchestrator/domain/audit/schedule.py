"""What a fleet's schedules of audits ask for at a moment. Pure; docs/audits.md, "The schedule"."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile

from inventory import cron
from inventory.model import Audits
from orchestrator.domain.audit.audit import Outcome

#: Missed moments are counted up to so many.
COUNTED = 1000


@dataclass(frozen=True, slots=True)
class Passed:
    """A moment that gets its row, and no audit."""

    deep: bool
    moment: datetime
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Run:
    """A moment whose audit is to begin now."""

    deep: bool
    moment: datetime


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be done now: first the rows of what passed, in this order, then the audit."""

    passed: tuple[Passed, ...] = ()
    run: Run | None = None


def due(fleet: str, audits: Audits, since: Mapping[bool, datetime], now: datetime) -> Due:
    """What is due for a fleet.

    `since` has for each depth (deep or not) the last moment that has a row, or where the schedule begins; a depth that
    is not there is not scheduled. At most one audit: the latest moment's. Moments before it were missed, and one row
    stands for them. A deep moment covers a quick one that is due too, from the moment on and whatever their delays.
    """
    passed: list[Passed] = []
    latest: dict[bool, datetime] = {}
    for deep, begun in since.items():
        expression = audits.deep if deep else audits.quick
        if expression is None or (moment := cron.latest(expression, now)) <= begun:
            continue
        latest[deep] = moment
        passed += _missed(expression, moment, begun, deep=deep)
    if len(latest) == 2:
        reason = f"the deep audit of {_shown(latest[True])} covers it"
        passed.append(Passed(False, latest.pop(False), Outcome.COVERED, reason))
    for deep, moment in latest.items():
        if now >= moment + delay(fleet, audits, moment, deep=deep):
            return Due(tuple(passed), Run(deep, moment))
    return Due(tuple(passed))


def delay(fleet: str, audits: Audits, moment: datetime, *, deep: bool) -> timedelta:
    """How long after its moment an audit begins: the same for everyone who asks.

    At most half the way to the schedule's next moment, so that a look every 15 s never misses one of them.
    """
    expression = audits.deep if deep else audits.quick
    if expression is None:
        raise ValueError(f"{fleet} has no such schedule")
    room = (cron.following(expression, moment) - moment).total_seconds() / 2
    key = f"{fleet} {moment.isoformat()} {deep}".encode()
    share = int.from_bytes(hashlib.sha256(key).digest()[:4]) / 2**32
    return timedelta(seconds=share * min(audits.jitter_seconds, room))


def _missed(expression: str, moment: datetime, begun: datetime, *, deep: bool) -> list[Passed]:
    """The row for all the moments between; none where there are none."""
    between = takewhile(lambda each: each > begun, cron.earlier(expression, moment))
    missed = list(islice(between, COUNTED + 1))
    if not missed:
        return []
    count = str(len(missed)) if len(missed) <= COUNTED else f"more than {COUNTED}"
    reason = f"nobody looked in time; moments missed since {_shown(begun)}: {count}"
    return [Passed(deep, missed[0], Outcome.MISSED, reason)]


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
