"""The parts under test, and the rules that a mutant switches off."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.coordination import Coordination
from tests.simulator.frontend import Frontend
from tests.simulator.releases import SimulatedLedger
from workers.frontend.commands import Probed
from workers.frontend.job import Job


@dataclass(frozen=True)
class Rules:
    """Everything as it is in the product."""

    ledger: type[SimulatedLedger] = SimulatedLedger
    frontend: type[Frontend] = Frontend
    machine: type[Coordination] = Coordination

    def to_prune(self, job: Job, probed: Probed) -> tuple[list[ActivationName], list[ActivationName]]:
        """What a frontend may let go of."""
        return job.to_prune(probed)
