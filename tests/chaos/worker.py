"""A worker with traps in it: `lockstep-worker`, its ledger and its armed frontends wrapped.

LOCKSTEP_CHAOS=DIRECTORY python -m tests.chaos.worker [CELERY OPTION…]
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

from sqlalchemy import Engine

from orchestrator.adapters.ledger.engine import open_engine, upgrade
from orchestrator.adapters.ledger.repository import SqlLedger
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.deployment import Decision, State, Step, Trouble
from orchestrator.domain.effects import Ask
from orchestrator.domain.trail import ITSELF
from orchestrator.ports import Clock
from orchestrator.settings import Settings
from tests.chaos.points import Point
from tests.chaos.trap import Trap
from workers import app
from workers.bootstrap import Workshop
from workers.fleet import Deliver, SshFleet
from workers.frontend.armed import Armed
from workers.frontend.steps import Steps

#: The variable that names the traps' directory.
DIRECTORY = "LOCKSTEP_CHAOS"

_MOVES = {
    State.STAGING: Point.STAGING,
    State.VERIFYING: Point.VERIFYING,
    State.PREPARED: Point.PREPARED,
    State.ARMING: Point.ARMING,
    State.FINISHING: Point.FINISHING,
    State.DONE: Point.DONE,
}


class TrappedLedger(SqlLedger):
    """Passes by after each move, and on both sides of the commit."""

    def __init__(self, engine: Engine, clock: Clock, trap: Trap) -> None:
        super().__init__(engine, clock)
        self._trap = trap

    def move(self, number: int, before: State, after: State) -> tuple[State, bool]:
        """A move, then its point."""
        return self._passed(number, super().move(number, before, after))

    def prepare(self, number: int) -> tuple[State, bool]:
        """To prepared or arming, then its point."""
        return self._passed(number, super().prepare(number))

    def decide(
        self, number: int, decision: Decision, troubles: Sequence[Trouble], *, actor: str = ITSELF
    ) -> Decision | None:
        """The decision, between its two points where it is to commit."""
        if decision is Decision.COMMIT:
            self._trap.pass_by(Point.BEFORE_DECISION, number)
        stands = super().decide(number, decision, troubles, actor=actor)
        if decision is Decision.COMMIT:
            self._trap.pass_by(Point.AFTER_DECISION, number)
        return stands

    def _passed(self, number: int, stands: tuple[State, bool]) -> tuple[State, bool]:
        state, moved = stands
        if moved and state in _MOVES:
            self._trap.pass_by(_MOVES[state], number)
        return stands


class TrappedArmed(Armed):
    """Gives the first frontend its word, passes by, and gives the others theirs."""

    def __init__(self, steps: Steps, trap: Trap, number: int) -> None:
        super().__init__(steps)
        self._trap = trap
        self._number = number

    def give_word(self, limits: Mapping[str, float]) -> dict[str, Exception]:
        """The words, with a point between them and one after them, where anybody waits for one."""
        first, others = dict(list(limits.items())[:1]), dict(list(limits.items())[1:])
        failed = super().give_word(first)
        if others:
            self._trap.pass_by(Point.BETWEEN_WORDS, self._number)
            failed |= super().give_word(others)
            self._trap.pass_by(Point.AFTER_WORDS, self._number)
        return failed


class TrappedFleet(SshFleet):
    """Passes by before it disarms anybody, and says when its coordinator has come to its end."""

    def __init__(self, number: int, workshop: TrappedWorkshop) -> None:
        lockstep, jobs = workshop.lockstep, partial(workshop.job, number)
        super().__init__(
            number, jobs, workshop.steps, lockstep.ledger, lockstep.dispatch, lockstep.leases, workshop.crew
        )
        self._armed = TrappedArmed(workshop.steps, workshop.trap, number)
        self._trap = workshop.trap

    def ask(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        """Begin these askings."""
        if any(ask.step is Step.DISARM for ask in asks):
            self._trap.pass_by(Point.ABORTING, self._number)
        super().ask(asks, deliver)

    def close(self) -> None:
        """End what is still open."""
        super().close()
        self._trap.rest(self._number)


class TrappedLockstep(Lockstep):
    """With the trapped ledger."""

    def __init__(self, settings: Settings, trap: Trap) -> None:
        super().__init__(settings)
        self._trap = trap

    @cached_property
    def ledger(self) -> TrappedLedger:
        """The ledger, its schema brought up to date."""
        engine = open_engine(self.settings.ledger_url)
        upgrade(engine)
        return TrappedLedger(engine, self.clock, self._trap)


class TrappedWorkshop(Workshop):
    """With the trapped ledger, and with trapped fleets."""

    def __init__(self, lockstep: Lockstep) -> None:
        self.trap = Trap(Path(os.environ[DIRECTORY]))
        super().__init__(TrappedLockstep(lockstep.settings, self.trap))

    def fleet(self, number: int) -> SshFleet:
        """The frontends of a deployment, for its coordinator."""
        return TrappedFleet(number, self)


if __name__ == "__main__":
    app.main(TrappedWorkshop)
