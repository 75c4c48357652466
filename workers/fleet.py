"""`orchestrator.ports.Fleet` over SSH: stage and verify through the queue, what follows on open channels here."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import structlog

from orchestrator.domain.deployment import Outcome, Report, Step
from orchestrator.domain.effects import Ask, unknown
from orchestrator.domain.errors import ConflictError, LockstepError, Problem, RefusedError, UnansweredError
from orchestrator.ports import Dispatch, Leases, Ledger, work_on
from workers.frontend.armed import Armed
from workers.frontend.job import Job
from workers.frontend.steps import Detail, Steps, problem_of
from workers.rotation import let_in, take_out

log = structlog.get_logger()

#: How often the ledger is read for the reports of other workers, in seconds: first, and at most.
POLL_SECONDS = (0.02, 0.2)
#: Beyond a step's own limit: time for its message to reach a worker and for the report to reach the ledger.
SLACK_SECONDS = 15.0
#: How often the broker is asked whether what was handed to it is still there, in seconds.
CHECK_SECONDS = 0.5
#: How long the broker may be silent before the work is done here, in seconds.
SILENCE_SECONDS = 3.0
#: How long a message may wait for a worker before another one is sent, in seconds: a worker that died with it in its
#: hands has taken it along.
WAIT_SECONDS = 20.0
#: How often a step is handed out again whose worker is gone, or whose message is lost.
HANDOUTS = 5
#: Before a frontend is asked again after the commit, in seconds, times the attempt.
BACKOFF_SECONDS = 0.5

Deliver = Callable[[Report], None]


def attempt(ask: Ask, act: Callable[[], Detail]) -> Report:
    """Do a step and report how it went."""
    try:
        return Report(ask.frontend, ask.step, ask.attempt, Outcome.ACCEPTED, detail=dict(act()))
    except LockstepError as error:
        return failed(ask, error)
    except Exception as error:  # a fault of ours must not leave a coordinator waiting
        log.exception("step failed", frontend=ask.frontend, step=str(ask.step))
        return failed(ask, error)


def failed(ask: Ask, error: Exception) -> Report:
    """Refused where the other side said no; unknown where nobody can tell what happened."""
    outcome = Outcome.REFUSED if isinstance(error, RefusedError | ConflictError) else Outcome.UNKNOWN
    return Report(ask.frontend, ask.step, ask.attempt, outcome, problem=problem_of(error, ask.frontend))


@dataclass
class Handout:
    """A step that was handed to the broker: how often, and whether some worker was seen at work on it."""

    ask: Ask
    times: int = 1
    begun: bool = False
    since: float = field(default_factory=time.monotonic)


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
    ) -> None:
        self._number = number
        self._jobs = jobs
        self._steps = steps
        self._ledger = ledger
        self._dispatch = dispatch
        self._leases = leases
        self._armed = Armed(steps)
        self._closed = threading.Event()
        self._threads: ThreadPoolExecutor | None = None

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
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        self._steps.hang_up(self._number)

    # ── in this process ──

    def _pool(self, size: int) -> ThreadPoolExecutor:
        # One thread for each frontend of the fleet: they wait for the network, not for the processor.
        if self._threads is None:
            self._threads = ThreadPoolExecutor(max(size, 4), thread_name_prefix=f"deployment-{self._number}")
        return self._threads

    def _each(self, asks: Sequence[Ask], deliver: Deliver, act: Callable[[Job], Detail]) -> None:
        def work(ask: Ask) -> None:
            if ask.attempt > 1:
                self._closed.wait(BACKOFF_SECONDS * (ask.attempt - 1))
            deliver(attempt(ask, lambda: act(self._jobs(ask.frontend))))

        for ask in asks:
            self._pool(len(asks)).submit(work, ask)

    def _activate(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        """The word to every open channel, then the answers; frontends without one are asked on their own."""
        armed = [ask for ask in asks if self._armed.waits(ask.frontend)]
        limits = {ask.frontend: self._jobs(ask.frontend).fleet.policy.activate_seconds for ask in armed}
        unsent = self._armed.give_word(limits)

        def hear(job: Job) -> Detail:
            if job.frontend.name in unsent:
                raise unsent[job.frontend.name]
            return self._armed.answer(job.frontend.name)

        self._each(armed, deliver, hear)
        self._each([ask for ask in asks if ask not in armed], deliver, self._steps.activate)

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
        before = max((sequence for sequence, _ in self._ledger.reports(self._number)), default=0)
        waiting = {(ask.frontend, ask.attempt): Handout(ask) for ask in asks}
        try:
            memory = self._dispatch.memory()
            for ask in asks:
                self._dispatch.step(self._number, ask)
        except LockstepError as error:
            log.warning("the broker takes no work, it is done here", **error.problem.as_dict())
            self._each(asks, deliver, partial(self._steps.do, asks[0].step))
            return
        self._pool(len(asks) + 1).submit(self._poll, asks[0].step, waiting, memory, before, deliver)

    def _poll(
        self, step: Step, waiting: dict[tuple[str, int], Handout], memory: str, before: int, deliver: Deliver
    ) -> None:
        limit = self._limit(step)
        heard = checked = began = time.monotonic()
        pause, longest = POLL_SECONDS
        while waiting and (now := time.monotonic()) < began + limit:
            if self._closed.wait(pause):
                return
            pause = min(pause * 1.2, longest)
            lost: list[Handout] | None = []
            if now > checked + CHECK_SECONDS:
                checked = now
                try:
                    lost, memory = self._lost(waiting, memory)
                    heard = now
                except UnansweredError:
                    lost = None if now > heard + SILENCE_SECONDS else []
            # Read after the leases: a worker lets go of its lease after it has reported.
            for sequence, report in self._ledger.reports(self._number, before):
                before = sequence
                if report.step is step and waiting.pop((report.frontend, report.attempt), None) is not None:
                    deliver(report)
            if lost is None:
                log.warning("the broker is silent, its work is done here")
                self._each([handout.ask for handout in waiting.values()], deliver, partial(self._steps.do, step))
                return
            self._hand_out_again([handout for handout in lost if handout in waiting.values()])
        for handout in waiting.values():
            deliver(unknown(handout.ask, self._silent(handout.ask, limit)).report)

    def _lost(self, waiting: Mapping[tuple[str, int], Handout], memory: str) -> tuple[list[Handout], str]:
        """What nobody works on any more, or will: the broker forgot it, or the worker that began it is gone."""
        names = {work_on(self._number, handout.ask): handout for handout in waiting.values()}
        held = self._leases.held(list(names))
        now = self._dispatch.memory()
        late = time.monotonic() - WAIT_SECONDS
        lost = [
            handout
            for name, handout in names.items()
            if name not in held and (handout.begun or now != memory or handout.since < late)
        ]
        for name in held:
            names[name].begun = True
        return lost, now

    def _hand_out_again(self, lost: Sequence[Handout]) -> None:
        for handout in lost:
            handout.begun, handout.since = False, time.monotonic()
            handout.times += 1
            if handout.times > HANDOUTS:
                continue
            log.warning("a step is lost, it is handed out again", frontend=handout.ask.frontend)
            with contextlib.suppress(LockstepError):
                # Not taken: the next check finds the broker silent.
                self._dispatch.step(self._number, handout.ask)

    def _limit(self, step: Step) -> float:
        deployment = self._ledger.deployment(self._number)
        assert deployment is not None
        policy = self._jobs(deployment.plan.frontends[0]).fleet.policy
        return (policy.stage_seconds if step is Step.STAGE else policy.verify_seconds) + SLACK_SECONDS

    @staticmethod
    def _silent(ask: Ask, limit: float) -> Problem:
        return Problem(
            "no worker reported in time",
            where=ask.frontend,
            expected=f"a report of {ask.step} within {limit:g} s",
            found="nothing",
            remedy="see that workers run and reach the ledger and the frontend",
        )
