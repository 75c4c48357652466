"""The paths that files of a release may have. docs/releases.md, "What is refused", gives the reason for each rule.

A path is relative, with `/` between its segments. It must be one that every frontend's file system can hold, that a
URL can carry percent-encoded, and that nobody can take for another path of the same release.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from orchestrator.domain.errors import ReleaseError

#: What a Linux file system takes as one name, in bytes of UTF-8.
SEGMENT_BYTES = 255
#: Leaves room for the frontend's root before it and for percent-encoding (three bytes for one) in a request line.
PATH_BYTES = 1024

#: First segments, folded, that a release can't bring itself.
RESERVED = {
    "-": "the frontends answer below this name themselves",
    "moduleservices": "the version documents are served below this name",
    "precache.manifest": "this document is generated for every release",
}

#: Control characters, and the two separators that count as line ends in Unicode.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:")
_SHOWN = 200


def show(path: str) -> str:
    """`path` for a message: cut if long; what can't be printed is escaped, as are bytes that were not UTF-8."""
    text = path if path.isprintable() else "".join(_printable(c) for c in path[: 2 * _SHOWN])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def fold(path: str) -> str:
    """What two paths share that differ only by case or by Unicode normal form (canonical caseless matching)."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFD", path).casefold()


def check_path(path: str) -> None:
    """Raise `ReleaseError`, with the path and the remedy, unless a file or directory of a release may be here."""
    # Bytes that are not UTF-8 come as lone surrogates (`os.fsdecode`, tarfile); they must go before anything encodes.
    if _SURROGATES.search(path):
        raise _refusal(path, "the name is not valid UTF-8", "rename it; names in a release are UTF-8")
    if _CONTROLS.search(path):
        raise _refusal(path, "the name holds a control character or a line end", "rename it")
    if "\\" in path:
        raise _refusal(path, "the name holds a backslash", "use / between directories, and no backslash in a name")
    if path.startswith("/") or _DRIVE.match(path):
        raise _refusal(path, "the path is absolute", "pack the tree with paths relative to its top")
    segments = path.split("/")
    for segment in segments:
        _check_segment(path, segment)
    if len(path.encode()) > PATH_BYTES:
        raise _refusal(path, f"the path is longer than {PATH_BYTES} bytes", "shorten it")
    _check_normal_form(path)
    reason = RESERVED.get(fold(segments[0]))
    if reason is not None:
        raise _refusal(path, f"the name {segments[0]} is reserved", f"rename it: {reason}")


def check_paths(paths: Iterable[str]) -> None:
    """Raise `ReleaseError` unless these files can be in one release: each path allowed, none in another's way."""
    names = Names()
    for path in paths:
        check_path(path)
        names.add_file(path)


class Names:
    """The names of one tree, files and directories, each of which nobody can take for another one.

    Takes only paths that `check_path` let through. The directories above a path come with it.
    """

    def __init__(self) -> None:
        self._directories: set[str] = set()
        self._files: set[str] = set()
        self._spellings: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._files) + len(self._directories)

    def is_directory(self, path: str) -> bool:
        """Whether a directory is at `path`; the top of the tree, ``""``, is one."""
        return not path or path in self._directories

    def add_file(self, path: str) -> None:
        """A file, or a link that stands for one. Raises `ReleaseError` where something is in its way."""
        self._add_parents(path)
        if path in self._files:
            raise _refusal(path, "the path is there twice", "pack the tree again, each file once")
        if path in self._directories:
            raise _both(path)
        self._claim(path)
        self._files.add(path)

    def add_directory(self, path: str) -> None:
        """A directory; adding it again changes nothing. Raises `ReleaseError` where something is in its way."""
        if path in self._directories:
            return
        if path in self._files:
            raise _both(path)
        self._add_parents(path)
        self._claim(path)
        self._directories.add(path)

    def _add_parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        missing: list[str] = []
        while parent and parent not in self._directories:
            missing.append(parent)
            parent = parent.rpartition("/")[0]
        for directory in reversed(missing):
            if directory in self._files:
                raise _both(directory)
            self._claim(directory)
            self._directories.add(directory)

    def _claim(self, path: str) -> None:
        spelling = self._spellings.setdefault(fold(path), path)
        if spelling != path:
            raise ReleaseError(
                "two names differ only by case, or fold to the same letters",
                where=show(path),
                expected="names that stay apart where case does not count",
                found=f"{spelling!a} and {path!a}",
                remedy="rename one of them",
            )


def _check_segment(path: str, segment: str) -> None:
    if segment == "..":
        raise _refusal(path, "the path leads upwards (..)", "pack the tree with plain relative paths")
    if segment in ("", "."):
        raise _refusal(path, "the path has an empty segment or a lone dot", "pack the tree with plain relative paths")
    if len(segment.encode()) > SEGMENT_BYTES:
        raise _refusal(path, f"a name in the path is longer than {SEGMENT_BYTES} bytes", "shorten it")


def _check_normal_form(path: str) -> None:
    if unicodedata.is_normalized("NFC", path):
        return
    composed = unicodedata.normalize("NFC", path)
    raise ReleaseError(
        "the name is not in Unicode's composed form (NFC)",
        where=show(path),
        expected=ascii(composed),
        found=ascii(path),
        remedy=f"rename it to {show(composed)}, typed as composed letters",
    )


def _refusal(path: str, what: str, remedy: str) -> ReleaseError:
    return ReleaseError(what, where=show(path) or "(an empty name)", remedy=remedy)


def _both(path: str) -> ReleaseError:
    return _refusal(path, "the path is both a file and a directory", "pack the tree again, with one of them")


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    # A byte that could not be decoded, as `surrogateescape` carries it.
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
