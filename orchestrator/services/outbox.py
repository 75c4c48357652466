"""The outbox: tells receivers what the trail says, each event at least once, in order, however often anything dies.

It reads the trail and writes rows of its own: no deployment waits for it (docs/notices.md).
"""

from __future__ import annotations

import random
import traceback
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import structlog

from orchestrator.domain.delivery import Answer, Delivery, event_of, following_attempt, id_of
from orchestrator.domain.errors import LockstepError, Problem, UsageError
from orchestrator.domain.trail import Entry
from orchestrator.ports import SEND_SECONDS, Clock, Deliveries, Position, Receiver, Trail

log = structlog.get_logger()

#: Entries of the trail that are looked at in one transaction.
PAGE = 200
#: How long an attempt is one worker's own. Only where that worker died does another try begin after it.
CLAIM = timedelta(seconds=6 * SEND_SECONDS)
#: Deliveries that are repeated in one go.
MOST_REPEATED = 1000


class Outbox:
    """What one worker does for all receivers. Safe to use from several threads, and beside other workers' outboxes."""

    def __init__(
        self, deliveries: Deliveries, trail: Trail, clock: Clock, chance: Callable[[], float] = random.random
    ) -> None:
        self._deliveries = deliveries
        self._trail = trail
        self._clock = clock
        self._chance = chance

    def look(self, receivers: Mapping[str, Receiver]) -> list[str]:
        """Make out what is new, and name the receivers for which something is due. One query where nothing is new."""
        positions = self._deliveries.positions()
        behind = [each for name, each in positions.items() if name in receivers and each.position < each.last]
        new = [name for name in receivers if name not in positions]
        for name in new:
            self._deliveries.begin(name)
        failed: LockstepError | None = None
        for position in behind:
            try:
                self._make_out(receivers[position.receiver], position)
            except LockstepError as error:
                # What is made out already is delivered first.
                failed = error
        if behind:
            positions = self._deliveries.positions()
        now = self._clock()
        due = [name for name, each in positions.items() if name in receivers and _is_due(each.due_at, now)]
        if failed is not None and not due:
            raise failed
        return due

    def deliver(self, receiver: Receiver) -> bool:
        """Make one attempt at the receiver's first delivery, if it is due; whether it was taken, so that more may be.

        Later deliveries wait for the first one, until it is taken or given up.
        """
        first = self._deliveries.first(receiver.name)
        if first is None or not _is_due(first.due_at, self._clock()):
            return False
        claimed = self._deliveries.claim(first, self._clock() + CLAIM)
        if claimed is None:
            return False
        answer = _attempt(receiver, id_of(claimed), claimed.entry)
        after = following_attempt(claimed, answer, self._clock(), self._chance())
        kept = self._deliveries.settle(claimed, after)
        _say(after, answer)
        return kept and after.due_at is None

    def repeat(self, number: int, receivers: Mapping[str, Receiver], actor: str) -> Delivery:
        """Deliver it again, now. `UsageError` where there is no such delivery, or its receiver is no more."""
        found = self._deliveries.delivery(number)
        if found is None:
            raise UsageError(f"there is no delivery {number}", remedy="see: lockstep hooks log")
        self._repeat([found], receivers, actor)
        return self._deliveries.delivery(number) or found

    def repeat_failed(self, name: str, receivers: Mapping[str, Receiver], actor: str) -> int:
        """Deliver again what was given up for a receiver, at most `MOST_REPEATED`; how many these are."""
        found = self._deliveries.deliveries(name, failed=True, limit=MOST_REPEATED)
        if name not in receivers:
            raise _unknown(name, receivers)
        if found:
            self._repeat(found, receivers, actor)
        return len(found)

    def _repeat(self, chosen: list[Delivery], receivers: Mapping[str, Receiver], actor: str) -> None:
        for delivery in chosen:
            if delivery.receiver not in receivers:
                raise _unknown(delivery.receiver, receivers)
        self._deliveries.repeat({each.number: receivers[each.receiver].patience for each in chosen}, actor)

    def _make_out(self, receiver: Receiver, position: Position) -> None:
        """The next page of the trail; what is behind it comes with the next look."""
        page = self._trail.entries(position.position, PAGE)
        if page:
            wanted = [entry.number for entry in page if receiver.wants(entry)]
            until = page[-1].number
            self._deliveries.make_out(receiver.name, position.position, until, wanted, receiver.patience)


def fault(error: Exception) -> dict[str, str]:
    """A fault of ours, for the log: what it is and where, without its text, which may repeat an address."""
    frames = traceback.extract_tb(error.__traceback__)
    places = "; ".join(f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)
    return {"fault": type(error).__name__, "places": places}


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """A delivery as programs read it. `next_try` is None where nobody tries any more."""
    return {
        "id": delivery.number,
        "receiver": delivery.receiver,
        "state": delivery.state.value,
        "attempts": delivery.attempts,
        "status": delivery.status,
        "created_at": _time(delivery.created_at),
        "next_try": _time(delivery.due_at),
        "delivered_at": _time(delivery.delivered_at),
        "gives_up_at": _time(delivery.gives_up_at),
        "problem": dict(delivery.problem),
        "webhook_id": id_of(delivery),
        "event": event_of(delivery.entry),
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")


def _is_due(due_at: datetime | None, now: datetime) -> bool:
    return due_at is not None and due_at <= now


def _attempt(receiver: Receiver, name: str, entry: Entry) -> Answer:
    try:
        return receiver.send(name, entry)
    except LockstepError as error:
        return Answer(taken=False, problem=error.problem)
    except Exception as error:  # a fault of ours must not end the deliveries that come after it
        log.error("a delivery failed", receiver=receiver.name, **fault(error))  # noqa: TRY400
        return Answer(taken=False, problem=Problem("a fault of Lockstep", found=type(error).__name__))


def _say(delivery: Delivery, answer: Answer) -> None:
    words: dict[str, Any] = {
        "receiver": delivery.receiver,
        "delivery": delivery.number,
        "event_number": delivery.entry.number,
        "event_name": delivery.entry.action.name,
        "attempts": delivery.attempts,
        "status": answer.status,
    }
    if answer.problem is None:
        log.info("delivered", **words)
        return
    word = "delivered, but" if answer.taken else "not delivered" if delivery.due_at is not None else "given up"
    log.warning(word, **words, **answer.problem.as_dict())


def _unknown(name: str, receivers: Mapping[str, Receiver]) -> UsageError:
    return UsageError(
        f"hooks.yml has no {name}",
        expected=f"one of {', '.join(sorted(receivers))}" if receivers else "a webhook or a notice in hooks.yml",
        remedy="a receiver that was removed gets nothing any more; see: lockstep hooks check",
    )
