"""What goes between a coordination and the world: effects are what it wants done, events are what it hears."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.deployment import Decision, Outcome, Report, State, Step, Trouble
from orchestrator.domain.errors import Problem


class GateName(StrEnum):
    """Where a command of the operators runs: docs/gates.md. Those before something can stop it."""

    BEFORE_STAGE = "before_stage"
    BEFORE_COMMIT = "before_commit"
    AFTER_ACTIVATE = "after_activate"
    ON_ABORT = "on_abort"

    @property
    def stops(self) -> bool:
        """Whether the deployment waits for it before it goes on, and is aborted where it refuses."""
        return self in (GateName.BEFORE_STAGE, GateName.BEFORE_COMMIT)


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


@dataclass(frozen=True, slots=True)
class Gate:
    """Run this gate's command. Answered by a `Gated`, at the latest when its time is over."""

    name: GateName


@dataclass(frozen=True, slots=True)
class CallOff:
    """End the gate's command that runs: nobody waits for it any more."""


Effect = Ask | Move | Prepare | Decide | Rest | Gate | CallOff

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


@dataclass(frozen=True, slots=True)
class Drained:
    """These frontends are out of rotation now, confirmed, whoever took them out."""

    frontends: frozenset[str]


@dataclass(frozen=True, slots=True)
class Gated:
    """How a gate's command ended: it passed where there is no problem."""

    name: GateName
    problem: Mapping[str, str] | None


Event = Heard | Moved | Decided | Drained | Gated


def unknown(ask: Ask, problem: Problem) -> Heard:
    """The event for an asking whose outcome can't be known."""
    return Heard(Report(ask.frontend, ask.step, ask.attempt, Outcome.UNKNOWN, problem=problem.as_dict()))
