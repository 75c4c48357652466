"""Where a comparison stands: at one frontend, or at the fleet. Makes its findings, and notes what was seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.domain.audit.expectation import INDEX, Expectation, Standing
from orchestrator.domain.audit.finding import WORDS, Finding, Kind, Seriousness, legible
from orchestrator.domain.audit.observation import Observation


@dataclass(frozen=True, slots=True)
class Place:
    """A frontend, or "" for the fleet. `covered` is what the whole comparison has seen so far, and grows."""

    expectation: Expectation
    frontend: str
    covered: set[tuple[str, str]]

    @property
    def standing(self) -> Standing:
        """What the ledger says of it; the fleet itself serves."""
        return self.expectation.rotation.get(self.frontend, Standing.SERVING)

    def at(self, frontend: str) -> Place:
        """Another place of the same comparison."""
        return replace(self, frontend=frontend)

    def cover(self, part: str) -> None:
        """This part was seen and is compared in full."""
        self.covered.add((self.frontend, part))

    def finding(
        self, kind: Kind, path: str, expected: str, found: str, *, shown: bool = True, reached: bool | None = None
    ) -> Finding:
        """A finding here. What is wrong where no client comes, or in what is not `shown` now, only may hurt later.

        `reached` says whether clients come here, where that is known to be other than the ledger says.
        """
        seriousness = WORDS[kind].seriousness
        comes = self.standing.serves if reached is None else reached
        if reached:
            seriousness = Seriousness.CLIENTS
        elif seriousness is Seriousness.CLIENTS and not (shown and comes):
            seriousness = Seriousness.MAY
        texts = (legible(path), legible(expected), legible(found))
        return Finding(self.expectation.fleet, self.frontend, kind, *texts, seriousness)

    def unseen(self, part: str, reason: str) -> Finding:
        """Nobody could look at this part."""
        return self.finding(Kind.UNSEEN, part, "an answer", reason or "nobody has looked")

    def gone(self, path: str) -> Finding:
        """A tree that must be there is not."""
        kind = Kind.RELEASE_MISSING if path.startswith("releases/") else Kind.ACTIVATION_MISSING
        return self.finding(kind, path, "a directory", "nothing", shown=self.shown(path))

    def shown(self, path: str) -> bool:
        """Whether a tree, or look-up by hash, is what clients are shown now."""
        return path == INDEX or any(tree.path == path for tree in self.expectation.served_trees())

    def failure(self, observed: Observation) -> str:
        """Why nothing came back over HTTP, of the first request in order that failed; "" where none did."""
        failed = sorted(key for key, answer in observed.answers.items() if answer.failure)
        return observed.answers[failed[0]].failure if failed else ""
