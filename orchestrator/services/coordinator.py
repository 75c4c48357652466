"""Carries a deployment out: `Coordination` decides, this moves its effects to the ledger and the fleet and back.

One coordinator is one call of `coordinate` in one process. Several of the same deployment do no harm: every move and
the decision are compare-and-sets (docs/protocol.md, "Two coordinators").
"""

from __future__ import annotations

import queue
from collections import deque

import structlog

from orchestrator.domain.coordination import (
    Ask,
    Coordination,
    Decide,
    Decided,
    Effect,
    Event,
    Heard,
    Move,
    Moved,
    Prepare,
    Rest,
)
from orchestrator.domain.deployment import Decision, Deployment, Outcome, Report, State, Step
from orchestrator.domain.errors import UsageError
from orchestrator.domain.skew import Flip, skew
from orchestrator.ports import Deployments, Fleet

log = structlog.get_logger()

#: How often the row is read while nobody answers, in seconds: an operator may have aborted.
LOOK_SECONDS = 0.25


class Coordinator:
    """One deployment, one attempt to bring it as far as it can go now."""

    def __init__(self, ledger: Deployments, fleet: Fleet, number: int, *, look_seconds: float = LOOK_SECONDS) -> None:
        self._ledger = ledger
        self._fleet = fleet
        self._number = number
        self._look_seconds = look_seconds
        self._inbox: queue.SimpleQueue[Report] = queue.SimpleQueue()
        self._machine = Coordination(found(ledger, number))
        self._log = log.bind(deployment=number)

    def run(self) -> Deployment:
        """Go on until the deployment rests: ended, held, or open with its troubles noted. Returns its row."""
        try:
            self._forget_troubles()
            self._carry_out(self._machine.start())
            while not self._machine.resting:
                self._listen()
        finally:
            # Whatever happened: frontends that still wait hear nothing more, and stay on what they serve.
            self._fleet.close()
        return found(self._ledger, self._number)

    def _forget_troubles(self) -> None:
        """After the commit, troubles say why an earlier coordinator rested. An abort's say why it was aborted."""
        deployment = found(self._ledger, self._number)
        if deployment.decision is Decision.COMMIT and deployment.troubles:
            self._ledger.note_troubles(self._number, [])

    def _listen(self) -> None:
        try:
            reports = [self._inbox.get(timeout=self._look_seconds)]
        except queue.Empty:
            decision = found(self._ledger, self._number).decision
            if decision is not None:
                self._carry_out(self._machine.on(Decided(decision)))
            return
        while not self._inbox.empty():
            reports.append(self._inbox.get_nowait())
        self._ledger.record(self._number, [report for report in reports if report.at is None])
        for report in reports:
            self._log_report(report)
            self._carry_out(self._machine.on(Heard(report)))

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
        return None

    def _record_skew(self) -> None:
        """From the flips' clocks, each corrected by its offset as staging measured it.

        Only where every frontend's flip is known: the spread of some of them is not the time from the first to the
        last. One whose answer was lost says later only that it has flipped.
        """
        offsets: dict[str, tuple[float, float]] = {}
        flips: dict[str, float] = {}
        for _, report in self._ledger.reports(self._number):
            if report.outcome is not Outcome.ACCEPTED:
                continue
            if report.step is Step.STAGE and report.detail.get("offset") is not None:
                offsets[report.frontend] = (report.detail["offset"], report.detail["uncertainty"])
            if report.step is Step.ACTIVATE and report.detail.get("at") is not None:
                flips[report.frontend] = report.detail["at"]
        if not flips.keys() >= set(found(self._ledger, self._number).plan.frontends):
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


def found(ledger: Deployments, number: int) -> Deployment:
    """The deployment's row; `UsageError` where there is none."""
    deployment = ledger.deployment(number)
    if deployment is None:
        raise UsageError(f"there is no deployment {number}", remedy="see: lockstep history")
    return deployment
