"""Batches: the frontends of one step that one message hands to a worker."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from orchestrator.domain.deployment import Step
from orchestrator.domain.effects import Ask

#: Frontends of a batch at most: a third of what a worker does at once (`workers.crew.AT_ONCE`), so that it takes the
#: next batch while others still run. 1,000 frontends are 63 messages; a worker that dies loses at most so many steps
#: for each batch that it holds.
MOST = 16
#: Into so many batches a small fleet is split at least, so that several workers share it as well.
SHARES = 4


@dataclass(frozen=True, slots=True)
class Batch:
    """Frontends that are asked to do the same step in the same attempt.

    `name` is the first frontend of the batch as it was handed out first. It stays when it is handed out again with
    those frontends alone that have not reported, so that both are known as the same work.
    """

    step: Step
    attempt: int
    name: str
    frontends: tuple[str, ...]

    @property
    def asks(self) -> tuple[Ask, ...]:
        """What is asked of its frontends."""
        return tuple(Ask(self.step, frontend, self.attempt) for frontend in self.frontends)

    def only(self, frontends: Collection[str]) -> Batch:
        """The same batch with none but these, in its own order."""
        return replace(self, frontends=tuple(name for name in self.frontends if name in frontends))


def batches(asks: Sequence[Ask]) -> Iterator[Batch]:
    """All of these askings, in their order, as batches; the same askings always give the same batches."""
    for (step, attempt), group in groupby(asks, key=lambda ask: (ask.step, ask.attempt)):
        names = [ask.frontend for ask in group]
        size = min(MOST, -(-len(names) // SHARES))
        for first in range(0, len(names), size):
            yield Batch(step, attempt, names[first], tuple(names[first : first + size]))
