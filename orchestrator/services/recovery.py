"""Recovery: which open deployments need somebody to lead them now. docs/protocol.md, "Recovery".

Every worker looks, again and again. What it decides by is the ledger; the leases only tell it whom to leave alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.domain.deployment import Decision, Deployment, State, Trouble
from orchestrator.domain.errors import Problem, UnansweredError
from orchestrator.ports import Clock, Deployments, Leases, lead_of

#: How often a worker looks, in seconds.
LOOK_SECONDS = 0.2
#: How long a lease must have been gone before anybody takes over, in seconds: its holder may just be renewing it in a
#: Redis that was emptied.
GRACE_SECONDS = 0.4
#: How long a new deployment's message has to reach a worker, before a worker that looks takes the lead.
START = timedelta(seconds=5)
#: How long a committed deployment rests before its frontends are asked again, in seconds: first, and at most.
RETRY_SECONDS = (2.0, 60.0)


class Due(StrEnum):
    """What an open deployment is due for."""

    #: Its hold is over.
    CONTINUE = "continue"
    #: Nobody continued it in time.
    EXPIRE = "expire"
    #: It goes on as long as somebody leads it.
    LEAD = "lead"


def due(deployment: Deployment, now: datetime) -> Due | None:
    """What a deployment needs now; None where it has ended, waits for its time, or for its first worker."""
    plan = deployment.plan
    if deployment.state.ended or (deployment.state is State.PLANNED and now - deployment.created_at < START):
        return None
    if deployment.state is not State.PREPARED:
        return Due.LEAD
    # Without its hold it was released already, and the message to go on got lost.
    if not plan.hold or (plan.due_at is not None and plan.due_at <= now and not plan.four_eyes):
        return Due.CONTINUE
    if plan.expires_at is not None and plan.expires_at <= now:
        return Due.EXPIRE
    return None


class Lookout:
    """One worker's look at all open deployments. Used from one thread."""

    def __init__(
        self, ledger: Deployments, leases: Leases, clock: Clock, elapsed: Callable[[], float] = time.monotonic
    ) -> None:
        self._ledger = ledger
        self._leases = leases
        self._clock = clock
        self._elapsed = elapsed
        # Since when nobody leads a deployment, and when it may be led again and after which pause, in seconds.
        self._alone: dict[int, float] = {}
        self._next: dict[int, tuple[float, float]] = {}

    def look(self) -> list[int]:
        """The deployments that this worker should lead now: what is due by time is released or aborted first."""
        rows = {row.id: row for row in self._ledger.unfinished()}
        wanted = {number: what for number, row in rows.items() if (what := due(row, self._clock())) is not None}
        lapsed = self._lapsed(wanted)
        for number in lapsed:
            self._settle(rows[number], wanted[number])
        return lapsed

    def _lapsed(self, wanted: Iterable[int]) -> list[int]:
        now, numbers = self._elapsed(), list(wanted)
        try:
            held = self._leases.held([lead_of(number) for number in numbers])
        except UnansweredError:
            # Nobody can tell who leads. Whoever does goes on without a lease; taking over would only abort it.
            self._alone.clear()
            return []
        alone = [number for number in numbers if lead_of(number) not in held]
        self._alone = {number: self._alone.get(number, now) for number in alone}
        self._next = {number: when for number, when in self._next.items() if number in wanted}
        return [
            number for number in alone if now - self._alone[number] >= GRACE_SECONDS and self._may_retry(number, now)
        ]

    def _may_retry(self, number: int, now: float) -> bool:
        """Whether it was not led a short time ago: a frontend that is gone is asked less and less often."""
        when, pause = self._next.get(number, (now, RETRY_SECONDS[0]))
        if now < when:
            return False
        self._next[number] = (now + pause, min(2 * pause, RETRY_SECONDS[1]))
        return True

    def _settle(self, row: Deployment, what: Due) -> None:
        match what:
            case Due.CONTINUE:
                self._ledger.release_hold(row.id)
            case Due.EXPIRE:
                expired = Problem(
                    "the hold expired",
                    expected=f"`lockstep continue {row.id}` by {row.plan.expires_at:%Y-%m-%d %H:%M} UTC",
                    remedy="deploy again",
                )
                self._ledger.decide(row.id, Decision.ABORT, [Trouble("hold", "", expired.as_dict())])
            case Due.LEAD:
                pass
