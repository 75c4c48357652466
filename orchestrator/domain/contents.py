"""What a source (a directory or an archive) brings, entry by entry, and how a manifest comes of it.

Sources differ in how they spell things; what is refused does not differ, because it is decided here.
docs/releases.md, "What is refused", is the list for operators.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.paths import Names, check_path, show
from orchestrator.domain.release import Content, File, Manifest

#: How many links may lead from one to the next, as in Linux.
MOST_HOPS = 40


@dataclass(frozen=True, slots=True)
class Limits:
    """What one release may hold: bytes of all its files together, and entries (files, links and directories)."""

    size: int
    entries: int


LIMITS = Limits(size=20 * 2**30, entries=200_000)


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory. Only its name counts: a release has no empty directories."""

    path: str


@dataclass(frozen=True, slots=True)
class Link:
    """A link, as the source spells its target: symbolic from where it lies, hard from the top of the tree."""

    path: str
    target: str
    hard: bool = False


@dataclass(frozen=True, slots=True)
class Plain:
    """A file. Its `chunks` are read once, to their end, before the next entry is asked for."""

    path: str
    chunks: Iterator[bytes]


Entry = Directory | Link | Plain


class Contents:
    """The entries seen so far. Each is admitted by its name first, then a file's content is kept."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._names = Names()
        self._files: dict[str, Content] = {}
        self._links: dict[str, Link] = {}
        self._size = 0

    @property
    def files(self) -> int:
        """How many files have been kept."""
        return len(self._files)

    @property
    def size(self) -> int:
        """How many bytes of files have been read."""
        return self._size

    def admit(self, entry: Entry) -> None:
        """Raise `ReleaseError` unless the entry's name may be in the release, beside all others."""
        check_path(entry.path)
        if isinstance(entry, Directory):
            self._names.add_directory(entry.path)
        else:
            self._names.add_file(entry.path)
        if isinstance(entry, Link):
            self._links[entry.path] = entry
        if len(self._names) > self._limits.entries:
            raise ReleaseError(
                "too many entries for one release",
                where=show(entry.path),
                expected=f"at most {self._limits.entries} files, links and directories",
            )

    def read(self, plain: Plain) -> Iterator[bytes]:
        """The file's chunks, as long as all files together stay within the limit."""
        for chunk in plain.chunks:
            self._size += len(chunk)
            if self._size > self._limits.size:
                raise self._too_large(plain.path)
            yield chunk

    def keep(self, path: str, content: Content) -> None:
        """What the file at `path`, which was admitted, turned out to hold."""
        self._files[path] = content

    def manifest(self) -> Manifest:
        """Every file, and in place of every link the content it leads to. Raises `ReleaseError` where none does."""
        files = dict(self._files)
        files.update({path: self._files[self._end(path)] for path in self._links})
        manifest = Manifest.of(File(path, c.size, c.sha256, c.ota) for path, c in files.items())
        manifest.check()
        if manifest.size > self._limits.size:
            raise self._too_large("the links, each as a file of its own")
        return manifest

    def _too_large(self, path: str) -> ReleaseError:
        return ReleaseError(
            "the release is too large", where=show(path), expected=f"at most {self._limits.size} bytes in all files"
        )

    def _end(self, path: str) -> str:
        """The file at which the link at `path` ends."""
        first = self._links[path]
        seen: set[str] = set()
        while path in self._links:
            if path in seen or len(seen) == MOST_HOPS:
                raise _refusal(first, "the link leads in a circle, or over too many others")
            seen.add(path)
            path = self._step(first, self._links[path])
        if path in self._files:
            return path
        if self._names.is_directory(path):
            raise _refusal(first, "a link to a directory can't be kept", "put a copy of the directory in its place")
        raise _refusal(first, "the link leads to nothing in the tree")

    def _step(self, first: Link, link: Link) -> str:
        """The path to which one link leads. `first` is the link that the operator is told about."""
        segments = [] if link.hard else link.path.split("/")[:-1]
        if link.target.startswith("/"):
            raise _refusal(first, "the link leads out of the tree")
        for segment in link.target.split("/"):
            # As the system does it: a name, and `..` as well, is looked up in a directory that is there.
            if not self._names.is_directory("/".join(segments)):
                raise _refusal(first, "the link leads over something that is not a directory of the tree")
            if segment == "..":
                if not segments:
                    raise _refusal(first, "the link leads out of the tree")
                segments.pop()
            elif segment not in ("", "."):
                segments.append(segment)
        return "/".join(segments)


def _refusal(link: Link, what: str, remedy: str = "put a copy of the file in its place") -> ReleaseError:
    found = f"a {'hard' if link.hard else 'symbolic'} link to {show(link.target) or 'nothing'}"
    return ReleaseError(what, where=show(link.path), found=found, remedy=remedy)
