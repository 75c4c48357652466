"""A tar archive as the source of a release.

`tarfile` parses the headers and is trusted with nothing else: it takes a broken header for the archive's end, would
read headers of any length into memory, and goes back where a header tells it to. So it reads from a stream that only
moves forward and by no more than it is allowed, the members' bytes are read past it, and the archive's end is checked.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from orchestrator.adapters.sources.archive import STEP, damaged, opened, sound, tree_path
from orchestrator.domain.contents import Directory, Entry, Link, Plain
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.paths import show

#: What one member's headers may take in bytes, long names and extended attributes included.
HEADER_BYTES = 64 * 2**10
#: What may follow the end marker: tar fills its last record with zeros.
PADDING_BYTES = 2**20

_ODD = {
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
}
#: What an extended header may say of one file, and a global one of none.
_OF_ONE_FILE = frozenset({"path", "linkpath", "size"})


class Readable(Protocol):
    """What a tar archive is read from."""

    def read(self, size: int, /) -> bytes:
        """The next `size` bytes, fewer only where there are no more."""
        ...


class Forward(io.BufferedIOBase):
    """A stream that only moves forward, and by no more bytes than `allow` has let it since it was called last."""

    def __init__(self, stream: Readable, where: str) -> None:
        self._stream = stream
        self._where = where
        self._position = 0
        self._allowed = 0
        #: The last block that was read, shorter where the stream ended.
        self.block = b""

    def allow(self, count: int) -> None:
        """Let the next reads and seeks together move by `count` bytes."""
        self._allowed = count

    def tell(self) -> int:
        """Bytes from the stream's start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Skip to `offset`, ahead of here. Raises `ReleaseError` for a place behind, or too far ahead."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only places counted from the start")
        self.read(offset - self._position)
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Exactly `size` bytes, fewer only at the stream's end. Raises `ReleaseError` for more than is allowed."""
        if size is None or not 0 <= size <= self._allowed:
            raise damaged(self._where, f"headers that lead backwards, or over more than {HEADER_BYTES} bytes")
        data = self._stream.read(size)
        self._allowed -= len(data)
        self._position += len(data)
        self.block = data[-tarfile.BLOCKSIZE :]
        return data


def tar_entries(path: Path, *, compressed: bool) -> Iterator[Entry]:
    """The members of a tar archive. Raises `ReleaseError` for what a release can't have, and where it is damaged."""
    with opened(path) as file:
        yield from stream_entries(gzip.GzipFile(fileobj=file) if compressed else file, str(path))


def stream_entries(source: Readable, where: str) -> Iterator[Entry]:
    """The members of a tar archive as it comes, by the same rules; `where` is its name in messages."""
    stream = Forward(source, where)
    yield from _members(stream, where)
    _check_end(stream, where)


def _members(stream: Forward, archive: str) -> Iterator[Entry]:
    stream.allow(HEADER_BYTES)
    with sound(archive):
        tar = tarfile.TarFile(fileobj=stream, encoding="utf-8", errors="surrogateescape")
    while (member := _next(tar, stream, archive)) is not None:
        top = member.isdir() and member.name == "."
        if not top:
            yield _entry(tar, member, stream)


def _next(tar: tarfile.TarFile, stream: Forward, archive: str) -> tarfile.TarInfo | None:
    # tarfile keeps every member for look-ups that are never made here.
    tar.members.clear()  # type: ignore[attr-defined]  # the stubs leave it out
    stream.allow(HEADER_BYTES)
    with sound(archive):
        return tar.next()


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo, stream: Forward) -> Entry:
    path, where = tree_path(member.name), show(member.name)
    if not _OF_ONE_FILE.isdisjoint(tar.pax_headers):
        raise damaged(where, "a global header that gives every file the same name or size")
    if member.issparse() or any(keyword.startswith("GNU.sparse") for keyword in member.pax_headers):
        raise ReleaseError("a sparse file", where=where, remedy="pack the tree without --sparse")
    if member.isdir():
        return Directory(path)
    if member.issym() or member.islnk():
        return Link(path, member.linkname, hard=member.islnk())
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        kind = _ODD.get(member.type, f"a member of the type {member.type!r}")
        raise ReleaseError("not a file", where=where, found=kind, remedy="remove it from the tree and pack it again")
    if member.size < 0:
        raise damaged(where, "a size below zero")
    return Plain(path, _chunks(stream, member.size, where))


def _chunks(stream: Forward, size: int, where: str) -> Iterator[bytes]:
    while size > 0:
        stream.allow(STEP)
        with sound(where):
            chunk = stream.read(min(STEP, size))
        if not chunk:
            raise damaged(where, f"an end {size} bytes before the file's own")
        size -= len(chunk)
        yield chunk


def _check_end(stream: Forward, archive: str) -> None:
    """Two blocks of zeros end an archive, and nothing but zeros follows. What tarfile took for the end was the first.

    Reads to the end, so that the checksum of a compressed stream has been seen to be right.
    """
    first = stream.block
    stream.allow(PADDING_BYTES)
    with sound(archive):
        rest = stream.read(PADDING_BYTES)
    whole = first == bytes(tarfile.BLOCKSIZE) and tarfile.BLOCKSIZE <= len(rest) < PADDING_BYTES
    if not whole or rest.strip(b"\0"):
        raise damaged(archive, "no end marker where the last whole member ends, or more behind it")
