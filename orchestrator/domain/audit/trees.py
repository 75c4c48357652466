"""One tree of a frontend, as its script listed it, against the tree that should be there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.domain.audit.expectation import FILE_MODE
from orchestrator.domain.audit.finding import Kind
from orchestrator.domain.errors import UnansweredError
from orchestrator.domain.layout import Tree

_FILE = re.compile(r"f ([0-7]{4}) ([0-9a-f]{64}) (.+)", re.DOTALL)
_OTHER = re.compile(r"o (\S+) (.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """What lies at a path: its type (``f``, ``l``, ``o``), its SHA-256, target or type in words, and a file's mode."""

    type: str
    value: str
    mode: str = ""

    def __str__(self) -> str:
        return {"f": f"a file of SHA-256 {self.value}", "l": f"a link to {self.value}"}.get(
            self.type, f"neither a file nor a link ({self.value})"
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a tree is not what it should be; `path` is below the tree."""

    kind: Kind
    path: str
    expected: str
    found: str


def entries(tree: Tree) -> dict[str, Entry]:
    """What should lie in `tree`."""
    made = {path: Entry("f", sha, FILE_MODE) for path, sha in tree.files.items()}
    return made | {path: Entry("l", target) for path, target in tree.links.items()}


def read(lines: Iterable[str], expected: Mapping[str, Entry]) -> dict[str, Entry]:
    """The entries of a listing. Raises `UnansweredError` for a line of another form, and for a path that comes twice.

    A line can't tell where a link's target ends and its path begins when both hold spaces: `expected` decides.
    """
    links = {f"l {entry.value} {path}": path for path, entry in expected.items() if entry.type == "l"}
    found: dict[str, Entry] = {}
    moved: list[str] = []
    for line in lines:
        if line in links:
            _add(found, links[line], expected[links[line]], line)
        elif line.startswith("l "):
            moved.append(line)
        else:
            _add(found, *_plain(line), line)
    for line in moved:
        _add(found, *_moved(line, expected.keys() - found.keys()), line)
    return found


def _plain(line: str) -> tuple[str, Entry]:
    if match := _FILE.fullmatch(line):
        return match[3], Entry("f", match[2], match[1])
    if match := _OTHER.fullmatch(line):
        return match[2], Entry("o", match[1])
    raise _unreadable(line)


def _moved(line: str, missing: Iterable[str]) -> tuple[str, Entry]:
    """A link that does not lead where it should: its path is the longest end of the line that is missing elsewhere."""
    rest, wanted = line[2:], frozenset(missing)
    spaces = [place for place, char in enumerate(rest) if char == " "]
    if not spaces:
        raise _unreadable(line)
    cut = next((place for place in spaces if rest[place + 1 :] in wanted), spaces[0])
    target, path = rest[:cut], rest[cut + 1 :]
    if not target or not path:
        raise _unreadable(line)
    return path, Entry("l", target)


def _add(found: dict[str, Entry], path: str, entry: Entry, line: str) -> None:
    if path in found:
        raise _unreadable(line)
    found[path] = entry


def _unreadable(line: str) -> UnansweredError:
    return UnansweredError(
        "a listing that can't be understood", expected="f MODE SHA256 PATH, l TARGET PATH or o TYPE PATH", found=line
    )


def compare(tree: Tree, lines: Iterable[str]) -> Iterator[Difference]:
    """Where the listing `lines` differs from `tree`, in no order. Raises `UnansweredError`, see `read`."""
    wanted = entries(tree)
    found = read(lines, wanted)
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
            yield Difference(Kind.FILE_MODE, path, f"mode {wanted.mode}", f"mode {found.mode}")


def compare_index(names: Mapping[str, str], lines: Iterable[str]) -> Iterator[Difference]:
    """Where look-up by hash differs. A name that nobody asks for is no difference: it goes when releases are removed.

    Raises `UnansweredError`, see `read`.
    """
    for difference in compare(Tree("", names, {}), lines):
        if difference.kind is Kind.FILE_MODE:
            yield difference
        elif difference.kind is not Kind.FILE_EXTRA:
            yield Difference(Kind.INDEX_CHANGED, difference.path, difference.expected, difference.found)
