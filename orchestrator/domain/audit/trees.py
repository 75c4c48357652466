"""One tree of a frontend, as it was inspected, against the tree that should be there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.domain.audit.expectation import FILE_MODE
from orchestrator.domain.audit.finding import Kind
from orchestrator.domain.audit.observation import InspectedTree
from orchestrator.domain.layout import Tree

#: Where an entry of look-up by hash leads, before the SHA-256 of its object.
_OBJECTS = "../objects/"


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies at a path: its type (``f``, ``l``, ``o``), its SHA-256, target or type in words, and a file's mode."""

    type: str
    value: str
    mode: int = 0

    def __str__(self) -> str:
        match self.type:
            case "f":
                return f"a file of SHA-256 {self.value}" if self.value else "a file that can't be read"
            case "l":
                return f"a link to {self.value}"
            case _:
                return f"neither a file nor a link ({self.value})"


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a tree is not what it should be; `path` is below the tree."""

    kind: Kind
    path: str
    expected: str
    found: str


def wanted_entries(tree: Tree) -> dict[str, Entry]:
    """What should lie in `tree`."""
    made = {path: Entry("f", sha, FILE_MODE) for path, sha in tree.files.items()}
    return made | {path: Entry("l", target) for path, target in tree.links.items()}


def found_entries(tree: InspectedTree) -> dict[str, Entry]:
    """What lies in it."""
    made = {path: Entry("f", file.sha256, file.mode) for path, file in tree.files.items()}
    made |= {path: Entry("l", target) for path, target in tree.links.items()}
    return made | {path: Entry("o", what) for path, what in tree.others.items()}


def compare(tree: Tree, inspected: InspectedTree) -> Iterator[Difference]:
    """Where `inspected` differs from `tree`, in no order."""
    wanted, found = wanted_entries(tree), found_entries(inspected)
    for path, entry in wanted.items():
        yield from _differences(path, entry, found.get(path))
    for path in found.keys() - wanted.keys():
        yield Difference(Kind.FILE_EXTRA, path, "nothing", str(found[path]))


def _differences(path: str, wanted: Entry, found: Entry | None) -> Iterator[Difference]:
    if found is None:
        yield Difference(Kind.FILE_MISSING, path, str(wanted), "nothing")
    elif found.type != wanted.type:
        yield Difference(Kind.FILE_TYPE, path, str(wanted), str(found))
    else:
        if found.value != wanted.value:
            kind = Kind.FILE_CHANGED if wanted.type == "f" else Kind.LINK_CHANGED
            yield Difference(kind, path, str(wanted), str(found))
        if found.mode != wanted.mode:
            yield Difference(Kind.FILE_MODE, path, f"mode {wanted.mode:04o}", f"mode {found.mode:04o}")


def compare_index(names: Mapping[str, str], inspected: InspectedTree) -> Iterator[Difference]:
    """Where look-up by hash differs. A name that nobody asks for is no difference: it goes when releases are removed.

    Its entries are told as links to the objects that have their content.
    """
    found = {name: Entry("f", target.removeprefix(_OBJECTS)) for name, target in inspected.links.items()}
    found |= {name: entry for name, entry in found_entries(inspected).items() if entry.type != "l"}
    for name, sha in names.items():
        wanted = Entry("f", sha)
        if found.get(name) != wanted:
            yield Difference(Kind.INDEX_CHANGED, name, str(wanted), str(found.get(name, "nothing")))
