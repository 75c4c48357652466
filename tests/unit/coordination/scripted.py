"""A fleet that answers as a test says, and a ledger that tells what is asked of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.domain.deployment import Decision, Deployment, Outcome, Report, State, Trouble
from orchestrator.domain.effects import Ask
from orchestrator.domain.trail import ITSELF
from tests.protocol.simulation.ledger import MemoryLedger
from tests.unit.coordination.rows import report

#: What a frontend answers; None for nothing.
Answers = Callable[[Ask], Report | None]


def accepted(ask: Ask) -> Report:
    """Everything goes well."""
    return report(ask.frontend, ask.step, attempt=ask.attempt)


def failing(ask: Ask) -> Report:
    """Nobody knows."""
    return report(ask.frontend, ask.step, Outcome.UNKNOWN, ask.attempt)


class ScriptedFleet:
    """`orchestrator.ports.Fleet`. `calls` are the groups in which it was asked; `close` is noted as an empty one."""

    def __init__(self, answers: Answers = accepted, calls: list[object] | None = None) -> None:
        self._answers = answers
        self.calls: list[object] = [] if calls is None else calls
        self.closed = 0

    def ask(self, asks: Sequence[Ask], deliver: Callable[[Report], None]) -> None:
        """Answers at once."""
        self.calls.append([(ask.step, ask.frontend, ask.attempt) for ask in asks])
        for ask in asks:
            answer = self._answers(ask)
            if answer is not None:
                deliver(answer)

    def close(self) -> None:
        """Counted."""
        self.closed += 1


class WatchedLedger(MemoryLedger):
    """Counts how often a row is read, and lets a test act at a reading; notes decisions among a fleet's calls."""

    def __init__(self, at_reading: Callable[[int], None] = lambda readings: None) -> None:
        super().__init__()
        self._at_reading = at_reading
        self.readings = 0
        self.calls: list[object] = []

    def deployment(self, number: int) -> Deployment | None:
        """A reading."""
        self._read()
        return super().deployment(number)

    def decision(self, number: int) -> Decision | None:
        """A reading."""
        self._read()
        return super().decision(number)

    def _read(self) -> None:
        self.readings += 1
        self._at_reading(self.readings)

    def move(self, number: int, before: State, after: State) -> tuple[State, bool]:
        """Noted."""
        self.calls.append(after)
        return super().move(number, before, after)

    def decide(
        self, number: int, decision: Decision, troubles: Sequence[Trouble], *, actor: str = ITSELF
    ) -> Decision | None:
        """Noted."""
        self.calls.append(decision)
        return super().decide(number, decision, troubles, actor=actor)
