"""Parts with one rule switched off, for every simulation that must notice."""

from __future__ import annotations

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.coordination import Coordination
from orchestrator.domain.deployment import Outcome, Step
from orchestrator.domain.verdict import Verdict
from tests.protocol.simulation.frontend import Answer, SimulatedFrontend
from tests.protocol.simulation.ledger import MemoryLedger

UNANIMOUS = Verdict(())


class CommitsWithoutAllArmed(Coordination):
    def _verdict(self, step: Step) -> Verdict:
        some = any(answer.outcome is Outcome.ACCEPTED for answer in self._answers.values())
        return UNANIMOUS if step is Step.ARM and some else super()._verdict(step)


class WritesWithoutComparing(MemoryLedger):
    def _allows(self, compared: bool) -> bool:
        del compared
        return True


class ActivatesBelowTheFence(SimulatedFrontend):
    def activate(self, name: ActivationName) -> Answer:
        self._raise_fence(name.epoch)
        return self._flip(name)


class KeepsTheRightToFlip(SimulatedFrontend):
    def _raise_fence(self, epoch: int) -> None:
        self.fence = max(self.fence, epoch)
