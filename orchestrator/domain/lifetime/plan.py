"""LifeTime's deployment plans, and what a plan's deployment means in LifeTime's words. docs/lifetime.md, "Statuses"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from orchestrator.domain.deployment import Decision, Deployment, Outcome, Report, State, Step
from orchestrator.domain.errors import ConflictError, UsageError

#: How long the start of a plan may take until its deployment is in the ledger. After that, whoever started it is gone.
STARTING = timedelta(seconds=60)
#: What clients know the hold of a two-step deployment by.
PREPARED = "deployment_prepared"


class Status(StrEnum):
    """All the words that there are. Clients take any other for a success."""

    SAVED = "saved"
    RUNNING = "running"
    NEEDS_USER_INTERVENTION = "needs_user_intervention"
    ABORTED = "aborted"
    FINISHED_SUCCESSFUL = "finished_successful"
    FINISHED_WITH_WARNINGS = "finished_with_warnings"
    FINISHED_WITH_ERRORS = "finished_with_errors"


class UnknownKeyError(UsageError):
    """There is nothing of that key."""


class ImpossibleError(ConflictError):
    """The plan is not where this can be done with it. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One application of a plan, and its version."""

    app: str
    version: str

    @property
    def words(self) -> str:
        """What LifeTime calls the operation."""
        return f"Deploy {self.version}"


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """A plan. `source` ("" for none) and `target` are environments, `fleet` is the one zone that it deploys to.

    What became of it is its deployment's to say. `problem` is set where it was started and got none.
    """

    key: str
    source: str
    target: str
    fleet: str
    notes: str
    operations: tuple[Operation, ...]
    created_at: datetime
    created_by: str
    saved_at: datetime
    saved_by: str
    started_at: datetime | None = None
    started_by: str = ""
    aborted_at: datetime | None = None
    aborted_by: str = ""
    deployment: int | None = None
    problem: Mapping[str, str] = field(default_factory=dict)

    @property
    def saved(self) -> bool:
        """Whether it may still be changed, deleted and started."""
        return self.started_at is None

    @property
    def changes(self) -> dict[str, str]:
        """What its deployment changes: app -> version."""
        return {operation.app: operation.version for operation in self.operations}

    def lost(self, now: datetime) -> bool:
        """Whether whoever started it has had the time to say what came of it, and did not."""
        open_still = self.started_at is not None and self.deployment is None and not self.problem
        return open_still and self.started_at is not None and now - self.started_at > STARTING


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a deployment's log."""

    at: datetime
    message: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a plan stands."""

    status: Status
    info: str = ""
    log: tuple[Line, ...] = ()


def standing(plan: DeploymentPlan, deployment: Deployment | None, reports: Sequence[Report] = ()) -> Standing:
    """Where a plan stands: by its own row while it is saved, from then on by its deployment's row and reports."""
    if plan.started_at is None:
        return Standing(Status.SAVED)
    began = Line(plan.started_at, f"started by {plan.started_by}")
    if deployment is None:
        if plan.problem:
            return Standing(Status.FINISHED_WITH_ERRORS, "", (began, Line(plan.started_at, sentence(plan.problem))))
        return Standing(Status.RUNNING, "", (began,))
    status = status_of(deployment, reports)
    info = PREPARED if status is Status.NEEDS_USER_INTERVENTION else ""
    return Standing(status, info, (began, *_log(deployment, reports)))


def status_of(deployment: Deployment, reports: Sequence[Report]) -> Status:
    """A deployment's state in LifeTime's words.

    What is being aborted is still `running`: clients know no word for it. So is what was committed and has not been
    answered by every frontend: Lockstep itself asks again, and nobody needs to intervene.
    """
    match deployment.state:
        case State.PREPARED if deployment.plan.hold:
            return Status.NEEDS_USER_INTERVENTION
        case State.DONE:
            missing = left_out(deployment, reports)
            return Status.FINISHED_WITH_WARNINGS if missing else Status.FINISHED_SUCCESSFUL
        case State.ABORTED:
            wanted = all(trouble.step in ("abort", "hold") for trouble in deployment.troubles)
            return Status.ABORTED if wanted else Status.FINISHED_WITH_ERRORS
        case _:
            return Status.RUNNING


def left_out(deployment: Deployment, reports: Sequence[Report]) -> tuple[str, ...]:
    """The frontends of a deployment that is done which never proved what they serve: they were drained meanwhile."""
    confirmed = {
        report.frontend for report in reports if report.step is Step.CONFIRM and report.outcome is Outcome.ACCEPTED
    }
    return tuple(name for name in deployment.plan.frontends if name not in confirmed)


def sentence(problem: Mapping[str, str]) -> str:
    """A problem on one line."""
    words = [problem.get("what", "")]
    for label, name in (("", "where"), ("expected ", "expected"), ("found ", "found"), ("what to do: ", "remedy")):
        if problem.get(name):
            words.append(label + problem[name])
    return "; ".join(" ".join(word.split()) for word in words if word)


def _log(deployment: Deployment, reports: Sequence[Report]) -> list[Line]:
    apps = ", ".join(f"{app} {version}" for app, version in sorted(deployment.plan.changes.items()))
    lines = [
        Line(
            deployment.created_at,
            f"deployment {deployment.id}: {apps} to {deployment.plan.fleet}, epoch {deployment.epoch}, "
            f"frontends {', '.join(deployment.plan.frontends)}",
        ),
        *_steps(deployment, reports),
        *_refusals(reports),
    ]
    if deployment.decided_at is not None:
        word = "committed" if deployment.decision is Decision.COMMIT else "aborted: nothing was changed"
        lines.append(Line(deployment.decided_at, word))
    latest = deployment.ended_at or deployment.decided_at or deployment.created_at
    for trouble in deployment.troubles:
        who = f"{trouble.frontend}: " if trouble.frontend else ""
        lines.append(Line(deployment.decided_at or latest, f"{who}{trouble.step}: {sentence(trouble.problem)}"))
    if deployment.state is State.DONE and (missing := left_out(deployment, reports)):
        lines.append(Line(latest, f"done without {', '.join(missing)}, out of rotation since"))
    elif deployment.state.ended:
        lines.append(Line(latest, str(deployment.state)))
    return sorted(lines, key=lambda line: line.at)


def _steps(deployment: Deployment, reports: Sequence[Report]) -> list[Line]:
    """One line for each step that frontends have done, at the time of the last."""
    done: dict[Step, dict[str, datetime]] = {}
    for report in reports:
        if report.outcome is Outcome.ACCEPTED:
            done.setdefault(report.step, {})[report.frontend] = report.at or deployment.created_at
    total = len(deployment.plan.frontends)
    return [Line(max(who.values()), f"{step}: done on {len(who)} of {total} frontends") for step, who in done.items()]


def _refusals(reports: Sequence[Report]) -> list[Line]:
    """One line for each thing that went wrong on a frontend, however often it was tried."""
    lines: dict[tuple[Any, ...], Line] = {}
    for report in reports:
        if report.outcome is not Outcome.ACCEPTED and report.at is not None:
            said = f"{report.frontend}: {report.step} {report.outcome}: {sentence(report.problem)}"
            lines[report.frontend, report.step, said] = Line(report.at, said)
    return list(lines.values())
