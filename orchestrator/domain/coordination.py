"""The coordinator's decisions, with no I/O: what it hears goes in, what it wants done comes out.

`Coordination` is the protocol of docs/protocol.md ("The steps") as a state machine over events. The service
`orchestrator.services.coordinator` carries its effects out against real ports; the tests drive it through every
order of events. It never decides on its own that something happened: a move or a decision counts only when the
ledger says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from orchestrator.domain.deployment import (
    UNDECIDED,
    Decision,
    Deployment,
    Kind,
    Outcome,
    Report,
    State,
    Step,
    Trouble,
    decided_state,
)
from orchestrator.domain.effects import (
    Ask,
    CallOff,
    Decide,
    Decided,
    Drained,
    Effect,
    Event,
    Gate,
    Gated,
    GateName,
    Heard,
    Move,
    Moved,
    Prepare,
    Rest,
)
from orchestrator.domain.errors import Problem
from orchestrator.domain.verdict import Verdict, served_verdict, verdict

#: How often a frontend is asked again after the commit before the deployment rests, open, until it is continued.
ATTEMPTS = 5

#: What is asked in each state. A state without a step is passed at once.
_DEPLOYS = {
    State.STAGING: Step.STAGE,
    State.VERIFYING: Step.VERIFY,
    State.ARMING: Step.ARM,
    State.ACTIVATING: Step.ACTIVATE,
    State.FINISHING: Step.CONFIRM,
    State.ABORTING: Step.DISARM,
}
#: A readmission stages at an epoch that is committed already: there is nothing to arm, and nothing to take back.
_READMITS = {
    State.STAGING: Step.STAGE,
    State.VERIFYING: Step.VERIFY,
    State.ACTIVATING: Step.READMIT,
    State.FINISHING: Step.CONFIRM,
}

#: Healing puts right what is served: there is nothing to switch, and nobody is asked again once it is proven.
_HEALS = {
    State.STAGING: Step.STAGE,
    State.VERIFYING: Step.VERIFY,
}
_STEPS = {Kind.DEPLOY: _DEPLOYS, Kind.ROLLBACK: _DEPLOYS, Kind.READMIT: _READMITS, Kind.HEAL: _HEALS}

#: The gate at the entrance of a state. Nothing is asked before one that stops has passed; the others run beside.
_GATES = {
    State.STAGING: GateName.BEFORE_STAGE,
    State.ARMING: GateName.BEFORE_COMMIT,
    State.FINISHING: GateName.AFTER_ACTIVATE,
    State.ABORTING: GateName.ON_ABORT,
}

#: The states after the commit: a frontend that did not accept is asked again, and one that did is believed whichever
#: asking it answers.
_INSISTENT = frozenset({State.ACTIVATING, State.FINISHING})


class Coordination:
    """One coordinator of one deployment. Feed it events; carry out the effects that it returns, in order.

    `drained` are the frontends that are out of rotation already, `room` is how many more the fleet's policy allows it
    to drain. `takes_over` says that whoever led the deployment before leads it no more: what is undecided is aborted.

    What it knows lies in its attributes: immutable values, and dictionaries of them.
    """

    def __init__(
        self,
        deployment: Deployment,
        *,
        drained: Iterable[str] = (),
        room: int = 0,
        takes_over: bool = False,
        attempts: int = ATTEMPTS,
    ) -> None:
        plan, out = deployment.plan, frozenset(drained)
        self._kind = plan.kind
        self._frontends = tuple(name for name in plan.frontends if name not in out)
        self._placements = plan.placements
        self._state = deployment.state
        self._decision = deployment.decision
        self._room = room
        self._takes_over = takes_over
        self._attempts = attempts
        self._round = 1
        self._gates = gates_of(plan.snapshot) if plan.kind.moves else frozenset[GateName]()
        # The one whose end the present step waits for.
        self._gate: GateName | None = None
        # A coordinator rested here: the gate had its turn then (docs/gates.md, "At least once").
        self._finished_before = self._state is State.FINISHING and bool(deployment.troubles)
        # Whether the present step still waits for answers.
        self._waits = False
        # Of the present step: the attempt that each frontend was asked last, and the answers that are final.
        self._asked: dict[str, int] = {}
        self._answers: dict[str, Report] = {}
        # The frontends that are being drained because of it, and the answers to that.
        self._leaving: dict[str, Report | None] = {}
        self.resting = False

    @property
    def state(self) -> State:
        """The state as far as this coordinator knows."""
        return self._state

    def start(self) -> list[Effect]:
        """The first effects, for a new deployment, one that goes on after a hold, or one whose decision stands."""
        if self._decision is not None and not self._state.ended:
            return self._enter(self._state if self._state is State.FINISHING else decided_state(self._decision))
        if self._state is State.PLANNED:
            return [Move(State.PLANNED, State.STAGING)]
        if self._state is State.PREPARED:
            # What was verified before the hold may have changed since: it is verified again.
            self._round = 2
            return [Move(State.PREPARED, State.VERIFYING)]
        if self._takes_over and self._state in UNDECIDED:
            return [Decide(Decision.ABORT, (_taken_over(self._state),))]
        return self._rest()

    def on(self, event: Event) -> list[Effect]:
        """Hear one event. Answers that come late, twice, or for another step or attempt change nothing."""
        if self.resting:
            return []
        match event:
            case Heard(report) if report.step is Step.DRAIN:
                return self._heard_of_drain(report)
            case Heard(report):
                return self._heard(report)
            case Moved(state, moved):
                return self._moved(state, moved)
            case Decided(decision):
                return self._decided(decision)
            case Drained(frontends):
                return self._drained(frontends)
            case Gated(name, problem):
                return self._gated(name, problem)

    # ── answers ──

    def _heard(self, report: Report) -> list[Effect]:
        if not self._counts(report):
            return []
        insists = self._state in _INSISTENT and report.outcome is not Outcome.ACCEPTED
        if insists and report.attempt < self._attempts:
            return [self._ask(report.step, report.frontend, report.attempt + 1)]
        self._answers[report.frontend] = report
        return self._all_answered()

    def _counts(self, report: Report) -> bool:
        """Whether this answer says anything new of the present step."""
        asked = self._asked.get(report.frontend)
        if asked is None or report.step is not self._step or self._leaving:
            return False
        final = self._answers.get(report.frontend)
        if self._state in _INSISTENT and report.outcome is Outcome.ACCEPTED:
            return report.attempt <= asked and (final is None or final.outcome is not Outcome.ACCEPTED)
        return report.attempt == asked and final is None

    def _all_answered(self) -> list[Effect]:
        """The step ends with the last answer, that of its gate among them."""
        ends = self._waits and self._gate is None and len(self._answers) == len(self._asked)
        return self._step_ends() if ends else []

    def _step_ends(self) -> list[Effect]:
        self._waits = False
        agreed = self._agreed()
        failing = [] if agreed.unanimous else self._drainable()
        if failing:
            self._leaving = dict.fromkeys(failing)
            return [Ask(Step.DRAIN, name, 1) for name in failing]
        return self._concluded(agreed)

    def _concluded(self, agreed: Verdict) -> list[Effect]:
        match self._state:
            case State.ABORTING:
                # Aborted whatever the answers: nobody can commit this epoch any more, and the next one fences it.
                return [Move(State.ABORTING, State.ABORTED)]
            case State.ACTIVATING | State.FINISHING if not agreed.unanimous:
                return self._rest(agreed.troubles)
            case State.ACTIVATING:
                return [Move(State.ACTIVATING, State.FINISHING)]
            case State.FINISHING:
                return [Move(State.FINISHING, State.DONE)]
            case _ if not agreed.unanimous:
                return [Decide(Decision.ABORT, agreed.troubles)]
            case State.STAGING:
                return [Move(State.STAGING, State.VERIFYING)]
            case State.VERIFYING:
                return [Prepare()]
            case _:
                return [Decide(Decision.COMMIT)]

    @property
    def _step(self) -> Step | None:
        return _STEPS[self._kind].get(self._state)

    def _agreed(self) -> Verdict:
        step = self._step
        # Of what moves no fleet, drained (again) before the end: nobody is left of whom anything could be asked.
        drained = not self._kind.moves and self._decision is Decision.COMMIT and not self._frontends
        return Verdict(()) if step is None or drained else self._verdict(step)

    def _verdict(self, step: Step) -> Verdict:
        answers = {name: self._answers[name] for name in self._frontends if name in self._answers}
        agreed = verdict(step, self._frontends, answers)
        if step is Step.VERIFY and agreed.unanimous:
            return served_verdict(self._placements, answers)
        return agreed

    # ── drains ──

    def _drainable(self) -> list[str]:
        """Those that keep the others waiting, where the policy has room for all of them and somebody is left.

        Before the commit only who can't be reached: a frontend that says no has a reason, which may be everybody's.
        After it whoever can't be brought along.
        """
        if not self._kind.moves or self._state is State.ABORTING:
            return []
        failing = [name for name in self._frontends if self._answers[name].outcome is not Outcome.ACCEPTED]
        refused = any(self._answers[name].outcome is Outcome.REFUSED for name in failing)
        allowed = len(failing) <= self._room and len(failing) < len(self._frontends)
        return failing if allowed and (self._state in _INSISTENT or not refused) else []

    def _heard_of_drain(self, report: Report) -> list[Effect]:
        if self._leaving.get(report.frontend, report) is not None:
            return []
        self._leaving[report.frontend] = report
        return self._drains_end()

    def _drains_end(self) -> list[Effect]:
        """Once all of them are answered: who is out leaves, and the rest are judged without them."""
        answers = [report for report in self._leaving.values() if report is not None]
        if len(answers) < len(self._leaving):
            return []
        self._leaving = {}
        failed = tuple(
            Trouble(Step.DRAIN, report.frontend, report.problem)
            for report in answers
            if report.outcome is not Outcome.ACCEPTED
        )
        self._leave(report.frontend for report in answers if report.outcome is Outcome.ACCEPTED)
        agreed = self._agreed()
        return self._concluded(Verdict((*agreed.troubles, *failed)))

    def _drained(self, frontends: frozenset[str]) -> list[Effect]:
        """An operator took some out: nobody waits for them any more."""
        if frontends.isdisjoint(self._frontends):
            return []
        drains = bool(self._leaving)
        for name in frontends:
            self._leaving.pop(name, None)
        self._leave(frontends)
        if drains:
            return self._drains_end()
        return self._all_answered()

    def _leave(self, frontends: Iterable[str]) -> None:
        for name in frontends:
            if name in self._frontends:
                self._frontends = tuple(other for other in self._frontends if other != name)
                self._room -= 1
                self._asked.pop(name, None)
                self._answers.pop(name, None)

    # ── gates ──

    def _gated(self, name: GateName, problem: Mapping[str, str] | None) -> list[Effect]:
        if name is not self._gate:
            return []
        self._gate = None
        if not name.stops:
            return self._all_answered()
        return self._ask_all() if problem is None else [Decide(Decision.ABORT, (Trouble(name, "", problem),))]

    def _gate_here(self) -> GateName | None:
        gate = _GATES.get(self._state)
        return None if gate not in self._gates or self._finished_before else gate

    # ── the ledger's answers ──

    def _moved(self, state: State, moved: bool) -> list[Effect]:
        if not moved and state is State.ABORTING and self._decision is None:
            return self._decided(Decision.ABORT)
        if not moved:
            # Another coordinator leads, or ended it.
            return self._rest()
        if state in (State.PREPARED, State.DONE, State.ABORTED):
            self._state = state
            return self._rest()
        return self._enter(state)

    def _decided(self, decision: Decision | None) -> list[Effect]:
        if decision is None:
            return self._rest()
        if self._decision is not None:
            # It is written once, so this one is known.
            return []
        self._decision = decision
        return self._enter(decided_state(decision))

    # ── effects ──

    def _enter(self, state: State) -> list[Effect]:
        if state is not State.VERIFYING:
            self._round = 1
        self._state = state
        self._asked, self._answers, self._leaving = {}, {}, {}
        called_off: list[Effect] = [] if self._gate is None else [CallOff()]
        self._gate = gate = self._gate_here()
        if gate is None:
            return [*called_off, *self._ask_all()]
        return [*called_off, Gate(gate), *([] if gate.stops else self._ask_all())]

    def _ask_all(self) -> list[Effect]:
        step = self._step
        self._waits = True
        asks = [] if step is None else [self._ask(step, name, self._round) for name in self._frontends]
        return [*asks] or self._all_answered()

    def _ask(self, step: Step, frontend: str, attempt: int) -> Ask:
        self._asked[frontend] = attempt
        return Ask(step, frontend, attempt)

    def _rest(self, troubles: Sequence[Trouble] = ()) -> list[Effect]:
        self.resting = True
        return [Rest(tuple(troubles))]


def gates_of(snapshot: Mapping[str, object]) -> frozenset[GateName]:
    """The gates at which a command runs, in the fleet as the inventory gave it."""
    given = snapshot.get("gates")
    return frozenset(name for name in GateName if given.get(name)) if isinstance(given, Mapping) else frozenset()


def _taken_over(state: State) -> Trouble:
    problem = Problem(
        "the worker that led it ended, or was cut off, before anything was decided",
        expected="one coordinator from the start to the decision",
        found=f"state {state}, and nobody who leads it",
        remedy="deploy again",
    )
    return Trouble("coordinate", "", problem.as_dict())
