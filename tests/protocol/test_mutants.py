"""With one rule switched off, the checks must find a violation: each rule is needed, and each check can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.coordination import Coordination
from orchestrator.domain.deployment import Decision, Outcome, Step
from orchestrator.domain.effects import Ask, Decide, Decided, Effect, Event, Rest
from orchestrator.domain.verdict import Verdict
from tests.protocol.endings import well_ended
from tests.protocol.simulation.explorer import explore
from tests.protocol.simulation.frontend import SimulatedFrontend
from tests.protocol.simulation.laws import ViolationError
from tests.protocol.simulation.ledger import MemoryLedger
from tests.protocol.simulation.mutants import (
    UNANIMOUS,
    ActivatesBelowTheFence,
    CommitsWithoutAllArmed,
    KeepsTheRightToFlip,
    WritesWithoutComparing,
)
from tests.protocol.simulation.scenario import Scenario, What
from tests.protocol.simulation.world import World


class SaysTheWordBeforeTheDecision(Coordination):
    def on(self, event: Event) -> list[Effect]:
        effects = super().on(event)
        if Decide(Decision.COMMIT) in effects:
            return [*(Ask(Step.ACTIVATE, name, 1) for name in self._frontends), *effects]
        return effects


class DoesNotReadWhatStands(Coordination):
    def on(self, event: Event) -> list[Effect]:
        return super().on(Decided(Decision.COMMIT) if isinstance(event, Decided) else event)


class TakesAMissingVerifyForAgreement(Coordination):
    def _verdict(self, step: Step) -> Verdict:
        agreed = super()._verdict(step)
        if step is not Step.VERIFY:
            return agreed
        return Verdict(tuple(t for t in agreed.troubles if self._answers[t.frontend].outcome is not Outcome.UNKNOWN))


class DoesNotVerifyAfterAHold(Coordination):
    def _verdict(self, step: Step) -> Verdict:
        return UNANIMOUS if step is Step.VERIFY and self._round > 1 else super()._verdict(step)


class TakesNobodyForAgreement(Coordination):
    def _verdict(self, step: Step) -> Verdict:
        return super()._verdict(step) if self._frontends else UNANIMOUS


class IsDoneWithoutAll(Coordination):
    def _verdict(self, step: Step) -> Verdict:
        return UNANIMOUS if step in (Step.ACTIVATE, Step.CONFIRM) else super()._verdict(step)


class RestsWithoutAWord(Coordination):
    def on(self, event: Event) -> list[Effect]:
        return [Rest() if isinstance(effect, Rest) else effect for effect in super().on(event)]


class ArmsBelowTheFence(SimulatedFrontend):
    def _above_fence(self, name: ActivationName) -> bool:
        del name
        return True

    def _raise_fence(self, epoch: int) -> None:
        super()._raise_fence(epoch)
        self.fence = epoch


class StaysArmedWhenTheConversationEnds(SimulatedFrontend):
    def end_of_file(self, name: ActivationName) -> None:
        pass

    def _raise_fence(self, epoch: int) -> None:
        self.fence = max(self.fence, epoch)


def anything(world: World) -> None:
    """No end is a wrong one."""
    del world


@dataclass(frozen=True)
class Mutant:
    """A scenario with one rule switched off, and what must be found: at some moment, or in some end."""

    scenario: Scenario
    found: str
    ledger: type[MemoryLedger] = MemoryLedger
    check: Callable[[World], None] = anything


def kinds(*which: What) -> frozenset[What]:
    return frozenset(which)


MUTANTS = {
    "commit without all armed": Mutant(
        Scenario(2, machine=CommitsWithoutAllArmed, faults=1, kinds=kinds(What.LOSE)),
        "committed, and . had not armed",
    ),
    "word before the decision": Mutant(
        Scenario(1, machine=SaysTheWordBeforeTheDecision),
        "without a commit",
    ),
    "what stands in the ledger not read": Mutant(
        Scenario(1, machine=DoesNotReadWhatStands, aborts=1),
        "without a commit",
    ),
    "compare-and-set ignored": Mutant(
        Scenario(1, aborts=1),
        "decided twice|with decision",
        ledger=WritesWithoutComparing,
    ),
    "compare-and-set ignored, two coordinators": Mutant(
        Scenario(1, coordinators=2, faults=1, kinds=kinds(What.LOSE)),
        "decided twice|with decision|ended as",
        ledger=WritesWithoutComparing,
    ),
    "one missing verify accepted": Mutant(
        Scenario(2, machine=TakesAMissingVerifyForAgreement, faults=2, kinds=kinds(What.TAMPER, What.LOSE)),
        "does not hold the release whole",
    ),
    "no verify after a hold": Mutant(
        Scenario(2, machine=DoesNotVerifyAfterAHold, hold=True, continues=1, faults=1, kinds=kinds(What.TAMPER)),
        "does not hold the release whole",
    ),
    "zero answers taken as agreement": Mutant(
        Scenario(0, machine=TakesNobodyForAgreement),
        "committed, and nobody agreed",
    ),
    "done without all": Mutant(
        Scenario(2, machine=IsDoneWithoutAll, faults=2, kinds=kinds(What.REFUSE)),
        "done, and . serves",
    ),
    "open without a reason": Mutant(
        Scenario(1, machine=RestsWithoutAWord, faults=2, kinds=kinds(What.REFUSE)),
        "open, and nobody knows why",
        check=well_ended,
    ),
    "epoch not checked by arm": Mutant(
        Scenario(1, frontend=ArmsBelowTheFence, deployments=2, faults=1, kinds=kinds(What.REPEAT)),
        "the fence fell",
    ),
    "epoch not checked by activate": Mutant(
        Scenario(1, frontend=ActivatesBelowTheFence, deployments=2, faults=2, kinds=kinds(What.REFUSE, What.REPEAT)),
        "went back",
    ),
    "epoch not checked by the word": Mutant(
        Scenario(1, frontend=KeepsTheRightToFlip, deployments=2, faults=1, kinds=kinds(What.GIVE_UP)),
        "went back",
    ),
    "still armed after the end of the conversation": Mutant(
        Scenario(2, frontend=StaysArmedWhenTheConversationEnds, faults=1, kinds=kinds(What.LOSE)),
        "disarmed, and can still flip",
        check=well_ended,
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_with_one_rule_switched_off_a_violation_is_found(name: str) -> None:
    mutant = MUTANTS[name]
    with pytest.raises(ViolationError, match=mutant.found):
        explore(mutant.scenario, ledger=mutant.ledger, check=mutant.check)


@pytest.mark.parametrize("name", MUTANTS)
def test_with_every_rule_the_same_scenario_holds(name: str) -> None:
    rules = replace(MUTANTS[name].scenario, machine=Coordination, frontend=SimulatedFrontend)
    explore(rules, check=well_ended)
