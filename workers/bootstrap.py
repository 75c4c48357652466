"""Wires a worker process: the orchestrator's parts, the open connections, the packs. Importing it does nothing."""

from __future__ import annotations

import threading
from functools import cached_property, lru_cache

from inventory.model import Fleet
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.deployment import Deployment
from orchestrator.domain.errors import UsageError
from orchestrator.domain.layout import Layout
from orchestrator.domain.release import Manifest
from orchestrator.ota.layouts import layout
from orchestrator.services.coordinator import found
from orchestrator.services.deployments import previous_committed
from workers.distribution.packs import PackShelf
from workers.fleet import SshFleet
from workers.frontend.connections import Connections
from workers.frontend.steps import Job, Steps

#: Deployments whose layouts a worker keeps at hand.
DEPLOYMENTS_AT_HAND = 8


class Workshop:
    """What the tasks of one process share. Safe to use from several threads."""

    def __init__(self, lockstep: Lockstep) -> None:
        self.lockstep = lockstep
        self.connections = Connections()
        self._prepared = lru_cache(maxsize=DEPLOYMENTS_AT_HAND)(self._prepare)
        self._preparing = threading.Lock()

    @cached_property
    def steps(self) -> Steps:
        """The steps on a frontend."""
        shelf = PackShelf(self.lockstep.settings.home / "packs")
        return Steps(self.connections, shelf, self.lockstep.artifacts)

    def job(self, number: int, frontend: str) -> Job:
        """One frontend of one deployment; `UsageError` where the ledger knows neither."""
        with self._preparing:  # once, not by every thread at the same moment
            deployment, fleet, made, manifests, previous = self._prepared(number)
        server = fleet.frontend(frontend)
        if server is None:
            raise UsageError(f"deployment {number} has no frontend {frontend}")
        return Job(deployment, fleet, server, made, manifests, previous)

    def fleet(self, number: int) -> SshFleet:
        """The frontends of a deployment, for its coordinator."""
        lockstep = self.lockstep
        return SshFleet(number, lambda name: self.job(number, name), self.steps, lockstep.ledger, lockstep.dispatch)

    def _prepare(self, number: int) -> tuple[Deployment, Fleet, Layout, dict[str, Manifest], dict[str, Manifest]]:
        ledger, artifacts = self.lockstep.ledger, self.lockstep.artifacts
        deployment = found(ledger, number)
        manifests = {p.digest: artifacts.manifest(p.digest) for p in deployment.plan.placements}
        before = previous_committed(ledger, deployment)
        placements = () if before is None else before.plan.placements
        previous = {p.app: artifacts.manifest(p.digest) for p in placements}
        fleet = Fleet.model_validate(deployment.plan.snapshot)
        return deployment, fleet, layout(deployment.activation, manifests), manifests, previous
