"""Deliveries to others: who is told of which event, when it is tried again, and when that ends.

Pure; `now` is passed in. An event is an entry of the trail; docs/notices.md is the manual.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from orchestrator.domain.errors import Problem
from orchestrator.domain.trail import Entry

#: How long a webhook's receiver may be away before an event is given up.
WEBHOOK_PATIENCE = timedelta(days=3)
#: The same for a notice: nobody wants to read much later that a deployment began.
NOTICE_PATIENCE = timedelta(hours=1)
#: The time between two attempts, in seconds: the first, which doubles, and the longest.
FIRST_DELAY = 1.0
LONGEST_DELAY = 600.0
#: By how much of itself a delay is shortened at random, at most: receivers that come back are not met by all at once.
JITTER = 0.25


class Delivered(StrEnum):
    """What has become of a delivery."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one receiver.

    `due_at` is when to try next, None where nobody tries any more; `attempts` counts those since it was made out, or
    since it was repeated. `status` is the HTTP status of the last answer, `problem` why it is not delivered.
    """

    number: int
    receiver: str
    entry: Entry
    created_at: datetime
    gives_up_at: datetime
    attempts: int = 0
    due_at: datetime | None = None
    delivered_at: datetime | None = None
    status: int | None = None
    problem: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Delivered:
        """What has become of it."""
        if self.due_at is not None:
            return Delivered.WAITING
        return Delivered.GIVEN_UP if self.delivered_at is None else Delivered.DELIVERED


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an attempt.

    `problem` says why it was not taken, or what was wrong though it was. `wait` is for how many seconds the receiver
    asks to be left alone; `gone`: it wants nothing any more.
    """

    taken: bool
    status: int | None = None
    problem: Problem | None = None
    wait: float | None = None
    gone: bool = False


def matches(entry: Entry, events: Sequence[str], fleets: Collection[str]) -> bool:
    """Whether an event is one of `events` (``deployment.done``, ``deployment.*``, ``*``) of one of `fleets`.

    No fleets stand for all, and for what belongs to none.
    """
    name = entry.action.name
    group = name.partition(".")[0] + ".*"
    return any(each in ("*", group, name) for each in events) and (not fleets or entry.action.fleet in fleets)


def event_of(entry: Entry) -> dict[str, Any]:
    """The event as others get it: JSON, the time in ISO 8601 and UTC."""
    action = entry.action
    return {
        "number": entry.number,
        "event": action.name,
        "at": entry.at.isoformat(timespec="milliseconds"),
        "actor": action.actor,
        "fleet": action.fleet,
        "deployment": action.deployment,
        "detail": dict(action.detail),
    }


def id_of(delivery: Delivery) -> str:
    """What a delivery is called to its receiver: the same at each attempt, and another one's for no other event.

    Without a dot, which a signature's id can't have; no receiver's name has a ``~``.
    """
    return f"{delivery.entry.number}-{delivery.receiver.replace('.', '~')}"


def following_attempt(delivery: Delivery, answer: Answer, now: datetime, chance: float) -> Delivery:
    """The delivery after an attempt. `chance` is between 0 and 1."""
    problem = {} if answer.problem is None else answer.problem.as_dict()
    known = replace(delivery, status=answer.status, problem=problem, due_at=None)
    if answer.taken:
        return replace(known, delivered_at=now)
    if answer.gone or now >= delivery.gives_up_at:
        return known
    due_at = now + timedelta(seconds=_delay(delivery.attempts, answer.wait, chance))
    return replace(known, due_at=min(due_at, delivery.gives_up_at))


def _delay(attempts: int, asked: float | None, chance: float) -> float:
    """Seconds until the next attempt, after so many."""
    if asked is not None:
        return min(max(asked, FIRST_DELAY), LONGEST_DELAY)
    doubled = FIRST_DELAY * 2.0 ** min(attempts - 1, 20)
    return min(doubled, LONGEST_DELAY) * (1 - JITTER * chance)
