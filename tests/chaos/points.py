"""The rows and columns of the kill matrix: where something is done to a deployment, and what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Point(StrEnum):
    """Where the coordinator stands when it happens: right after a write of the ledger, or among the words."""

    STAGING = "staging"
    VERIFYING = "verifying"
    #: Held, and nobody leads it; it is continued after the deed.
    PREPARED = "prepared"
    ARMING = "arming"
    #: Every frontend is armed.
    BEFORE_DECISION = "before-decision"
    #: The row is activating: the same write. No word is sent.
    AFTER_DECISION = "after-decision"
    #: One frontend has its word, the others have none.
    BETWEEN_WORDS = "between-words"
    #: No answer is read yet.
    AFTER_WORDS = "after-words"
    FINISHING = "finishing"
    DONE = "done"
    #: An operator aborted what was held, and no frontend is disarmed yet.
    ABORTING = "aborting"

    @property
    def decided(self) -> bool:
        """Whether the decision to commit is in the ledger."""
        return self in _DECIDED

    @property
    def held(self) -> bool:
        """Whether the deployment is held before."""
        return self in (Point.PREPARED, Point.ABORTING)

    @property
    def led(self) -> bool:
        """Whether somebody must take over where its coordinator dies here."""
        return self not in (Point.PREPARED, Point.DONE)


_DECIDED = frozenset(
    {Point.AFTER_DECISION, Point.BETWEEN_WORDS, Point.AFTER_WORDS, Point.FINISHING, Point.DONE},
)


class Deed(StrEnum):
    """What is done there."""

    WORKER_KILLED = "worker-killed"
    #: SIGSTOP; and SIGCONT once another worker has brought the deployment to its end.
    WORKER_STOPPED = "worker-stopped"
    #: Started again, emptied, after a moment.
    REDIS_KILLED = "redis-killed"
    #: Started again when the deployment has ended, or rests.
    REDIS_GONE = "redis-gone"
    #: Its first process; started again after a moment.
    POSTGRES_KILLED = "postgres-killed"

    @property
    def act(self) -> Act:
        """What the coordinating worker does to itself."""
        return _ACTS.get(self, Act.WAIT)


class Act(StrEnum):
    """What a worker does that walks into a trap."""

    KILL = "kill"
    STOP = "stop"
    #: Nothing: somebody else does it meanwhile.
    WAIT = "wait"


_ACTS = {Deed.WORKER_KILLED: Act.KILL, Deed.WORKER_STOPPED: Act.STOP}


class Database(StrEnum):
    """What keeps the ledger."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


@dataclass(frozen=True, slots=True)
class Cell:
    """One run of the matrix."""

    database: Database
    deed: Deed
    point: Point

    @property
    def key(self) -> str:
        """Its name, by which `--only` chooses it."""
        return f"{self.database}/{self.deed}/{self.point}"

    @property
    def column(self) -> tuple[Database, Deed]:
        """The cells that differ in their point alone."""
        return self.database, self.deed


#: The points at which it matters whether the ledger's database heard of the decision.
AROUND_DECISION = (
    Point.ARMING,
    Point.BEFORE_DECISION,
    Point.AFTER_DECISION,
    Point.BETWEEN_WORDS,
    Point.AFTER_WORDS,
)
_ON_SQLITE = (Deed.WORKER_KILLED, Deed.WORKER_STOPPED, Deed.REDIS_KILLED, Deed.REDIS_GONE)

MATRIX = (
    *(Cell(Database.SQLITE, deed, point) for deed in _ON_SQLITE for point in Point),
    *(Cell(Database.POSTGRESQL, Deed.WORKER_KILLED, point) for point in Point),
    *(Cell(Database.POSTGRESQL, Deed.WORKER_STOPPED, point) for point in AROUND_DECISION),
    *(Cell(Database.POSTGRESQL, Deed.POSTGRES_KILLED, point) for point in AROUND_DECISION),
)
