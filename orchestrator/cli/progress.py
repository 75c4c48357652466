"""Following a deployment: a live table on a terminal, plain lines in a pipe, and a last word."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.cli.output import Exit
from orchestrator.domain.deployment import Decision, Deployment, Kind, Outcome, Plan, Report, State, Step, Trouble
from orchestrator.domain.errors import LockstepError, Problem, UnansweredError
from orchestrator.ports import Deployments
from orchestrator.services.lookup import found

#: How often the ledger is read, in seconds. The end is seen half of this late, on average.
LOOK_SECONDS = 0.05
#: A look takes 1 ms, of a large fleet some more: then looks are so many times as far apart, so that the one who watches
#: takes little from those who work.
LOOK_SHARE = 40
#: After this long without a change, it is asked whether any worker is there at all, in seconds.
QUIET_SECONDS = 20.0

#: Of how many frontends each has a row: more are not seen at once, and of 1,000 it takes a second to draw them.
MOST_ROWS = 32

STEPS = (Step.STAGE, Step.VERIFY, Step.ARM, Step.ACTIVATE, Step.CONFIRM)
#: What is asked in what moves no fleet.
STEPS_OF = {
    Kind.READMIT: (Step.STAGE, Step.VERIFY, Step.READMIT, Step.CONFIRM),
    Kind.HEAL: (Step.STAGE, Step.VERIFY),
}


def outcome(deployment: Deployment) -> Exit | None:
    """The exit code of a deployment that rests, None while it goes on."""
    match deployment.state:
        case State.DONE:
            return Exit.DONE
        case State.ABORTED:
            return Exit.ABORTED
        case State.PREPARED if deployment.plan.hold:
            return Exit.DONE
        case _ if deployment.decision is Decision.COMMIT and deployment.troubles:
            return Exit.OPEN
    return None


@dataclass
class Story:
    """What is known of a deployment so far, and the lines that are new."""

    deployment: Deployment
    cells: dict[tuple[str, Step], Report] = field(default_factory=dict)
    sequence: int = 0

    def update(self, ledger: Deployments) -> list[str]:
        """Read on; returns a plain line for each thing that happened since."""
        before = self.deployment.state
        self.deployment = found(ledger, self.deployment.id)
        lines = []
        for sequence, report in ledger.reports(self.deployment.id, self.sequence):
            self.sequence = sequence
            self.cells[report.frontend, report.step] = report
            lines.append(report_line(report))
        if self.deployment.state is not before:
            lines.append(str(self.deployment.state))
        return lines

    def table(self) -> Group:
        """One row per frontend, one column per step; of a large fleet how many answered what, and who has a trouble."""
        plan = self.deployment.plan
        head = Text.assemble((f"{plan.fleet} ", "bold"), f"epoch {self.deployment.epoch}: ", str(self.deployment.state))
        if len(plan.frontends) <= MOST_ROWS:
            return Group(head, self._of(plan.frontends))
        wanted = {name for (name, _), report in self.cells.items() if report.outcome is not Outcome.ACCEPTED}
        failing = [name for name in plan.frontends if name in wanted][:MOST_ROWS]
        return Group(head, self._counts(), *([self._of(failing)] if failing else []))

    def _of(self, frontends: Sequence[str]) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("frontend")
        steps = STEPS_OF.get(self.deployment.plan.kind, STEPS)
        for step in steps:
            table.add_column(str(step), min_width=9)
        for name in frontends:
            table.add_row(name, *(self._cell(name, step) for step in steps))
        return table

    def _counts(self) -> Table:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("step")
        for outcome_ in Outcome:
            table.add_column(str(outcome_), justify="right", min_width=9)
        table.add_column("of", justify="right")
        heard = Counter((step, report.outcome) for (_, step), report in self.cells.items())
        for step in STEPS_OF.get(self.deployment.plan.kind, STEPS):
            counts = (str(heard[step, outcome_]) for outcome_ in Outcome)
            table.add_row(str(step), *counts, str(len(self.deployment.plan.frontends)))
        return table

    def _cell(self, frontend: str, step: Step) -> Text:
        if (frontend, Step.DRAIN) in self.cells and (frontend, step) not in self.cells:
            return Text("drained", style="yellow")
        report = self.cells.get((frontend, step))
        if report is None:
            return Text("·", style="dim")
        if report.outcome is Outcome.ACCEPTED:
            seconds = report.detail.get("seconds")
            return Text("✓" if seconds is None else f"✓ {seconds:.2f} s", style="green")
        return Text("✗" if report.outcome is Outcome.REFUSED else "?", style="bold red")


def report_line(report: Report) -> str:
    """A report in one line."""
    again = f" (attempt {report.attempt})" if report.attempt > 1 else ""
    if report.outcome is Outcome.ACCEPTED:
        detail = report.detail
        mended = f"{detail['entries']} entries, " if "entries" in detail else ""
        parts = {
            Step.STAGE: lambda: (
                f": {mended}{detail['objects']} objects, {detail['bytes']} bytes, {detail['seconds']} s"
            ),
            Step.VERIFY: lambda: f": {detail['files']} answers checked, {detail['seconds']} s",
            Step.ARM: lambda: f": {detail['seconds']} s",
        }
        return f"{report.frontend}: {report.step}{again} done{parts.get(report.step, str)()}"
    word = "refused" if report.outcome is Outcome.REFUSED else "outcome unknown"
    return f"{report.frontend}: {report.step}{again} {word}: {report.problem.get('what', '')}"


def follow(ledger: Deployments, deployment: Deployment, console: Console, alive: Callable[[], bool]) -> Deployment:
    """Show the deployment until it rests. `alive` asks whether any worker answers.

    Raises:
        UnansweredError: the outcome is open as far as can be seen from here: the ledger does not answer any more, or
            nothing happens and no worker answers.
    """
    story = Story(deployment)
    quiet = time.monotonic()
    pause = LOOK_SECONDS

    def read_on() -> list[str]:
        try:
            return story.update(ledger)
        except LockstepError as error:
            raise _unread(story.deployment, error) from error

    def look() -> list[str]:
        nonlocal quiet, pause
        began = time.thread_time()
        lines = read_on()
        pause = max(LOOK_SECONDS, LOOK_SHARE * (time.thread_time() - began))
        if lines:
            quiet = time.monotonic()
        elif time.monotonic() - quiet > QUIET_SECONDS:
            if not alive():
                raise _nobody(story.deployment)
            quiet = time.monotonic()
        return lines

    if console.is_terminal:
        with Live(console=console, refresh_per_second=10, transient=False) as live:
            while outcome(story.deployment) is None:
                look()
                live.update(story.table())
                time.sleep(pause)
            read_on()
            live.update(story.table())
    else:
        while outcome(story.deployment) is None:
            _print(console, look())
            time.sleep(pause)
        _print(console, read_on())
    return story.deployment


def _print(console: Console, lines: Sequence[str]) -> None:
    """All at once: of a large fleet many are new at each look, and each printing has its cost."""
    if lines:
        console.print("\n".join(lines), markup=False, highlight=False)


def _unread(deployment: Deployment, error: LockstepError) -> UnansweredError:
    return UnansweredError(
        f"deployment {deployment.id} can't be watched any more: {error.problem.what}",
        where=error.problem.where,
        expected="an answer of the ledger",
        found=error.problem.found,
        remedy=f"it goes on without this command; when the ledger answers: lockstep deployments show {deployment.id}",
    )


def _nobody(deployment: Deployment) -> UnansweredError:
    return UnansweredError(
        f"deployment {deployment.id} does not go on: no worker answers",
        expected="a running worker",
        found=f"state {deployment.state} for {QUIET_SECONDS:g} s",
        remedy=f"start one (lockstep standalone, or lockstep-worker), then: lockstep continue {deployment.id}, "
        f"or lockstep abort {deployment.id}",
    )


def last_word(deployment: Deployment, before: int | None, drained: Sequence[str] = ()) -> list[Text]:
    """What became of it, as a person would want to read it.

    `before` is the epoch that was served until now; `drained` are its frontends that are out of rotation now.
    """
    plan, number = deployment.plan, deployment.id
    apps = ", ".join(f"{p.app} {p.version}" for p in plan.placements)
    names = [name for name in plan.frontends if name not in drained]
    everyone = f"{len(names)} frontends" if len(names) > 1 else "1 frontend"
    out = Text(f"  drained: {', '.join(drained)}; later: lockstep readmit {plan.fleet} {' '.join(drained)}")
    match outcome(deployment):
        case Exit.DONE if deployment.state is State.DONE and not plan.kind.moves:
            became = "back" if plan.kind is Kind.READMIT else "put right"
            line = f"done: {', '.join(plan.frontends)} of {plan.fleet} {became} at epoch {deployment.epoch}"
            return [Text(line, "green")]
        case Exit.DONE if deployment.state is State.DONE:
            skew = "" if deployment.skew is None else f", flipped within {deployment.skew * 1000:.1f} ms"
            line = f"done: {plan.fleet} serves epoch {deployment.epoch} ({apps}) on {everyone}{skew}"
            return [Text(line, "green"), *([out] if drained else [])]
        case Exit.DONE:
            until = f" until {plan.due_at or plan.expires_at:%Y-%m-%d %H:%M} UTC"
            return [
                Text(f"prepared: {plan.fleet} holds epoch {deployment.epoch} ({apps}), proven on {everyone},{until}"),
                Text(f"  go on{_by_whom(plan)}: lockstep continue {number}; or drop it: lockstep abort {number}"),
            ]
        case Exit.ABORTED if not plan.kind.moves:
            became = "stay out of rotation" if plan.kind is Kind.READMIT else "could not all be put right"
            line = f"aborted: {', '.join(plan.frontends)} of {plan.fleet} {became}"
            return [Text(line, "bold red"), *trouble_lines(deployment.troubles)]
        case Exit.ABORTED:
            still = "nothing is served yet" if before is None else f"every frontend still serves epoch {before}"
            return [Text(f"aborted: nothing was changed, {still}", "bold red"), *trouble_lines(deployment.troubles)]
        case Exit.OPEN:
            return [*_open(deployment), Text(f"  ask them again now: lockstep continue {number}")]
    return [
        Text(f"open: deployment {number} goes on without this command ({deployment.state})", "bold yellow"),
        Text(f"  watch it: lockstep deployments show {number}; end it: lockstep abort {number}"),
    ]


def _by_whom(plan: Plan) -> str:
    return f", by somebody else than {plan.actor}" if plan.four_eyes else ""


def _open(deployment: Deployment) -> list[Text]:
    missing = sorted({trouble.frontend for trouble in deployment.troubles if trouble.frontend})
    return [
        Text(f"open: epoch {deployment.epoch} is committed, but not every frontend confirmed it", "bold yellow"),
        *trouble_lines(deployment.troubles),
        Text("  workers ask them again by themselves, less and less often"),
        *(Text(f"  go on without it: lockstep drain {deployment.plan.fleet} {name}") for name in missing),
    ]


def trouble_lines(troubles: Sequence[Trouble]) -> list[Text]:
    """Each trouble with what was expected, what was found and what to do."""
    return [line for trouble in troubles for line in problem_lines(trouble.problem, f"{trouble.step}: ")]


def problem_lines(problem: Mapping[str, str], label: str = "") -> list[Text]:
    """One problem, indented."""
    head, *rest = str(Problem(**{str(key): value for key, value in problem.items()})).split("\n")
    return [Text(f"  {label}{head}"), *(Text(f"  {line}") for line in rest)]
