"""`orchestrator.ports.Fleet` over SSH: stage and verify through the queue, arm and activate on open channels here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from orchestrator.domain.coordination import Ask, unknown
from orchestrator.domain.deployment import Outcome, Report, Step
from orchestrator.domain.errors import LockstepError, Problem, RefusedError
from orchestrator.ports import Deployments, Dispatch
from workers.frontend.armed import Armed
from workers.frontend.steps import Detail, Job, Steps, problem_of

log = structlog.get_logger()

#: How often the ledger is read for the reports of other workers, in seconds: first, and at most.
POLL_SECONDS = (0.02, 0.2)
#: Beyond a step's own limit: time for its message to reach a worker and for the report to reach the ledger.
SLACK_SECONDS = 15.0
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
    outcome = Outcome.REFUSED if isinstance(error, RefusedError) else Outcome.UNKNOWN
    return Report(ask.frontend, ask.step, ask.attempt, outcome, problem=problem_of(error, ask.frontend))


class SshFleet:
    """The frontends of one deployment."""

    def __init__(
        self, number: int, jobs: Callable[[str], Job], steps: Steps, ledger: Deployments, dispatch: Dispatch
    ) -> None:
        self._number = number
        self._jobs = jobs
        self._steps = steps
        self._ledger = ledger
        self._dispatch = dispatch
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
                case Step.DISARM:
                    self._armed.close()
                    self._each(group, deliver, self._steps.disarm)

    def close(self) -> None:
        """End what is still open."""
        self._closed.set()
        self._armed.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

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

    # ── by other workers ──

    def _queue(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        before = max((sequence for sequence, _ in self._ledger.reports(self._number)), default=0)
        waiting: dict[tuple[str, int], Ask] = {}
        for ask in asks:
            try:
                self._dispatch.step(self._number, ask)
            except LockstepError as error:
                deliver(failed(ask, error))
            else:
                waiting[ask.frontend, ask.attempt] = ask
        self._pool(len(asks)).submit(self._poll, asks[0].step, waiting, before, deliver)

    def _poll(self, step: Step, waiting: dict[tuple[str, int], Ask], before: int, deliver: Deliver) -> None:
        limit = self._limit(step)
        deadline = time.monotonic() + limit
        pause, longest = POLL_SECONDS
        while waiting and time.monotonic() < deadline:
            if self._closed.wait(pause):
                return
            pause = min(pause * 1.2, longest)
            for sequence, report in self._ledger.reports(self._number, before):
                before = sequence
                if report.step is step and waiting.pop((report.frontend, report.attempt), None) is not None:
                    deliver(report)
        for ask in waiting.values():
            deliver(unknown(ask, self._silent(ask, limit)).report)

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
