"""People at terminals: the use cases of the services, at moments that a seed chooses."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from orchestrator.domain.deployment import Deployment, Kind, State
from orchestrator.domain.errors import LockstepError
from orchestrator.services.deployments import Deploying, Schedule
from orchestrator.services.rotation import Rotating
from tests.simulator.actors import Process
from tests.simulator.releases import APP, NO_BUILDS, VERSIONS

if TYPE_CHECKING:
    from tests.simulator.world import World


class Deployer:
    """Deploys, rolls back and holds, one deployment after the other."""

    def __init__(self, world: World, random: Random, deployments: int) -> None:
        self._world = world
        self._random = random
        self._deployments = deployments

    def work(self, process: Process) -> None:
        """All of them."""
        del process
        world = self._world
        deploying = Deploying(world.ledger_of(), world.artifacts, world.dispatch(), world.clock, NO_BUILDS)
        for turn in range(self._deployments):
            world.running.now.pause("wait for the fleet", self._free)
            hold = self._random.random() < 0.25
            try:
                if turn and self._random.random() < 0.3:
                    row = deploying.rollback(world.fleet, None, Schedule(hold), "ann")
                else:
                    changes = {APP: self._random.choice(VERSIONS)}
                    row = deploying.deploy(world.fleet, changes, Schedule(hold), "ann")
            except LockstepError:
                continue
            if hold:
                self._go_on(deploying, row.id)

    def _go_on(self, deploying: Deploying, number: int) -> None:
        world = self._world

        def decidable() -> bool:
            row = world.ledger.deployment(number)
            return row is not None and (row.state is State.PREPARED or row.state.ended)

        world.running.now.pause("wait for the hold", decidable)
        try:
            if self._random.random() < 0.7:
                deploying.proceed(number, "operator")
            else:
                deploying.abort(number, "ann")
        except LockstepError:
            # Somebody else was faster.
            return

    def _free(self) -> bool:
        return self._world.ledger.open_deployment(self._world.fleet.key) is None


class Meddler:
    """Aborts, drains, readmits and continues, whatever else goes on."""

    def __init__(self, world: World, random: Random, commands: int) -> None:
        self._world = world
        self._random = random
        self._commands = commands
        self._due = 0.0

    def work(self, process: Process) -> None:
        """One command, and the next one some time later."""
        del process
        world = self._world
        ledger, dispatch = world.ledger_of(), world.dispatch()
        deploying = Deploying(ledger, world.artifacts, dispatch, world.clock, NO_BUILDS)
        rotating = Rotating(ledger, dispatch)
        for _ in range(self._commands):
            self._due = world.now + self._random.choice((0.2, 0.6, 1.5, 3.0))
            world.running.now.pause("look at the clock", lambda: self._world.now >= self._due)
            try:
                self._meddle(deploying, rotating)
            except LockstepError:
                # Refused, or nobody knows: people go on all the same.
                continue

    def _command(self, held: Deployment | None, drained: bool) -> str:
        """What is most likely to be in the way of what goes on."""
        if held is not None and held.plan.kind is Kind.READMIT and self._random.random() < 0.6:
            return "drain again"
        if held is None and drained and self._random.random() < 0.6:
            return "readmit"
        return self._random.choice(("abort", "drain", "drain", "readmit", "continue"))

    def _meddle(self, deploying: Deploying, rotating: Rotating) -> None:
        world, random = self._world, self._random
        held = world.ledger.open_deployment(world.fleet.key)
        frontend = random.choice(sorted(world.frontends))
        drained = [drain.frontend for drain in world.ledger.drains(world.fleet.key)]
        match self._command(held, bool(drained)):
            case "drain again" if held is not None:
                rotating.drain(world.fleet, random.choice(held.plan.frontends), "bob", "test")
            case "abort" if held is not None:
                deploying.abort(held.id, "bob")
            case "continue" if held is not None:
                deploying.proceed(held.id, "operator")
            case "drain":
                rotating.drain(world.fleet, frontend, "bob", "test")
            case "readmit":
                deploying.readmit(world.fleet, [random.choice(drained) if drained else frontend], "bob")
            case _:
                return
