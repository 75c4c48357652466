"""What the ledger keeps of those outside: who asks, what they asked for, and what they are to be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from orchestrator.domain.access import Grant
    from orchestrator.domain.delivery import Answer, Delivery
    from orchestrator.domain.lifetime.plan import DeploymentPlan
    from orchestrator.domain.trail import Action, Entry
    from orchestrator.domain.trigger import Claim, Trigger


@dataclass(frozen=True, slots=True)
class Token:
    """An API token without its secret, of which the ledger keeps the SHA-256. `public` is the part that is shown."""

    public: str
    name: str
    hash: str
    grants: tuple[Grant, ...]
    actor: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class Tokens(Protocol):
    """The ledger's API tokens."""

    def add_token(self, token: Token) -> None:
        """Record a token, and that it was issued."""
        ...

    def token(self, public: str) -> Token | None:
        """One token, valid or not, or None."""
        ...

    def tokens(self) -> list[Token]:
        """All of them, oldest first."""
        ...

    def revoke_token(self, public: str, actor: str) -> Token | None:
        """Say that it is not valid any more; None where there is none. Once more is no change."""
        ...


@dataclass(frozen=True, slots=True)
class NamedRequest:
    """A request that its sender gave a name. `status` and `answer` are None as long as nobody has answered it."""

    digest: str
    created_at: datetime
    status: int | None = None
    answer: Mapping[str, Any] | None = None


class Requests(Protocol):
    """The ledger's requests: the same one again gets the same answer. `scope` is whose, and what for."""

    def claim(self, scope: str, name: str, digest: str) -> NamedRequest | None:
        """Take it, durably: None. Where it was taken before, what is known of it. Drops what is old."""
        ...

    def settle(self, scope: str, name: str, status: int, answer: Mapping[str, Any]) -> None:
        """Keep its answer."""
        ...

    def drop(self, scope: str, name: str) -> None:
        """Nothing was done: it can be sent again."""
        ...


class Trail(Protocol):
    """What changed anything, in order (`orchestrator.domain.trail`)."""

    def add(self, action: Action) -> Entry:
        """Add what changed nothing else in the ledger: what did is added with the change."""
        ...

    def entries(self, after: int = 0, limit: int = 500, *, fleet: str | None = None) -> Sequence[Entry]:
        """Entries in their order, from the one behind number `after` on, of one fleet or all.

        `UnreadableError` where the first of them is none: those before an unreadable one are answered.
        """
        ...

    def newest(self, limit: int, *, fleet: str | None = None) -> Sequence[Entry]:
        """The newest entries, in their order."""
        ...

    def last(self) -> Entry | None:
        """The newest entry."""
        ...


@dataclass(frozen=True, slots=True)
class Position:
    """How far a receiver's deliveries are made out: up to `position` of a trail that ends at `last`.

    `due_at` is when to try the first of those that wait; None where none does.
    """

    receiver: str
    position: int
    last: int
    due_at: datetime | None


class Deliveries(Protocol):
    """The ledger's outbox (docs/notices.md): what receivers are to be told, and how that went."""

    def positions(self) -> Mapping[str, Position]:
        """Every receiver that was ever begun, by its name. One query."""
        ...

    def begin(self, receiver: str) -> None:
        """Tell a receiver what happens from now on. No change where it has begun."""
        ...

    def make_out(self, receiver: str, position: int, until: int, entries: Sequence[int], patience: timedelta) -> bool:
        """Make out deliveries of `entries` and move the receiver from `position` to `until`, both or neither.

        False where somebody else has moved it: nothing was written.
        """
        ...

    def first(self, receiver: str) -> Delivery | None:
        """The first of those that wait, due or not; later ones wait for it."""
        ...

    def claim(self, delivery: Delivery, until: datetime) -> Delivery | None:
        """Begin an attempt, which is nobody else's before `until`; None where somebody else was first."""
        ...

    def settle(self, claimed: Delivery, after: Delivery) -> bool:
        """Record what came of an attempt; False where the claim is another's by now, and nothing was written."""
        ...

    def delivery(self, number: int) -> Delivery | None:
        """One delivery, or None."""
        ...

    def deliveries(
        self, receiver: str | None = None, *, failed: bool = False, before: int | None = None, limit: int = 50
    ) -> list[Delivery]:
        """Deliveries, newest first: below number `before`; `failed`: those alone that were given up."""
        ...

    def repeat(self, chosen: Mapping[int, timedelta], actor: str) -> None:
        """Make deliveries due now, each for so long, and say so in the trail."""
        ...


