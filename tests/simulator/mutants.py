"""Lockstep with one rule switched off. Each rule is needed, so each of these must break a law."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.rotation import Drain
from tests.protocol.simulation import mutants
from tests.simulator.chance import Run, run
from tests.simulator.frontend import Frontend
from tests.simulator.releases import SimulatedLedger
from tests.simulator.rules import Rules
from tests.simulator.world import FAULTS, What
from workers.frontend.commands import Probed
from workers.frontend.job import Job


class ActivatesAnyEpoch(mutants.ActivatesBelowTheFence, Frontend):
    pass


class KeepsTheRightToFlip(mutants.KeepsTheRightToFlip, Frontend):
    pass


class WritesWithoutComparing(mutants.WritesWithoutComparing, SimulatedLedger):
    pass


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
    def add_drain(self, *words: Any, **options: Any) -> Drain:
        return super().add_drain(*words, **{**options, "remaining": None})


@dataclass(frozen=True)
class Mutant:
    """Lockstep without a rule, and the law that it breaks.

    `kinds` and `late` are what shows it sooner: what goes wrong around it, and in which worlds (`chance.run`).
    """

    rules: Rules
    breaks: str
    kinds: frozenset[What] = FAULTS
    late: bool = False

    def run(self, seed: int) -> Run:
        """One run of it."""
        return run(seed, self.rules, kinds=self.kinds, late=self.late)


#: Processes stop and go on, and commands come again, when others have led since.
ZOMBIES = frozenset({What.SLEEP, What.REPEAT})

#: By the rule that is switched off.
MUTANTS = {
    "the epoch check when activating": Mutant(Rules(frontend=ActivatesAnyEpoch), "went back", ZOMBIES, late=True),
    "the epoch check of the word": Mutant(Rules(frontend=KeepsTheRightToFlip), "went back", ZOMBIES, late=True),
    "compare-and-set": Mutant(Rules(ledger=WritesWithoutComparing), "G5"),
    "all armed before the commit": Mutant(Rules(machine=mutants.CommitsWithoutAllArmed), "had not armed"),
    "never prune ahead": Mutant(PrunesWhatIsNotKept(), "does not hold .* whole", ZOMBIES, late=True),
    "pins are served ahead of the flip": Mutant(Rules(frontend=ServesNoPinAhead), "a client went back"),
    "a drain is ended by its own number": Mutant(
        Rules(frontend=EndsAnyDrain), "is drained, and in rotation", frozenset({What.SLEEP})
    ),
    "the last one is not drained": Mutant(Rules(ledger=DrainsTheLast), "nobody agreed|come to rest|not in rotation"),
}
