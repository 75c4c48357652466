"""The trees of one frontend, inspected: in one go where that works, else in parts, so that one tree hides no other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.domain.audit.observation import InspectedTree
from orchestrator.domain.errors import LockstepError, UnansweredError
from workers.frontend.inspection import Inspect
from workers.frontend.transport import Session


@dataclass(slots=True)
class Disk:
    """What was seen so far: trees, why others were not seen, and the files and bytes that were read for it."""

    trees: dict[str, InspectedTree | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    files: int = 0
    bytes: int = 0

    def inspect(self, session: Session, trees: Sequence[str], *, deep: bool, deadline: float) -> None:
        """Look at `trees`, until `deadline` (of the monotonic clock) at most. Raises nothing that a frontend can do."""
        try:
            left = deadline - time.monotonic()
            if left <= 0:
                raise UnansweredError("no time is left")
            found = session.ask(Inspect(session.frontend.root, deep, tuple(trees)), limit=left)
        except LockstepError as error:
            if len(trees) > 1 and session.alive and time.monotonic() < deadline:
                # More than one command takes, an answer that is too long, or a directory that can't be entered.
                self._halves(session, trees, deep=deep, deadline=deadline)
            else:
                self.reasons |= dict.fromkeys(trees, error.problem.what)
            return
        self.trees |= found.trees
        self.files += found.hashed_files
        self.bytes += found.hashed_bytes

    def _halves(self, session: Session, trees: Sequence[str], *, deep: bool, deadline: float) -> None:
        middle = len(trees) // 2
        for part in (trees[:middle], trees[middle:]):
            self.inspect(session, part, deep=deep, deadline=deadline)
