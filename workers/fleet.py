"""`orchestrator.ports.Fleet` over SSH: stage and verify through the queue, what follows on open channels here."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

import structlog

from orchestrator.domain.batch import Batch, batches
from orchestrator.domain.deployment import Report, Step
from orchestrator.domain.effects import Ask, unknown
from orchestrator.domain.errors import LockstepError, Problem, UnansweredError
from orchestrator.ports import Dispatch, Leases, Ledger
from workers.attempt import attempt, failed
from workers.crew import Crew
from workers.frontend.armed import AT_ONCE, Armed
from workers.frontend.job import Job
from workers.frontend.steps import Detail, Steps
from workers.handouts import Handouts
from workers.rotation import let_in, take_out
from workers.turns import Turns

log = structlog.get_logger()

#: How often the ledger is read for the reports of other workers, in seconds: first, and at most.
POLL_SECONDS = (0.02, 0.2)
#: Beyond a step's own limit: time for its message to reach a worker and for the report to reach the ledger.
SLACK_SECONDS = 15.0
#: How often the broker is asked whether what was handed to it is still there, in seconds.
CHECK_SECONDS = 0.5
#: How long the broker may be silent before the work is done here, in seconds.
SILENCE_SECONDS = 3.0
#: Before a frontend is asked again after the commit, in seconds, times the attempt.
BACKOFF_SECONDS = 0.5
#: How often those who were given the word are looked at for their answers, in seconds, for any fleet and for each of
#: its frontends: a look at one takes 3 microseconds.
HEAR_SECONDS, HEAR_EACH = 0.005, 0.00002

Deliver = Callable[[Report], None]


class SshFleet:
    """The frontends of one deployment."""

    def __init__(
        self,
        number: int,
        jobs: Callable[[str], Job],
        steps: Steps,
        ledger: Ledger,
        dispatch: Dispatch,
        leases: Leases,
        crew: Crew,
    ) -> None:
        self._number = number
        self._jobs = jobs
        self._steps = steps
        self._ledger = ledger
        self._dispatch = dispatch
        self._leases = leases
        self._crew = crew
        self._armed = Armed(steps)
        self._closed = threading.Event()
        self._turns = Turns(AT_ONCE, f"deployment-{number}")
        # The newest report when a step was last handed out, and the steps of others that are done here.
        self._seen = 0
        self._here: list[Future[None]] = []
        # Whether the ledger said what was new when it was asked last.
        self._told = True

    def ask(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        """Begin these askings, side by side."""
        for step in dict.fromkeys(ask.step for ask in asks):
            group = [ask for ask in asks if ask.step is step]
            match step:
                case Step.STAGE | Step.VERIFY:
                    self._queue(group, deliver)
                case Step.ACTIVATE:
                    self._activate(group, deliver)
                case Step.ARM:
                    self._each(group, deliver, self._armed.arm)
                case Step.CONFIRM:
                    self._each(group, deliver, self._steps.confirm)
                case Step.DRAIN:
                    self._each(group, deliver, self._drain)
                case Step.READMIT:
                    self._each(group, deliver, self._readmit)
                case Step.DISARM:
                    self._armed.close()
                    self._each(group, deliver, self._steps.disarm)

    def close(self) -> None:
        """End what is still open."""
        self._closed.set()
        self._armed.close()
        self._turns.close()
        for step in self._here:
            step.cancel()
        self._steps.hang_up(self._number)

    # ── in this process ──

    def _each(self, asks: Sequence[Ask], deliver: Deliver, act: Callable[[Job], Detail]) -> None:
        """So many at a time; each one's limits count from when its turn has come."""

        def work(ask: Ask) -> None:
            deliver(attempt(ask, lambda: act(self._jobs(ask.frontend))))

        for ask in asks:
            self._turns.give(partial(work, ask), after=BACKOFF_SECONDS * (ask.attempt - 1))

    def _beside(self, name: str, work: Callable[[], None]) -> None:
        """In a thread of its own: what waits for many waits for nobody's turn."""
        threading.Thread(target=work, name=f"deployment-{self._number}-{name}", daemon=True).start()

    def _activate(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        """The word to every open channel, then the answers; frontends without one are asked on their own."""
        armed = {ask.frontend: ask for ask in asks if self._armed.waits(ask.frontend)}
        limits = {name: self._jobs(name).fleet.policy.activate_seconds for name in armed}
        unsent = self._armed.give_word(limits)
        for name, error in unsent.items():
            deliver(failed(armed[name], error))
        self._each([ask for ask in asks if ask.frontend not in armed], deliver, self._steps.activate)
        if waiting := [ask for name, ask in armed.items() if name not in unsent]:
            self._beside("answers", partial(self._hear, waiting, deliver))

    def _hear(self, waiting: list[Ask], deliver: Deliver) -> None:
        """The answers to the word as they come. One that never comes holds back no other."""
        while waiting:
            silent = []
            for ask in waiting:
                if self._answered(ask.frontend):
                    deliver(attempt(ask, partial(self._armed.answer, ask.frontend)))
                else:
                    silent.append(ask)
            waiting = silent
            if self._closed.wait(HEAR_SECONDS + HEAR_EACH * len(waiting)):
                return

    def _answered(self, frontend: str) -> bool:
        """Whether to take the answer now: also where that can't be told, since who takes it says why."""
        try:
            return self._armed.answered(frontend)
        except Exception:
            log.exception("an answer can't be looked for", deployment=self._number, frontend=frontend)
            return True

    def _drain(self, job: Job) -> Detail:
        """Out of rotation, in the ledger as well, so that whoever takes over knows."""
        fleet, frontend, number = job.fleet, job.frontend, job.deployment.id
        reason = f"deployment {number} could not bring it along"
        actor = job.deployment.plan.actor
        drain = self._ledger.add_drain(
            fleet.key,
            frontend.name,
            job.deployment.plan.snapshot,
            actor,
            reason,
            remaining=job.deployment.plan.frontends,
        )
        by = take_out(fleet, frontend, drain.name, drain.number, partial(self._steps.session, job))
        self._ledger.confirm_drain(drain.number, by)
        return {"drain": drain.number, "by": by}

    def _readmit(self, job: Job) -> Detail:
        drain = job.deployment.plan.readmits[job.frontend.name]
        name = job.deployment.name
        return {"by": let_in(job.fleet, job.frontend, name, drain, partial(self._steps.session, job))}

    # ── by other workers ──

    def _queue(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        self._seen = self._newest(self._seen)
        handed = list(batches(asks))
        try:
            memory = self._dispatch.memory()
            for batch in handed:
                self._dispatch.step(self._number, batch)
        except LockstepError as error:
            log.warning("the broker takes no work, it is done here", **error.problem.as_dict())
            self._do_here(asks, deliver)
            return
        handouts = Handouts(self._number, handed, time.monotonic())
        self._beside("reports", partial(self._wait, asks[0], handouts, memory, self._seen, deliver))

    def _newest(self, before: int) -> int:
        """The number of the newest report: what earlier coordinators were told answers nobody here."""
        return max((sequence for sequence, _ in self._ledger.reports(self._number, before)), default=before)

    def _do_here(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        self._here += self._crew.begin(self._number, asks, deliver)

    def _wait(self, first: Ask, handouts: Handouts, memory: str, before: int, deliver: Deliver) -> None:
        """Whatever happens, each asking is answered: nobody else would tell the coordinator of it."""
        try:
            self._poll(first, handouts, memory, before, deliver)
        except Exception as error:
            log.exception("reports can't be waited for", deployment=self._number, step=str(first.step))
            for ask in handouts.left:
                deliver(failed(ask, error))

    def _poll(self, first: Ask, handouts: Handouts, memory: str, before: int, deliver: Deliver) -> None:
        limit = self._limit(first)
        heard = checked = began = time.monotonic()
        pause, longest = POLL_SECONDS
        silent = False
        while handouts.left and (now := time.monotonic()) < began + limit:
            if self._closed.wait(pause):
                return
            pause = min(pause * 1.2, longest)
            if now > checked + CHECK_SECONDS:
                checked = now
                try:
                    memory = self._look(handouts, memory)
                    heard = now
                except UnansweredError:
                    silent = now > heard + SILENCE_SECONDS
            # Read after the leases: a worker lets go of its lease after it has reported.
            for sequence, report in self._new_reports(before):
                before = sequence
                if report.step is first.step and handouts.heard(report):
                    deliver(report)
            if silent:
                log.warning("the broker is silent, its work is done here")
                self._do_here(handouts.left, deliver)
                return
            self._hand_out(handouts.again(time.monotonic()))
        for ask in handouts.left:
            deliver(unknown(ask, self._silent(ask, limit)).report)

    def _new_reports(self, before: int) -> Sequence[tuple[int, Report]]:
        """None where the ledger does not say: the next look asks again, until the step's time is over."""
        try:
            found = list(self._ledger.reports(self._number, before))
        except LockstepError as error:
            if self._told:
                log.warning("the ledger does not tell reports, it is asked again", **error.problem.as_dict())
            self._told = False
            return ()
        self._told = True
        return found

    def _look(self, handouts: Handouts, memory: str) -> str:
        """What nobody works on any more, or will: the broker forgot it, or the worker that began it is gone."""
        held = self._leases.held(handouts.leases)
        now = self._dispatch.memory()
        handouts.look(held, time.monotonic(), forgotten=now != memory)
        return now

    def _hand_out(self, lost: Sequence[Batch]) -> None:
        for batch in lost:
            log.warning("a step is lost, it is handed out again", frontends=list(batch.frontends))
            with contextlib.suppress(LockstepError):
                # Not taken: the next look finds the broker silent.
                self._dispatch.step(self._number, batch)

    def _limit(self, ask: Ask) -> float:
        policy = self._jobs(ask.frontend).fleet.policy
        return (policy.stage_seconds if ask.step is Step.STAGE else policy.verify_seconds) + SLACK_SECONDS

    @staticmethod
    def _silent(ask: Ask, limit: float) -> Problem:
        return Problem(
            "no worker reported in time",
            where=ask.frontend,
            expected=f"a report of {ask.step} within {limit:g} s",
            found="nothing",
            remedy="see that workers run and reach the ledger and the frontend",
        )
