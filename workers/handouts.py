"""What a coordinator has handed to the broker, and what of it is lost. Pure: the caller brings leases and the time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from orchestrator.domain.batch import Batch
from orchestrator.domain.deployment import Report
from orchestrator.domain.effects import Ask
from orchestrator.ports import work_on

#: How long a message may wait for a worker before another one is sent, in seconds: a worker that died with it in its
#: hands has taken it along.
WAIT_SECONDS = 20.0
#: How long the lease of a batch must have been gone before it counts as lost, in seconds: its worker may just be late
#: with it, or be taking it anew in a Redis that was emptied, and a batch that is done twice is the more load.
GRACE_SECONDS = 0.4
#: How often a batch is handed out whose worker is gone, or whose message is lost.
HANDOUTS = 5


@dataclass
class Handout:
    """A batch that was handed to the broker at `since`, and of it what has no report yet.

    `begun`: some worker was seen at work on it. `gone` is since when nobody is, and nobody will be.
    """

    name: str
    batch: Batch
    since: float
    times: int = 1
    begun: bool = False
    gone: float | None = None

    def seen(self, held: bool, forgotten: bool, now: float) -> None:
        """What one look at the broker says of it."""
        if held:
            self.begun, self.gone = True, None
        elif self.gone is None and (self.begun or forgotten or now > self.since + WAIT_SECONDS):
            self.gone = now

    def lost(self, now: float) -> bool:
        """Whether it must be handed out again, if any of it is left."""
        return self.gone is not None and now >= self.gone + GRACE_SECONDS

    def again(self, now: float) -> bool:
        """It is handed out once more; False where that was tried often enough."""
        self.begun, self.gone, self.since = False, None, now
        self.times += 1
        return self.times <= HANDOUTS


class Handouts:
    """The batches of one step. Times are of a monotonic clock, in seconds."""

    def __init__(self, number: int, batches: Iterable[Batch], now: float) -> None:
        self._open = [Handout(work_on(number, batch), batch, now) for batch in batches]
        self._of = {(ask.frontend, ask.attempt): each for each in self._open for ask in each.batch.asks}

    @property
    def left(self) -> list[Ask]:
        """Who has not reported yet."""
        return [ask for each in self._open for ask in each.batch.asks]

    @property
    def leases(self) -> list[str]:
        """The leases under which workers do them."""
        return [each.name for each in self._open]

    def heard(self, report: Report) -> bool:
        """Whether somebody waited for this report. Nobody does any more."""
        handout = self._of.pop((report.frontend, report.attempt), None)
        if handout is None:
            return False
        handout.batch = handout.batch.only(set(handout.batch.frontends) - {report.frontend})
        if not handout.batch.frontends:
            self._open.remove(handout)
        return True

    def look(self, held: Collection[str], now: float, *, forgotten: bool) -> None:
        """These leases are held; `forgotten` where the broker has lost its memory since the last look."""
        for each in self._open:
            each.seen(each.name in held, forgotten, now)

    def again(self, now: float) -> Sequence[Batch]:
        """What is lost, with those alone who have not reported; from now on it counts as handed out again."""
        lost = [each for each in self._open if each.lost(now)]
        return [each.batch for each in lost if each.again(now)]
