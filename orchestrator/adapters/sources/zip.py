"""A zip archive as the source of a release. `zipfile` finds the members and checks their CRC; it unpacks nothing."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from orchestrator.adapters.sources.archive import STEP, damaged, opened, sound, tree_path
from orchestrator.domain.contents import Directory, Entry, Link, Plain
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.paths import show

_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8 = 0x800
_DOS_DIRECTORY = 0x10
#: Who made the archive, where names are bytes: Unix and macOS.
_UNIXES = (3, 19)
#: Others can't be unpacked by small steps: a few bytes of bzip2 grow to gigabytes at once.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: As long as a link's target may be in Linux, in bytes.
_TARGET_BYTES = 4096


def zip_entries(path: Path) -> Iterator[Entry]:
    """The members of a zip archive. Raises `ReleaseError` for what a release can't have, and where it is damaged."""
    with opened(path) as file:
        with sound(str(path)):
            archive = zipfile.ZipFile(file)
        with archive:
            for info in archive.infolist():
                name = _name(info)
                if name != "./":
                    yield _entry(archive, info, tree_path(name))


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: str) -> Entry:
    _check_readable(info, show(path))
    kind = stat.S_IFMT(info.external_attr >> 16)
    if path.endswith("/"):
        if kind not in (0, stat.S_IFDIR) or info.file_size:
            raise _odd(path, "the name of a directory on something else")
        return Directory(path[:-1])
    if kind == stat.S_IFLNK:
        return Link(path, _target(archive, info, show(path)))
    if kind not in (0, stat.S_IFREG) or info.external_attr & _DOS_DIRECTORY:
        raise _odd(path, f"attributes of something else ({info.external_attr:#x})")
    return Plain(path, _chunks(archive, info, show(path)))


def _name(info: zipfile.ZipInfo) -> str:
    """The member's name as the archive has it: zipfile's own `filename` is cut at a NUL, and decoded by guessing."""
    name = info.orig_filename
    if name.isascii() or info.flag_bits & _UTF8:
        return name
    if info.create_system not in _UNIXES:
        raise ReleaseError(
            "the archive does not say in which encoding the name is",
            where=show(name),
            expected="the flag for UTF-8 on a name that is not ASCII",
            remedy="pack the tree with a tool that sets it, or as a tar archive",
        )
    # Info-ZIP on Linux writes a name's bytes as they are, without the flag. zipfile took them for code page 437.
    return name.encode("cp437").decode("utf-8", "surrogateescape")


def _check_readable(info: zipfile.ZipInfo, where: str) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise ReleaseError("the archive is encrypted", where=where, remedy="pack the tree without a password")
    if info.compress_type not in _METHODS:
        raise ReleaseError(
            "the compression method is not supported",
            where=where,
            expected="stored or deflated",
            found=f"method {info.compress_type}",
            remedy="pack the tree with the usual method, deflate",
        )


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> Iterator[bytes]:
    with sound(where):
        file = archive.open(info)
    with file:
        left = info.file_size
        while chunk := _read(file, where):
            left -= len(chunk)
            yield chunk
    if left:
        raise damaged(where, f"an end {left} bytes before the file's own")


def _read(file: IO[bytes], where: str) -> bytes:
    with sound(where):
        return file.read(STEP)


def _target(archive: zipfile.ZipFile, info: zipfile.ZipInfo, where: str) -> str:
    if info.file_size > _TARGET_BYTES:
        raise ReleaseError("the link's target is too long", where=where, expected=f"at most {_TARGET_BYTES} bytes")
    return b"".join(_chunks(archive, info, where)).decode("utf-8", "surrogateescape")


def _odd(path: str, found: str) -> ReleaseError:
    return ReleaseError("neither a file, a directory nor a link", where=show(path), found=found, remedy="pack it again")
