"""What must lie on a frontend for an activation: objects by SHA-256, hard links to them, and symbolic links.

All paths are relative to the frontend's root. docs/protocol.md, "On a frontend", shows the tree. The listing and
its hash are the form in which the frontend script reports a tree (`lockstep-frontend verify`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Tree:
    """One directory below the root: hard links (path below it -> SHA-256) and symbolic links (path -> target)."""

    path: str
    files: Mapping[str, str]
    links: Mapping[str, str]

    def listing(self) -> list[str]:
        """Every entry on a line, ``f <sha256> <path>`` or ``l <target> <path>``, sorted by bytes."""
        lines = [f"f {sha} {path}" for path, sha in self.files.items()]
        lines += [f"l {target} {path}" for path, target in self.links.items()]
        return sorted(lines, key=str.encode)

    def digest(self) -> str:
        """SHA-256 of the listing, each line ended by a newline."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        # Every frontend of a fleet is held against the same tree.
        return hashlib.sha256("".join(f"{line}\n" for line in self.listing()).encode()).hexdigest()


@dataclass(frozen=True)
class Layout:
    """An activation as a frontend holds it.

    `generated` are the objects that exist nowhere else (documents), by SHA-256; every other object of `objects()`
    is in the artifact store. `by_hash` maps OTA hashes and version tokens to SHA-256.
    """

    activation: Tree
    releases: tuple[Tree, ...]
    by_hash: Mapping[str, str]
    generated: Mapping[str, bytes]

    def objects(self) -> list[str]:
        """The SHA-256 of every object that the frontend must hold, sorted, each once."""
        wanted = set(self.by_hash.values()) | set(self.activation.files.values())
        for tree in self.releases:
            wanted.update(tree.files.values())
        return sorted(wanted)

    def beside(self, others: Iterable[Layout]) -> Layout:
        """This activation, with the releases that others hold as well: to stage it puts those right, too."""
        releases = {tree.path: tree for tree in self.releases}
        by_hash: dict[str, str] = {}
        generated: dict[str, bytes] = {}
        for other in others:
            releases = {**{tree.path: tree for tree in other.releases}, **releases}
            by_hash.update(other.by_hash)
            generated.update(other.generated)
        return Layout(
            self.activation, tuple(releases.values()), {**by_hash, **self.by_hash}, {**generated, **self.generated}
        )
