"""Lockstep with one rule switched off. Each rule is needed, so each of these must break a law."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.coordination import Coordination
from orchestrator.domain.deployment import Deployment, Outcome, Plan, Step
from orchestrator.domain.rotation import Drain
from orchestrator.domain.verdict import Verdict
from tests.protocol.simulation.frontend import Answer
from tests.simulator.frontend import Frontend
from tests.simulator.releases import SimulatedLedger
from tests.simulator.rules import Rules
from workers.frontend.commands import Probed
from workers.frontend.job import Job


class ActivatesAnyEpoch(Frontend):
    def activate(self, name: ActivationName) -> Answer:
        self._raise_fence(name.epoch)
        return self._flip(name)


class ArmsAnyEpoch(Frontend):
    def _above_fence(self, name: ActivationName) -> bool:
        del name
        return True


class KeepsTheRightToFlip(Frontend):
    def _raise_fence(self, epoch: int) -> None:
        self.fence = max(self.fence, epoch)


class WritesWithoutComparing(SimulatedLedger):
    def _allows(self, compared: bool) -> bool:
        del compared
        return True


class CommitsWithoutAllArmed(Coordination):
    def _verdict(self, step: Step) -> Verdict:
        some = any(answer.outcome is Outcome.ACCEPTED for answer in self._answers.values())
        return Verdict(()) if step is Step.ARM and some else super()._verdict(step)


class PrunesAhead(Frontend):
    def _may_prune(self, by: ActivationName, names: Iterable[ActivationName]) -> bool:
        del by, names
        return True


@dataclass(frozen=True)
class PrunesWhatIsNotKept(Rules):
    frontend: type[Frontend] = PrunesAhead

    def to_prune(self, job: Job, probed: Probed) -> tuple[list[ActivationName], list[ActivationName]]:
        there = [ActivationName.parse(text) for text in sorted(probed.activations)]
        return [], [name for name in there if name not in (job.deployment.name, *job.prepared.kept)]


class ServesNoPinAhead(Frontend):
    def navigate(self, pin: ActivationName | None) -> ActivationName:
        del pin
        return self.current


class EndsAnyDrain(Frontend):
    def _ends(self, number: int) -> bool:
        del number
        return True


class DrainsTheLast(SimulatedLedger):
    def add_drain(
        self,
        fleet: str,
        frontend: str,
        snapshot: Mapping[str, Any],
        actor: str,
        reason: str,
        *,
        remaining: Collection[str] | None = None,
        anew: bool = False,
    ) -> Drain:
        del remaining
        return super().add_drain(fleet, frontend, snapshot, actor, reason, anew=anew)


class PlansOnWhatHasMoved(SimulatedLedger):
    def plan(self, plan: Plan) -> Deployment:
        return super().plan(replace(plan, after=None))


#: The rule that is switched off, and Lockstep without it.
MUTANTS = {
    "the epoch check when activating": Rules(frontend=ActivatesAnyEpoch),
    "the epoch check when arming": Rules(frontend=ArmsAnyEpoch),
    "the epoch check of the word": Rules(frontend=KeepsTheRightToFlip),
    "compare-and-set": Rules(ledger=WritesWithoutComparing),
    "all armed before the commit": Rules(machine=CommitsWithoutAllArmed),
    "never prune ahead": PrunesWhatIsNotKept(),
    "pins are served ahead of the flip": Rules(frontend=ServesNoPinAhead),
    "a drain is ended by its own number": Rules(frontend=EndsAnyDrain),
    "the last one is not drained": Rules(ledger=DrainsTheLast),
    "nothing is planned on what has moved": Rules(ledger=PlansOnWhatHasMoved),
}
