"""What an audit really looked at. Only that can close a finding: docs/audits.md, "What closes a finding"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.domain.audit.finding import Finding, Kind, legible

#: What a frontend that was seen at all has.
ANYTHING = ""
#: Parts of a frontend, beside the paths of its trees: what its script says, what its web server answers.
SHELL, HTTP, HEALTH, RECIPE, BALANCER = "shell", "http", "health", "recipe", "load balancer"
#: Parts of the fleet: the manifests of all frontends in rotation, and what the public address answers.
MANIFESTS, ADDRESS = "manifests", "address"

_PARTS = {
    Kind.CURRENT_ELSEWHERE: SHELL,
    Kind.CURRENT_MISSING: SHELL,
    Kind.FENCE_BEHIND: SHELL,
    Kind.FENCE_AHEAD: SHELL,
    Kind.ACTIVATION_UNFINISHED: SHELL,
    Kind.ACTIVATION_MISSING: SHELL,
    Kind.RELEASE_MISSING: SHELL,
    Kind.SCRIPT_OUTDATED: SHELL,
    Kind.SPACE_LOW: SHELL,
    Kind.CLOCK_APART: SHELL,
    Kind.RECIPE_OUTDATED: RECIPE,
    Kind.ROTATION_BALANCER: BALANCER,
    Kind.FLEET_SPLIT: MANIFESTS,
    Kind.ADDRESS_UNSEEN: ADDRESS,
}
#: What a frontend answers over HTTP.
SERVED = {
    Kind.DOCUMENT_SERVED,
    Kind.MANIFEST_SERVED,
    Kind.FILE_SERVED,
    Kind.HASH_SERVED,
}
_ADDRESS = {Kind.ADDRESS_OLD, Kind.ADDRESS_CHANGED}
#: Where the ledger's word on a frontend's rotation lies on the frontend.
DRAINED_MARK = "state/drained"


def answer_part(key: str) -> str:
    """The part that is one answer over HTTP, of a frontend, or of the public address for the frontend ""."""
    return f"answer {legible(key)}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """The parts that were seen and compared in full: pairs of a frontend ("" for the fleet) and a part.

    `frontends` are those that the audit was to look at, `trees` the paths that each of them must hold, listed or not.
    `sampled`: over HTTP, frontends were not asked all that they could be. `obsolete` are answers that nobody asks for
    any more: what they were about is not served.
    """

    parts: frozenset[tuple[str, str]]
    frontends: frozenset[str]
    trees: frozenset[str]
    sampled: bool
    obsolete: frozenset[str] = frozenset()

    def settles(self, finding: Finding) -> bool:
        """Whether the audit would have found it again, were it still there.

        What can't be there any more is settled, too: a frontend that left the fleet, a tree that nobody must hold.
        """
        frontend = finding.frontend
        if frontend and frontend not in self.frontends:
            return True
        if finding.kind in _ADDRESS:
            return self._saw("", f"answer {finding.path}") or self._saw("", ADDRESS)
        if finding.kind is Kind.SERVED_ELSEWHERE:
            return self._saw(frontend, f"answer {finding.path}")
        if finding.kind in SERVED and finding.path in self.obsolete:
            return self._saw(frontend, ANYTHING)
        if finding.kind in SERVED:
            return self._saw(frontend, f"answer {finding.path}") or (not self.sampled and self._saw(frontend, HTTP))
        return self._saw(frontend, self._part(finding))

    def _saw(self, frontend: str, part: str) -> bool:
        return (frontend, part) in self.parts

    def _part(self, finding: Finding) -> str:
        if finding.kind is Kind.ROTATION_HEALTH:
            return SHELL if finding.path == DRAINED_MARK else HEALTH
        return _PARTS.get(finding.kind) or self._tree(finding)

    def _tree(self, finding: Finding) -> str:
        # `releases/<app>/<digest>`, `activations/<name>`, or `by-hash`: no tree lies in another.
        names = finding.path.split("/")
        depth = {"releases": 3, "activations": 2}.get(names[0])
        if depth is None:
            return names[0]
        tree = "/".join(names[:depth])
        # Of a tree that nobody must hold any more, whoever sees the frontend may say so.
        return tree if tree in self.trees else SHELL


def coverage(
    parts: Iterable[tuple[str, str]],
    frontends: Iterable[str],
    trees: Iterable[str],
    *,
    sampled: bool,
    obsolete: frozenset[str] = frozenset(),
) -> Coverage:
    """A coverage of these."""
    return Coverage(frozenset(parts), frozenset(frontends), frozenset(trees), sampled, obsolete)
