"""The coordinator's decisions, with no I/O: what it hears goes in, what it wants done comes out.

`Coordination` is the protocol of docs/protocol.md ("The steps") as a state machine over events. The service
`orchestrator.services.coordinator` carries its effects out against real ports; the tests drive it through every
order of events. It never decides on its own that something happened: a move or a decision counts only when the
ledger says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.domain.deployment import (
    Decision,
    Deployment,
    Outcome,
    Report,
    State,
    Step,
    Trouble,
    decided_state,
)
from orchestrator.domain.errors import Problem
from orchestrator.domain.verdict import Verdict, served_verdict, verdict

# ── effects: what the coordinator wants done ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a frontend to do a step. Answered by a `Heard`, or by one with `UNKNOWN` when its time is over."""

    step: Step
    frontend: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Move:
    """Move the row from one state to another, if it is there. Answered by `Moved`."""

    before: State
    after: State


@dataclass(frozen=True, slots=True)
class Prepare:
    """Move from verifying to prepared if the deployment is to be held, else to arming. Answered by `Moved`."""


@dataclass(frozen=True, slots=True)
class Decide:
    """Write the decision if there is none. Answered by `Decided`."""

    decision: Decision
    troubles: tuple[Trouble, ...] = ()


@dataclass(frozen=True, slots=True)
class Rest:
    """Stop here. `troubles` says why the outcome is still open; empty where all is as it should be."""

    troubles: tuple[Trouble, ...] = ()


Effect = Ask | Move | Prepare | Decide | Rest

# ── events: what the coordinator hears ────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Heard:
    """A frontend's answer, or the end of the time that it had."""

    report: Report


@dataclass(frozen=True, slots=True)
class Moved:
    """What a `Move` or `Prepare` did: the state in which the row is now, and whether it was this move."""

    state: State
    moved: bool


@dataclass(frozen=True, slots=True)
class Decided:
    """The decision that stands in the ledger, whoever wrote it. None where the write was refused."""

    decision: Decision | None


Event = Heard | Moved | Decided

#: How often a frontend is asked again after the commit before the deployment rests, open, until it is continued.
ATTEMPTS = 5

_ASKS = {
    State.STAGING: Step.STAGE,
    State.VERIFYING: Step.VERIFY,
    State.ARMING: Step.ARM,
    State.ACTIVATING: Step.ACTIVATE,
    State.FINISHING: Step.CONFIRM,
    State.ABORTING: Step.DISARM,
}

#: The steps that nothing can take back: a frontend that did not accept is asked again, and one that did is believed
#: whichever asking it answers.
_INSISTENT = frozenset({State.ACTIVATING, State.FINISHING})


