"""A worker's process: it leads what reaches it through the queue and what its lookout finds, and looks after drains."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from orchestrator.domain.coordination import Coordination
from orchestrator.domain.errors import LockstepError
from orchestrator.domain.rotation import Drain
from orchestrator.services.coordinator import Coordinator
from orchestrator.services.gates import Gatekeeper
from orchestrator.services.leading import lead
from orchestrator.services.recovery import Lookout
from orchestrator.services.rotation import in_force, let_back
from tests.simulator.actors import Actor, Process
from tests.simulator.fleet import SteppedFleet, take_out
from tests.simulator.gates import SteppedGates, SteppedTrail
from tests.simulator.ports import SteppedInbox

if TYPE_CHECKING:
    from tests.simulator.world import World


#: Looks with so long a pause between them find whatever there is.
MOST_LOOKS = 4
LONG_SECONDS = 70.0


def never() -> bool:
    """Not before it is wanted."""
    return False


class Worker:
    """One process."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.process = Process(name, remembers=world.size.compared)
        self._ledger = world.ledger_of()
        self._leases = world.leases(self.process)
        self._leaders: list[Actor] = []
        self._sentry: Actor = self.process.begin("lookout", self._watch)
        self._sentry.ready = never

    @property
    def looks(self) -> bool:
        """Whether its lookout waits for the next look."""
        return self._sentry.ready is never

    @property
    def leads(self) -> int:
        """How many deployments it leads, or is about to."""
        return sum(not actor.over for actor in self._leaders)

    def look(self) -> None:
        """Begin the next look."""
        self._sentry.ready = _at_any_time

    def find(self) -> None:
        """Look until there is something to lead. What it has seen until then makes no difference to anything."""
        threads = len(self.process.actors)
        for _ in range(MOST_LOOKS):
            self.world.now += LONG_SECONDS
            self.look()
            while not self.looks:
                self.world.resume(self._sentry)
            if len(self.process.actors) > threads:
                break
        self._sentry.learned = 0

    def does(self, task: str, number: int) -> None:
        """A message reached it."""
        if task == "coordinate":
            self._lead(number)
        else:
            self.process.begin(f"drain {number}", partial(self._drain_or_not, number))

    def _watch(self) -> None:
        lookout = Lookout(self._ledger, self._leases, self.world.clock, lambda: self.world.now)
        while True:
            # The ledger or the broker may be silent: the next look is another one.
            with contextlib.suppress(LockstepError):
                for number in lookout.look():
                    self._lead(number)
                self._look_after_drains()
            self.world.running.now.pause("look", never)

    def _look_after_drains(self) -> None:
        for drain in self._ledger.drains():
            standing = in_force(self._ledger, drain.number)
            if standing is None:
                continue
            if not standing.confirmed:
                self._drain(drain.number)
            elif drain.frontend in self.world.ready:
                self.world.balance(drain.frontend, ready=False)
                self._use_again(standing)

    def _lead(self, number: int) -> None:
        world = self.world

        def fleet() -> SteppedFleet:
            return SteppedFleet(world, self.process, self._ledger, number)

        inbox = SteppedInbox(world.running)

        def machine(*words: Any, **options: Any) -> Coordination:
            inbox.machine = world.rules.machine(*words, **options)
            return inbox.machine

        book = world.size.gates
        gates = None if book is None else Gatekeeper(SteppedGates(world, self.process, book), SteppedTrail(world))
        coordinator = partial(Coordinator, inbox=inbox, machine=machine, gates=gates)
        act = partial(lead, self._ledger, self._leases, number, fleet, coordinator)
        self._leaders.append(self.process.begin(f"lead {number}", act))

    def _drain_or_not(self, number: int) -> None:
        # Where it fails, the next look finds it.
        with contextlib.suppress(LockstepError):
            self._drain(number)

    def _drain(self, number: int) -> None:
        """As `workers.tasks.deployment.drain` does."""
        standing = in_force(self._ledger, number)
        if standing is None:
            return
        by = take_out(self.world, self.process, standing.frontend, standing.name, number)
        self._ledger.confirm_drain(number, by)
        self._use_again(standing)

    def _use_again(self, standing: Drain) -> None:
        if let_back(self._ledger, standing.number):
            self.world.balance(standing.frontend, ready=True)


def _at_any_time() -> bool:
    return True