class Receiver(Protocol):
    """Somebody who is told of events. Safe to use from several threads."""

    @property
    def name(self) -> str:
        """``webhook/NAME`` or ``notice/NAME``."""
        ...

    @property
    def patience(self) -> timedelta:
        """How long an event is tried."""
        ...

    def wants(self, entry: Entry) -> bool:
        """Whether it is to be told of this event."""
        ...

    def send(self, delivery: str, entry: Entry) -> Answer:
        """Tell it, within `SEND_SECONDS`; `delivery` is the same at each attempt. `LockstepError` where it can't be."""
        ...


#: How long telling a receiver may take, in seconds.
SEND_SECONDS = 10.0


class Triggers(Protocol):
    """What hooks in have set off, each delivery once (`orchestrator.domain.trigger`)."""

    def claim(self, claim: Claim) -> Trigger | None:
        """Claim it, and tell the trail; None where that name of that hook is claimed already."""
        ...

    def release(self, number: int, fleet: str, problem: Mapping[str, str]) -> None:
        """As if it had not been claimed, unless it has ended."""
        ...

    def begin(self, number: int) -> bool:
        """Whether this call, and no other, is to do what was claimed; `result` says since when: ``begun``."""
        ...

    def deployed(self, number: int, deployment: int) -> bool:
        """Keep which deployment it set off; False where another one has set that off."""
        ...

    def end(self, number: int, result: Mapping[str, Any], deployment: int | None = None) -> None:
        """Keep how it ended, unless it has ended."""
        ...

    def trigger(self, hook: str, name: str) -> Trigger | None:
        """One of them, or None."""
        ...

    def unended(self, hook: str) -> list[Trigger]:
        """Those of a hook for which something is still to be done, oldest first."""
        ...


class Results(Protocol):
    """Result files in folders that others read."""

    def put(self, folder: str, name: str, content: str) -> bool:
        """Have a file appear, whole; False where it is there already. `LockstepError` where it can't."""


class LifetimePlans(Protocol):
    """The ledger's deployment plans of LifeTime's API. A bool says whether this call did it."""

    def add_plan(self, plan: DeploymentPlan) -> None:
        """Record a new plan."""
        ...

    def plan(self, key: str) -> DeploymentPlan | None:
        """One plan, or None."""
        ...

    def plans(self, since: datetime, until: datetime | None, targets: Sequence[str]) -> list[DeploymentPlan]:
        """The plans for these environments that were created in that time, `until` excluded, newest first."""
        ...

    def change_plan(self, plan: DeploymentPlan) -> bool:
        """Put another content in the place of a saved one's."""
        ...

    def delete_plan(self, plan: DeploymentPlan, actor: str) -> bool:
        """Remove a saved plan."""
        ...

    def start_plan(self, plan: DeploymentPlan, actor: str) -> DeploymentPlan | None:
        """Say that a saved plan is started now; None where it is not saved."""
        ...

    def unstart_plan(self, plan: DeploymentPlan, problem: Mapping[str, str]) -> bool:
        """Say that it could not be started and is saved as before."""
        ...

    def bind_plan(self, plan: DeploymentPlan, deployment: int) -> bool:
        """Say which deployment it became; a deployment is one plan's."""
        ...

    def fail_plan(self, plan: DeploymentPlan, problem: Mapping[str, str]) -> bool:
        """Say that it was started and no deployment came of it."""
        ...

    def note_abort(self, plan: DeploymentPlan, actor: str) -> bool:
        """Keep who aborted it first, and when."""
        ...
