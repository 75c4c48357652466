"""Where a comparison stands: at one frontend, or at the fleet. Makes its findings, and notes what was seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.domain.audit.expectation import Expectation, Standing
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
        self, kind: Kind, path: str, expected: str, found: str, *, seen_by_clients: bool | None = None
    ) -> Finding:
        """A finding here. What is wrong where no client comes, or in what is not served now, only may hurt later.

        `seen_by_clients` says whether clients come to it, where that is not what the ledger says.
        """
        seriousness = WORDS[kind].seriousness
        if seen_by_clients:
            seriousness = Seriousness.CLIENTS
        elif seriousness is Seriousness.CLIENTS and not (self.standing.serves if seen_by_clients is None else False):
            seriousness = Seriousness.MAY
        texts = (legible(path), legible(expected), legible(found))
        return Finding(self.expectation.fleet, self.frontend, kind, *texts, seriousness)

    def unseen(self, part: str, reason: str) -> Finding:
        """Nobody could look at this part."""
        return self.finding(Kind.UNSEEN, part, "an answer", reason or "nobody has looked")

    def gone(self, path: str) -> Finding:
        """A tree that must be there is not."""
        kind = Kind.RELEASE_MISSING if path.startswith("releases/") else Kind.ACTIVATION_MISSING
        return self.finding(kind, path, "a directory", "nothing", seen_by_clients=self.shown(path))

    def shown(self, path: str) -> bool | None:
        """For `finding`: whether a tree is shown to clients now. None: as far as clients come here."""
        return None if any(tree.path == path for tree in self.expectation.served_trees()) else False

    def failure(self, observed: Observation) -> str:
        """Why nothing came back over HTTP, of the first request in order that failed; "" where none did."""
        failed = sorted(key for key, answer in observed.answers.items() if answer.failure)
        return observed.answers[failed[0]].failure if failed else ""
