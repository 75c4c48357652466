"""Gates in a simulated world: commands that take as long as the scheduler wants, and say what a seed chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from inventory.model import Gate, Gates
from orchestrator.domain.effects import GateName
from orchestrator.domain.errors import Problem
from orchestrator.domain.trail import Action, Entry, following
from orchestrator.ports import GateRun
from tests.simulator.actors import Process
from tests.simulator.releases import EPOCH

if TYPE_CHECKING:
    from tests.simulator.world import World

#: A fleet with a command at every gate.
EVERYWHERE = Gates(**{name: Gate(command=("/gate",)) for name in GateName})
#: How often a command refuses.
REFUSES = 0.12


class Book:
    """What commands said, for whoever judges: by the number of the deployment and the gate."""

    def __init__(self, seed: int) -> None:
        self.random = Random(f"gates {seed}")
        self.begun: list[tuple[int, GateName]] = []
        self.passed: set[tuple[int, GateName]] = set()
        self.refused: set[tuple[int, GateName]] = set()
        self.called_off: set[tuple[int, GateName]] = set()


class SteppedGates:
    """`orchestrator.ports.Gates` of one coordinator."""

    def __init__(self, world: World, process: Process, book: Book) -> None:
        self._world = world
        self._process = process
        self._book = book
        self._present: tuple[int, GateName] | None = None

    def run(
        self,
        name: GateName,
        command: Sequence[str],
        seconds: float,
        environment: Mapping[str, str],
        deliver: Callable[[GateRun], None],
    ) -> None:
        """Begin; it ends when the scheduler wants it to."""
        del command, seconds
        self._present = present = (int(environment["LOCKSTEP_DEPLOYMENT"]), name)
        self._book.begun.append(present)
        refuses = self._book.random.random() < REFUSES

        def end() -> None:
            self._world.running.now.pause(f"gate {name}")
            if self._present != present:
                return
            self._present = None
            (self._book.refused if refuses else self._book.passed).add(present)
            deliver(GateRun(name, 1.0, int(refuses), Problem("the gate refused") if refuses else None))

        self._world.begin(self._process, f"gate {name}", end)

    def call_off(self) -> GateRun | None:
        """It has ended."""
        present, self._present = self._present, None
        if present is None:
            return None
        self._book.called_off.add(present)
        return GateRun(present[1], 1.0, None, Problem("the gate was called off"))


class SteppedTrail:
    """`orchestrator.ports.Trail`, of which only the writing is of any consequence here: it may come at any time."""

    def __init__(self, world: World) -> None:
        self._world = world

    def add(self, action: Action) -> Entry:
        """Forgotten at once."""
        self._world.running.now.pause(f"keep {action.name}")
        return following(action, EPOCH + timedelta(seconds=self._world.now))

    def entries(self, after: int = 0, limit: int = 500, *, fleet: str | None = None) -> Sequence[Entry]:
        """Nobody asks."""
        raise AssertionError(f"nothing here reads the trail: {after} {limit} {fleet}")

    def newest(self, limit: int, *, fleet: str | None = None) -> Sequence[Entry]:
        """Nobody asks."""
        raise AssertionError(f"nothing here reads the trail: {limit} {fleet}")

    def last(self) -> Entry | None:
        """Nobody asks."""
        raise AssertionError("nothing here reads the trail")
