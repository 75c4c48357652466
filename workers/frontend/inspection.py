"""What lies in a frontend's trees, as its script's `inspect` tells it: argv out, its answer parsed back. No I/O.

docs/audits.md, "On a frontend", has the answer's form. It comes from another machine, so that a line which is not
exactly of that form, in that order, makes all of it `UnansweredError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from orchestrator.domain.activation import NAME as ACTIVATION
from orchestrator.domain.audit.expectation import INDEX as BY_HASH
from orchestrator.domain.audit.observation import InspectedFile, InspectedTree
from orchestrator.domain.errors import RefusedError
from workers.frontend.answers import LONGEST_ANSWER, printable, unintelligible
from workers.frontend.commands import RELEASE, Command

__all__ = ["BY_HASH", "MOST_TREES", "Inspect", "Inspected", "InspectedFile", "InspectedTree"]

#: More would not fit into the one string that sshd hands to the login shell (128 KiB).
MOST_TREES = 1000
#: Bytes of a path or a target: the system's PATH_MAX.
LONGEST_PATH = 4096

_TREE = re.compile(rf"by-hash|activations/{ACTIVATION.pattern}|releases/{RELEASE.pattern}")
_HEAD = re.compile(r"(tree|gone) (\S{1,300})")
_FILE = re.compile(r"f ([0-7]{4}) ([0-9a-f]{64}|-) (.+)", re.DOTALL)
_LINK = re.compile(r"l ([^\0-\x1f\x7f]+)\t(.+)", re.DOTALL)
_OTHER = re.compile(r"o (block|char|dir|fifo|file|link|name|socket|unknown|unreadable) (.+)", re.DOTALL)
_HASHED = re.compile(r"hashed (0|[1-9][0-9]{0,9}) (0|[1-9][0-9]{0,17})")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Inspected:
    """Every tree that was asked for, None where it is not there; and how many files and bytes were read for that."""

    trees: Mapping[str, InspectedTree | None]
    hashed_files: int
    hashed_bytes: int


@dataclass(frozen=True, slots=True)
class Inspect(Command):
    """Look at trees (as `Listing` takes them, or `BY_HASH`); `deep` hashes all their files, whatever their stamps.

    The script itself takes the lowest priority, since not every frontend has a `nice` that could start it.
    """

    deep: bool
    trees: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises `RefusedError` for what is no tree, comes twice, or is too much for one command line."""
        wrong = [tree for tree in self.trees if not _TREE.fullmatch(tree)]
        if wrong or not 0 < len(self.trees) <= MOST_TREES or len(set(self.trees)) < len(self.trees):
            raise RefusedError(
                "these trees can't be inspected in one go",
                expected=f"1 to {MOST_TREES} of activations/<activation>, releases/<app>/<digest>, by-hash; each once",
                found=printable(wrong[0]) if wrong else f"{len(self.trees)}, {len(set(self.trees))} of them different",
            )

    def words(self) -> tuple[str, ...]:
        """The depth and the trees."""
        return ("deep" if self.deep else "quick", *self.trees)

    def parse(self, stdout: bytes, status: int | None) -> Inspected:
        """What was found; the trees in the order that was asked, their entries in that of bytes, no path twice."""
        if len(stdout) > LONGEST_ANSWER:
            raise unintelligible(self.name, stdout, status)
        *lines, last = self.lines(stdout, status) or [""]
        found = _HASHED.fullmatch(last)
        try:
            trees = dict(_read_trees(self.trees, lines))
            if found is None:
                raise ValueError(last)
            inspected = Inspected(trees, int(found[1]), int(found[2]))
            _check_counts(inspected, deep=self.deep)
        except ValueError as error:
            raise unintelligible(self.name, stdout, status) from error
        return inspected


def _read_trees(asked: Iterable[str], lines: list[str]) -> Iterator[tuple[str, InspectedTree | None]]:
    """Each tree with its entries; `ValueError` for anything else."""
    at = 0
    for tree in asked:
        head = _HEAD.fullmatch(lines[at]) if at < len(lines) else None
        if head is None or head[2] != tree:
            raise ValueError(tree)
        begin = at = at + 1
        while at < len(lines) and not _HEAD.fullmatch(lines[at]):
            at += 1
        if head[1] == "gone" and at > begin:
            raise ValueError(tree)
        yield tree, None if head[1] == "gone" else _read_entries(lines[begin:at], by_hash=tree == BY_HASH)
    if at < len(lines):
        raise ValueError(lines[at])


def _read_entries(lines: list[str], *, by_hash: bool) -> InspectedTree:
    """One tree; `ValueError` for a line that has not its form, is out of order, or tells a path again."""
    files: dict[str, InspectedFile] = {}
    links: dict[str, str] = {}
    others: dict[str, str] = {}
    before = b""
    for line in lines:
        raw = line.encode("utf-8", "surrogateescape")
        if raw <= before:
            raise ValueError(line)
        before = raw
        if (file := _FILE.fullmatch(line)) and not by_hash:
            files[_path(file[3])] = InspectedFile(int(file[1], 8), file[2].replace("-", ""))
        elif link := _LINK.fullmatch(line):
            if len(link[1].encode("utf-8", "surrogateescape")) > LONGEST_PATH:
                raise ValueError(line)
            links[_path(link[2])] = link[1]
        elif other := _OTHER.fullmatch(line):
            others[_path(other[2], odd=other[1] == "name")] = other[1]
        else:
            raise ValueError(line)
    if len({*files, *links, *others}) < len(lines):
        raise ValueError("a path comes twice")
    return InspectedTree(files, links, others)


def _path(text: str, *, odd: bool = False) -> str:
    """`text` where it is a path below a tree, with a backslash where it is odd and only there; else `ValueError`."""
    long = len(text.encode("utf-8", "surrogateescape")) > LONGEST_PATH
    if long or _CONTROL.search(text) or ("\\" in text) != odd or {"", ".", ".."} & set(text.split("/")):
        raise ValueError(text)
    return text


def _check_counts(inspected: Inspected, *, deep: bool) -> None:
    """`ValueError` where more was read than there is; or less than a deep inspection reads."""
    trees = [tree for tree in inspected.trees.values() if tree is not None]
    index = inspected.trees.get(BY_HASH)
    contents = {file.sha256 for tree in trees for file in tree.files.values() if file.sha256}
    contents |= set(index.links.values()) if index is not None else set()
    most = sum(len(tree.files) for tree in trees) + (len(index.links) if index is not None else 0)
    contents = {content.removeprefix("../objects/") for content in contents}
    # Two files of one content may be one inode; two of different content are not.
    least = len(contents) if deep else 0
    if not least <= inspected.hashed_files <= most or (inspected.hashed_bytes and not inspected.hashed_files):
        raise ValueError("the counts do not fit")
