"""A deployment: its states, what may follow what, and its record.

Pure. The ledger stores these records; docs/protocol.md, "States", draws them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from orchestrator.domain.activation import Activation, ActivationName, Placement
from orchestrator.domain.errors import ConflictError
from orchestrator.domain.update import Update


class State(StrEnum):
    """Where a deployment stands. Every state but `DONE` and `ABORTED` is open: it holds the fleet."""

    PLANNED = "planned"
    STAGING = "staging"
    VERIFYING = "verifying"
    PREPARED = "prepared"
    ARMING = "arming"
    ACTIVATING = "activating"
    FINISHING = "finishing"
    DONE = "done"
    ABORTING = "aborting"
    ABORTED = "aborted"

    @property
    def ended(self) -> bool:
        """Whether the deployment is closed and the fleet free for the next."""
        return self in (State.DONE, State.ABORTED)


class Decision(StrEnum):
    """What the ledger says was decided. Written once, by compare-and-set, never changed."""

    COMMIT = "commit"
    ABORT = "abort"


class Kind(StrEnum):
    """Why there is a deployment."""

    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    #: Not a move of the fleet: drained frontends are brought to what it serves, at its epoch, and back into rotation.
    READMIT = "readmit"
    #: Not a move of the fleet: frontends in rotation are put right where an audit found them wrong (docs/audits.md).
    HEAL = "heal"

    @property
    def moves(self) -> bool:
        """Whether the fleet serves something else afterwards, under an epoch of its own."""
        return self in (Kind.DEPLOY, Kind.ROLLBACK)


#: Moves without a decision. `decided_state` gives the moves that a decision makes.
MOVES: Mapping[State, frozenset[State]] = {
    State.PLANNED: frozenset({State.STAGING}),
    State.STAGING: frozenset({State.VERIFYING}),
    State.VERIFYING: frozenset({State.PREPARED, State.ARMING}),
    State.PREPARED: frozenset({State.VERIFYING}),
    State.ARMING: frozenset(),
    State.ACTIVATING: frozenset({State.FINISHING}),
    State.FINISHING: frozenset({State.DONE}),
    State.DONE: frozenset(),
    State.ABORTING: frozenset({State.ABORTED}),
    State.ABORTED: frozenset(),
}

#: The states in which nothing is decided yet.
UNDECIDED = frozenset({State.PLANNED, State.STAGING, State.VERIFYING, State.PREPARED, State.ARMING})


def decided_state(decision: Decision) -> State:
    """The state that the row takes in the same write as the decision."""
    return State.ACTIVATING if decision is Decision.COMMIT else State.ABORTING


def may_decide(state: State, decision: Decision) -> bool:
    """Abort from any undecided state; commit only when arming."""
    return state is State.ARMING if decision is Decision.COMMIT else state in UNDECIDED


class Step(StrEnum):
    """What a frontend is asked to do."""

    STAGE = "stage"
    VERIFY = "verify"
    ARM = "arm"
    ACTIVATE = "activate"
    CONFIRM = "confirm"
    DISARM = "disarm"
    #: Out of rotation, confirmed by the load balancer.
    DRAIN = "drain"
    #: Back into rotation.
    READMIT = "readmit"


class Outcome(StrEnum):
    """How a frontend answered. `UNKNOWN` is neither of the others: it may or may not have done it."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Report:
    """One answer of one frontend to one step, kept for ever.

    `attempt` numbers the asking (verify is asked twice around a hold, activate until it is answered); `detail`
    holds what the step measured (docs/protocol.md, "Reports"); `problem` is empty where it was accepted.
    """

    frontend: str
    step: Step
    attempt: int
    outcome: Outcome
    detail: Mapping[str, Any] = field(default_factory=dict)
    problem: Mapping[str, str] = field(default_factory=dict)
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a deployment was aborted or stays open: the step, the frontend ("" for the fleet) and the problem."""

    step: str
    frontend: str
    problem: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The trouble as JSON carries it."""
        return {"frontend": self.frontend, "problem": dict(self.problem), "step": self.step}


@dataclass(frozen=True, slots=True)
class Healing:
    """What a deployment of the kind heal is to do.

    `audit` is the number of the audit that asked for it. `fence` is the highest epoch that the fleet ever had, whatever
    became of it: the fencing token of every command. `remove_extra`: what should not be there is removed as well.
    """

    audit: int
    fence: int
    remove_extra: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for, before it has an epoch.

    `fleet` is the key ``environment/fleet``; `frontends` are the names in rotation; `snapshot` is the fleet as the
    inventory gave it, so that a worker needs no inventory of its own and a later edit changes nothing. `readmits`
    maps, where the kind is readmit, each frontend to the number of the drain that ends with this deployment; `healing`
    is given where the kind is heal. `updates` say what it means for each app whose release changes (docs/ota.md); the
    ledger keeps their documents. `after` is the number of the fleet's newest deployment when this was planned, 0 where
    there was none; None where it does not matter.
    """

    fleet: str
    kind: Kind
    changes: Mapping[str, str]
    placements: tuple[Placement, ...]
    frontends: tuple[str, ...]
    snapshot: Mapping[str, Any]
    actor: str
    hold: bool = False
    due_at: datetime | None = None
    expires_at: datetime | None = None
    readmits: Mapping[str, int] = field(default_factory=dict)
    updates: tuple[Update, ...] = ()
    after: int | None = None
    healing: Healing | None = None

    @property
    def four_eyes(self) -> bool:
        """Whether somebody else than the actor has to let it go on: as the fleet said when this was planned.

        What moves no fleet needs nobody.
        """
        return self.kind.moves and self.snapshot.get("four_eyes") is True


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment's row in the ledger. Times are in UTC; `skew` is in seconds; `updates` are documents, by app."""

    id: int
    plan: Plan
    name: ActivationName
    state: State
    decision: Decision | None
    created_at: datetime
    decided_at: datetime | None = None
    ended_at: datetime | None = None
    troubles: tuple[Trouble, ...] = ()
    skew: float | None = None
    updates: Mapping[str, Any] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The deployment's epoch; it is the fencing token of every command."""
        return self.name.epoch

    @property
    def activation(self) -> Activation:
        """What the fleet serves when this deployment is done."""
        return Activation.of(self.name, self.plan.placements)


def overtaken(fleet: str, newest: int) -> ConflictError:
    """Another deployment came between the planning of one and its row."""
    return ConflictError(
        f"{fleet} was moved by somebody else while this deployment was being planned",
        found=f"deployment {newest}",
        remedy="look at what the fleet serves, then deploy again",
    )
