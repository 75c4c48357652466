"""A directory as the source of a release. Links are never followed here: every open says O_NOFOLLOW."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestrator.adapters.sources.archive import STEP
from orchestrator.adapters.sources.stamp import Stamp
from orchestrator.domain.contents import Directory, Entry, Link, Plain
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.paths import show

_ODD = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


def directory_entries(top: Path) -> Iterator[Entry]:
    """Everything below `top`. Raises `ReleaseError` for what is neither file, directory nor link, or changes."""
    # A list and not recursion: a path may have more segments than Python has levels.
    levels = [_Level.enter(None, str(top), "")]
    try:
        while levels:
            level = levels[-1]
            name = next(level.names, None)
            if name is None:
                level.check()
                os.close(levels.pop().handle)
                continue
            entry = _entry(level.handle, name, level.prefix + name)
            # The name is admitted before the directory is entered, so nobody walks a path without end.
            yield entry
            if isinstance(entry, Directory):
                levels.append(_Level.enter(level.handle, name, f"{entry.path}/"))
    finally:
        for level in levels:
            os.close(level.handle)


@dataclass(frozen=True, slots=True)
class _Level:
    """A directory that is being read. `prefix` is its path and a slash, empty for the top."""

    handle: int
    prefix: str
    listed: Stamp
    names: Iterator[str]

    @classmethod
    def enter(cls, parent: int | None, name: str, prefix: str) -> _Level:
        # The operator may name the top by a link; below it, a link that took a directory's place is refused.
        no_follow = 0 if parent is None else os.O_NOFOLLOW
        with _readable(prefix or name):
            handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | no_follow, dir_fd=parent)
            try:
                listed = Stamp.of(os.fstat(handle))
                with os.scandir(handle) as found:
                    return cls(handle, prefix, listed, iter(sorted(entry.name for entry in found)))
            except OSError:
                os.close(handle)
                raise

    def check(self) -> None:
        if Stamp.of(os.fstat(self.handle)) != self.listed:
            raise _changed(self.prefix or ".")


def _entry(parent: int, name: str, path: str) -> Entry:
    with _readable(path):
        status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISREG(status.st_mode):
            return Plain(path, _chunks(parent, name, path, Stamp.of(status)))
        if stat.S_ISDIR(status.st_mode):
            return Directory(path)
        if stat.S_ISLNK(status.st_mode):
            return Link(path, os.readlink(name, dir_fd=parent))
    kind = next((words for is_kind, words in _ODD if is_kind(status.st_mode)), "something unknown")
    raise ReleaseError("not a file", where=show(path), found=kind, remedy="remove it from the tree")


def _chunks(parent: int, name: str, path: str, listed: Stamp) -> Iterator[bytes]:
    """The file's bytes. Its stamp must be the same when it is listed, opened, read to the end, and looked up again."""
    with _readable(path):
        # Not blocking: a pipe that took the file's place must not hold the build up.
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    try:
        if Stamp.of(os.fstat(handle)) != listed:
            raise _changed(path)
        read = 0
        while chunk := _read(handle, path):
            read += len(chunk)
            yield chunk
        with _readable(path):
            again = Stamp.of(os.stat(name, dir_fd=parent, follow_symlinks=False))
        if read != listed.size or again != listed:
            raise _changed(path)
    finally:
        os.close(handle)


def _read(handle: int, path: str) -> bytes:
    with _readable(path):
        return os.read(handle, STEP)


def _changed(path: str) -> ReleaseError:
    return ReleaseError(
        "it changed while it was read",
        where=show(path),
        remedy="build from a copy, or when nothing writes there any more",
    )


@contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReleaseError(
            "it can't be read",
            where=show(path),
            found=error.strerror or str(error),
            remedy="check that it is there and may be read",
        ) from error
