"""Carries a deployment out: `Coordination` decides, this moves its effects to the ledger and the fleet and back.

One coordinator is one call of `coordinate` in one process. Several of the same deployment do no harm: every move and
the decision are compare-and-sets (docs/protocol.md, "Two coordinators").
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Mapping

import structlog

from inventory.model import Unreachable
from orchestrator.domain.coordination import Coordination
from orchestrator.domain.deployment import Deployment, Outcome, Report, State, Step
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
from orchestrator.domain.skew import Flip, skew
from orchestrator.ports import Deployments, Fleet, GateRun
from orchestrator.services.gates import Gatekeeper, nobody
from orchestrator.services.lookup import found

log = structlog.get_logger()

#: How often the row is read while nobody answers, in seconds: an operator may have aborted.
LOOK_SECONDS = 0.25


Answer = Report | GateRun


class Inbox:
    """What frontends answered, and how gates ended, from any thread."""

    def __init__(self, look_seconds: float = LOOK_SECONDS) -> None:
        self._look_seconds = look_seconds
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def put(self, answer: Answer) -> None:
        """An answer comes in."""
        self._answers.put(answer)

    def take(self) -> list[Answer]:
        """Wait for answers; all that are there, or none where it was silent for the time of a look."""
        try:
            answers = [self._answers.get(timeout=self._look_seconds)]
        except queue.Empty:
            return []
        while not self._answers.empty():
            answers.append(self._answers.get_nowait())
        return answers


class Coordinator:
    """One deployment, one attempt to bring it as far as it can go now.

    `takes_over` says that nobody else leads it, as far as anybody can know: what was begun and is not decided is then
    aborted (docs/protocol.md, "Recovery").
    """

    def __init__(
        self,
        ledger: Deployments,
        fleet: Fleet,
        number: int,
        *,
        takes_over: bool = False,
        inbox: Inbox | None = None,
        gates: Gatekeeper | None = None,
        machine: Callable[..., Coordination] = Coordination,
    ) -> None:
        self._ledger = ledger
        self._fleet = fleet
        self._number = number
        self._inbox = Inbox() if inbox is None else inbox
        self._gates = gates
        row = found(ledger, number)
        self._fleet_key, self._readmits = row.plan.fleet, row.plan.readmits
        drained = self._drained()
        self._machine = machine(
            row, drained=drained, room=max_drained(row.plan.snapshot) - len(drained), takes_over=takes_over
        )
        self._log = log.bind(deployment=number)

    def run(self) -> Deployment:
        """Go on until the deployment rests: ended, held, or open with its troubles noted. Returns its row."""
        try:
            self._carry_out(self._machine.start())
            while not self._machine.resting:
                self._listen()
        finally:
            # Whatever happened: frontends that still wait hear nothing more, and stay on what they serve.
            self._fleet.close()
            if self._gates is not None:
                self._gates.close()
        return found(self._ledger, self._number)

    def _forget_troubles(self) -> None:
        """Noted after the commit, they say why an earlier coordinator rested: true until the step succeeds."""
        if found(self._ledger, self._number).troubles:
            self._ledger.note_troubles(self._number, [])

    def _listen(self) -> None:
        answers = self._inbox.take()
        if not answers:
            decision = self._ledger.decision(self._number)
            if decision is not None:
                self._carry_out(self._machine.on(Decided(decision)))
            self._carry_out(self._machine.on(Drained(self._drained())))
            return
        reports = [answer for answer in answers if isinstance(answer, Report) and answer.at is None]
        self._ledger.record(self._number, reports)
        for answer in answers:
            self._carry_out(self._machine.on(self._heard(answer)))

    def _heard(self, answer: Answer) -> Event:
        if isinstance(answer, Report):
            self._log_report(answer)
            return Heard(answer)
        if self._gates is not None:
            self._gates.record(found(self._ledger, self._number), answer)
        return Gated(answer.name, answer.problem.as_dict() if answer.problem else None)

    def _drained(self) -> frozenset[str]:
        """Who is out of rotation. A readmission's frontends are, until it ends, but for those drained anew."""
        return frozenset(
            drain.frontend
            for drain in self._ledger.drains(self._fleet_key)
            if drain.confirmed and drain.number > self._readmits.get(drain.frontend, 0)
        )

    def _carry_out(self, effects: list[Effect]) -> None:
        waiting = deque(effects)
        while waiting:
            asks: list[Ask] = []
            while waiting and isinstance(effect := waiting[0], Ask):
                asks.append(effect)
                waiting.popleft()
            if asks:
                self._fleet.ask(asks, self._inbox.put)
            elif (event := self._do(waiting.popleft())) is not None:
                waiting.extend(self._machine.on(event))

    def _do(self, effect: Effect) -> Event | None:
        match effect:
            case Move(before, after):
                if before in (State.ACTIVATING, State.FINISHING):
                    self._forget_troubles()
                if before is State.ACTIVATING:
                    self._record_skew()
                state, moved = self._ledger.move(self._number, before, after)
                self._log.info("moved", before=str(before), state=str(state), moved=moved)
                return Moved(state, moved)
            case Prepare():
                state, moved = self._ledger.prepare(self._number)
                self._log.info("prepared", state=str(state), moved=moved)
                return Moved(state, moved)
            case Decide(decision, troubles):
                stands = self._ledger.decide(self._number, decision, troubles)
                # The word goes out next: nothing may stand between the durable decision and it.
                return Decided(stands)
            case Rest(troubles):
                if troubles:
                    self._ledger.note_troubles(self._number, troubles)
                self._log.info("resting", troubles=len(troubles))
            case Gate(name):
                return self._open(name)
            case CallOff() if self._gates is not None:
                self._gates.call_off(found(self._ledger, self._number))
        return None

    def _open(self, name: GateName) -> Gated | None:
        if self._gates is None:
            return Gated(name, nobody(name).as_dict())
        self._gates.open(found(self._ledger, self._number), name, self._inbox.put)
        return None

    def _record_skew(self) -> None:
        """From the flips' clocks, each corrected by its offset as it was measured last: at the word, or by staging.

        Only where every frontend's flip is known: the spread of some of them is not the time from the first to the
        last. One whose answer was lost says later only that it has flipped.
        """
        offsets: dict[str, tuple[float, float]] = {}
        flips: dict[str, float] = {}
        for _, report in self._ledger.reports(self._number):
            if report.outcome is not Outcome.ACCEPTED:
                continue
            if report.step in (Step.STAGE, Step.ACTIVATE) and report.detail.get("offset") is not None:
                offsets[report.frontend] = (report.detail["offset"], report.detail["uncertainty"])
            if report.step is Step.ACTIVATE and report.detail.get("at") is not None:
                flips[report.frontend] = report.detail["at"]
        if not flips.keys() >= set(found(self._ledger, self._number).plan.frontends) - self._drained():
            return
        spread = skew(Flip(at, *offsets.get(name, (0.0, 0.0))) for name, at in flips.items())
        if spread is not None:
            self._ledger.record_skew(self._number, spread)

    def _log_report(self, report: Report) -> None:
        bound = self._log.bind(frontend=report.frontend, step=str(report.step), outcome=str(report.outcome))
        if report.outcome is Outcome.ACCEPTED:
            bound.info("answered", **report.detail)
        else:
            bound.warning("answered", **report.problem)


def max_drained(snapshot: Mapping[str, object]) -> int:
    """How many of the fleet's frontends may be out of rotation for a deployment to go on: 0 where it must abort."""
    policy = snapshot.get("policy")
    if not isinstance(policy, Mapping) or policy.get("unreachable") != Unreachable.DRAIN:
        return 0
    return int(policy.get("max_drained", 0))