class Coordination:
    """One coordinator of one deployment. Feed it events; carry out the effects that it returns, in order.

    What it knows lies in its attributes: immutable values, and dictionaries of them.
    """

    def __init__(self, deployment: Deployment, *, attempts: int = ATTEMPTS) -> None:
        self._frontends = tuple(deployment.plan.frontends)
        self._placements = deployment.plan.placements
        self._state = deployment.state
        self._decision = deployment.decision
        self._attempts = attempts
        self._round = 1
        # Of the present step: the attempt that each frontend was asked last, and the answers that are final.
        self._asked: dict[str, int] = {}
        self._answers: dict[str, Report] = {}
        self.resting = False

    @property
    def state(self) -> State:
        """The state as far as this coordinator knows."""
        return self._state

    def start(self) -> list[Effect]:
        """The first effects, for a new deployment, one that goes on after a hold, or one whose decision stands."""
        if self._decision is not None and not self._state.ended:
            return self._ask_all(self._state if self._state is State.FINISHING else decided_state(self._decision))
        if self._state is State.PLANNED:
            return [Move(State.PLANNED, State.STAGING)]
        if self._state is State.PREPARED:
            # What was verified before the hold may have changed since: it is verified again.
            self._round = 2
            return [Move(State.PREPARED, State.VERIFYING)]
        return self._rest()

    def on(self, event: Event) -> list[Effect]:
        """Hear one event. Answers that come late, twice, or for another step or attempt change nothing."""
        if self.resting:
            return []
        match event:
            case Heard(report):
                return self._heard(report)
            case Moved(state, moved):
                return self._moved(state, moved)
            case Decided(decision):
                return self._decided(decision)

    # ── answers ──

    def _heard(self, report: Report) -> list[Effect]:
        if not self._counts(report):
            return []
        insists = self._state in _INSISTENT and report.outcome is not Outcome.ACCEPTED
        if insists and report.attempt < self._attempts:
            return [self._ask(report.step, report.frontend, report.attempt + 1)]
        self._answers[report.frontend] = report
        return self._step_ends(report.step) if len(self._answers) == len(self._asked) else []

    def _counts(self, report: Report) -> bool:
        """Whether this answer says anything new of the present step."""
        asked = self._asked.get(report.frontend)
        if asked is None or report.step is not _ASKS.get(self._state):
            return False
        final = self._answers.get(report.frontend)
        if self._state in _INSISTENT and report.outcome is Outcome.ACCEPTED:
            return report.attempt <= asked and (final is None or final.outcome is not Outcome.ACCEPTED)
        return report.attempt == asked and final is None

    def _step_ends(self, step: Step) -> list[Effect]:
        agreed = self._verdict(step)
        match step:
            case Step.DISARM:
                # Aborted whatever the answers: nobody can commit this epoch any more, and the next one fences it.
                return [Move(State.ABORTING, State.ABORTED)]
            case Step.ACTIVATE | Step.CONFIRM if not agreed.unanimous:
                return self._rest(agreed.troubles)
            case Step.ACTIVATE:
                return [Move(State.ACTIVATING, State.FINISHING)]
            case Step.CONFIRM:
                return [Move(State.FINISHING, State.DONE)]
            case _ if not agreed.unanimous:
                return [Decide(Decision.ABORT, agreed.troubles)]
            case Step.STAGE:
                return [Move(State.STAGING, State.VERIFYING)]
            case Step.VERIFY:
                return [Prepare()]
            case Step.ARM:
                return [Decide(Decision.COMMIT)]

    def _verdict(self, step: Step) -> Verdict:
        agreed = verdict(step, self._frontends, self._answers)
        if step is Step.VERIFY and agreed.unanimous:
            return served_verdict(self._placements, self._answers)
        return agreed

    # ── the ledger's answers ──

    def _moved(self, state: State, moved: bool) -> list[Effect]:
        if not moved and state is State.ABORTING and self._decision is None:
            return self._decided(Decision.ABORT)
        if not moved:
            # Another coordinator leads, or ended it.
            return self._rest()
        self._state = state
        if state in (State.PREPARED, State.DONE, State.ABORTED):
            return self._rest()
        return self._ask_all(state)

    def _decided(self, decision: Decision | None) -> list[Effect]:
        if decision is None:
            return self._rest()
        if self._decision is not None:
            # It is written once, so this one is known.
            return []
        self._decision = decision
        return self._ask_all(decided_state(decision))

    # ── effects ──

    def _ask_all(self, state: State) -> list[Effect]:
        if state is not State.VERIFYING:
            self._round = 1
        self._state = state
        self._asked = {}
        self._answers = {}
        step = _ASKS[state]
        if not self._frontends:
            return self._step_ends(step)
        return [self._ask(step, name, self._round) for name in self._frontends]

    def _ask(self, step: Step, frontend: str, attempt: int) -> Ask:
        self._asked[frontend] = attempt
        return Ask(step, frontend, attempt)

    def _rest(self, troubles: Sequence[Trouble] = ()) -> list[Effect]:
        self.resting = True
        return [Rest(tuple(troubles))]


def unknown(ask: Ask, problem: Problem) -> Heard:
    """The event for an asking whose outcome can't be known."""
    return Heard(Report(ask.frontend, ask.step, ask.attempt, Outcome.UNKNOWN, problem=problem.as_dict()))
