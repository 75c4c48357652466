"""Wires a worker process: the orchestrator's parts, the open connections, the packs. Importing it does nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property, lru_cache, partial

from inventory.model import Fleet, Frontend
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.activation import ActivationName
from orchestrator.domain.effects import Ask
from orchestrator.domain.errors import UsageError
from orchestrator.domain.rotation import Drain
from orchestrator.services.gates import Gatekeeper
from workers.crew import Crew
from workers.distribution.packs import PackShelf
from workers.fleet import SshFleet
from workers.frontend.connections import Connections
from workers.frontend.job import Job, Prepared, prepared
from workers.frontend.steps import Detail, Steps
from workers.frontend.transport import Session
from workers.gates import LocalGates

#: Deployments whose layouts a worker keeps at hand.
DEPLOYMENTS_AT_HAND = 8


class Workshop:
    """What the tasks of one process share. Safe to use from several threads."""

    def __init__(self, lockstep: Lockstep) -> None:
        self.lockstep = lockstep
        self.connections = Connections()
        self._prepared = lru_cache(maxsize=DEPLOYMENTS_AT_HAND)(self._prepare)
        self._preparing = threading.Lock()
        self.crew = Crew(self.do)

    @cached_property
    def steps(self) -> Steps:
        """The steps on a frontend."""
        shelf = PackShelf(self.lockstep.settings.home / "packs")
        return Steps(self.connections, shelf, self.lockstep.artifacts)

    def job(self, number: int, frontend: str) -> Job:
        """One frontend of one deployment; `UsageError` where the ledger knows neither."""
        with self._preparing:  # once, not by every thread at the same moment
            known = self._prepared(number)
        server = known.fleet.frontend(frontend)
        if server is None:
            raise UsageError(f"deployment {number} has no frontend {frontend}")
        return Job(known, server)

    def do(self, number: int, ask: Ask) -> Detail:
        """One step of one frontend."""
        return self.steps.do(ask.step, self.job(number, ask.frontend))

    def fleet(self, number: int) -> SshFleet:
        """The frontends of a deployment, for its coordinator."""
        lockstep = self.lockstep
        jobs = partial(self.job, number)
        return SshFleet(number, jobs, self.steps, lockstep.ledger, lockstep.dispatch, lockstep.leases, self.crew)

    def gatekeeper(self) -> Gatekeeper:
        """The gates of one deployment, for its coordinator."""
        return Gatekeeper(LocalGates(), self.lockstep.trail)

    def of_drain(self, fleet: Fleet, drain: Drain) -> tuple[Frontend, ActivationName, int, Callable[[], Session]]:
        """What it takes to drain: the frontend, the epoch, the drain's number and the way to it."""
        frontend = fleet.frontend(drain.frontend)
        if frontend is None:
            raise UsageError(f"{fleet.key} has no frontend {drain.frontend}")
        # Deployments have positive numbers.
        return frontend, drain.name, drain.number, partial(self.connections.session, -drain.number, frontend)

    def _prepare(self, number: int) -> Prepared:
        return prepared(self.lockstep.ledger, self.lockstep.artifacts, number, self.lockstep.clock())
