"""Who is in rotation: drains, and what follows from them. Pure; docs/protocol.md, "Rotation"."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.deployment import Deployment, Kind, State
from orchestrator.domain.errors import ConflictError


@dataclass(frozen=True, slots=True)
class Drain:
    """One frontend's time out of rotation, from a row of the ledger.

    `number` grows with each drain: it is the fencing token of what takes a frontend out and lets it back in. `by` is
    who confirmed that it is out, "" while nobody has: until then it counts as in rotation. `name` is the activation of
    the fleet's newest deployment at that time: no fence is above its epoch. `snapshot` is the fleet as the inventory
    gave it. `problem` is why it could not be confirmed the last time.
    """

    number: int
    fleet: str
    frontend: str
    name: ActivationName
    actor: str
    reason: str
    snapshot: Mapping[str, Any]
    created_at: datetime
    by: str = ""
    confirmed_at: datetime | None = None
    lifted_at: datetime | None = None
    problem: Mapping[str, str] = field(default_factory=dict)

    @property
    def confirmed(self) -> bool:
        """Whether the frontend is out of rotation, as far as anybody could find out."""
        return self.confirmed_at is not None


def last_in_rotation(fleet: str, frontend: str) -> ConflictError:
    """Nobody would be left to serve."""
    return ConflictError(
        f"{frontend} is the last frontend of {fleet} in rotation",
        expected="another one that goes on serving",
        remedy="bring another one in first: lockstep readmit",
    )


@dataclass(frozen=True, slots=True)
class Rotation:
    """A fleet's frontends: in rotation, drained (each with its drain), and new: never part of a deployment."""

    serving: tuple[str, ...]
    drained: Mapping[str, Drain]
    new: tuple[str, ...]


def rotation(
    names: Iterable[str], last: Deployment | None, since: Sequence[Deployment], drains: Iterable[Drain]
) -> Rotation:
    """From the inventory's `names`, the fleet's last committed deployment, the readmissions since, and open drains.

    Before the first deployment everybody is in rotation: nobody serves anything. Later, a frontend that had no part in
    what was committed last comes in through a readmission.
    """
    out = {drain.frontend: drain for drain in drains if drain.confirmed}
    if last is None:
        members = None
    else:
        back = (
            row for row in since if row.plan.kind is Kind.READMIT and row.state is State.DONE and row.name == last.name
        )
        members = set(last.plan.frontends).union(*(row.plan.frontends for row in back))
    serving: list[str] = []
    new: list[str] = []
    for name in names:
        if name in out:
            continue
        (serving if members is None or name in members else new).append(name)
    return Rotation(tuple(serving), out, tuple(new))
