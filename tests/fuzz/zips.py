"""Zip archives as sources of releases, whole and broken."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile
from pathlib import Path
from random import Random

from orchestrator.domain.release import Manifest
from tests.fuzz.archives import BOMB, Archives
from tests.fuzz.manifests import path
from tests.fuzz.mutation import ODD_PATHS, mutate_bytes, pick
from tests.unit.releases.trees import content_of, zip_member


class Zips(Archives):
    """Zip archives."""

    name = "zips"
    file = "release.zip"

    def make(self, random: Random) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for _ in range(random.randint(1, 4)):
                _write_member(random, archive)
        data = buffer.getvalue()
        match random.randrange(12):
            case 0 | 1 | 2:
                return _with_odd_field(random, data)
            case 3:
                return _with_wide_fields(random, data)
            case 4 | 5:
                return mutate_bytes(random, data, most=2)
            case 6:
                odd = (b"#!/bin/sh\n" + data, data + b"x", data + data, data[:-22], b"PK\5\6" + bytes(18), b"")
                return pick(random, odd)
        return data

    def compare(self, archive: Path, manifest: Manifest) -> None:
        with zipfile.ZipFile(archive) as other:
            for info in other.infolist():
                name = info.orig_filename.removeprefix("./")
                if name in manifest.by_path and not stat.S_ISLNK(info.external_attr >> 16):
                    assert manifest.by_path[name].content == content_of(other.read(info))


def _write_member(random: Random, archive: zipfile.ZipFile) -> None:
    name, mode, data = path(random), stat.S_IFREG | 0o644, pick(random, (b"", b"x", b"y" * 600, random.randbytes(8)))
    match random.randrange(14):
        case 0:
            mode = pick(random, (0, 0o10644, 0o20644, 0o40755, 0o60644, 0o100755, 0o120777, 0o140777, 0o170000, 0xFFFF))
        case 1:
            mode, data = stat.S_IFLNK | 0o777, pick(random, (*ODD_PATHS, "index.html", "y" * 5000)).encode()
        case 2:
            name += "/"
        case 3 if random.random() < 0.05:
            data = BOMB
    info = zip_member(name.encode("utf-8", "replace").decode() or "x", mode, pick(random, (0, 8, 8)))
    info.extra = pick(
        random, (b"", b"", b"", b"\1\0\0\0", b"\1\0\x08\0" + b"\xff" * 8, b"up\5\0\1abcd", b"\1", b"\xff" * 70)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that is there twice
        archive.writestr(info, data)


#: Fields of a member in the central directory: offset and size.
_FIELDS = (
    (4, 2),
    (5, 1),
    (6, 2),
    (8, 2),
    (10, 2),
    (12, 4),
    (16, 4),
    (20, 4),
    (24, 4),
    (28, 2),
    (30, 2),
    (32, 2),
    (38, 4),
    (42, 4),
)
#: And in the record at the end.
_END_FIELDS = ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))


def _with_odd_field(random: Random, data: bytes) -> bytes:
    """One field of one header is another number."""
    headers: tuple[tuple[bytes, tuple[tuple[int, int], ...]], ...] = (
        (b"PK\1\2", _FIELDS),
        (b"PK\5\6", _END_FIELDS),
        (b"PK\3\4", ((6, 2), (8, 2), (14, 4), (26, 4))),
    )
    magic, fields = pick(random, headers)
    places = [place for place in range(len(data) - 3) if data[place : place + 4] == magic]
    if not places:
        return data
    offset, size = pick(random, fields)
    start = pick(random, places) + offset
    value = pick(random, (0, 1, 2, 9, 12, 14, 99, 0x800, 0x801, 2**31, 2**32 - 1, random.getrandbits(32))) % 256**size
    field: bytes = value.to_bytes(size, "little")
    return data[:start] + field + data[start + size :]


def _with_wide_fields(random: Random, data: bytes) -> bytes:
    """The first member of the central directory says its sizes and its place in 64 bits."""
    start = data.find(b"PK\1\2")
    end = data.rfind(b"PK\5\6")
    if start < 0 or end < 0:
        return data
    values = [pick(random, (0, 1, 600, 2**31, 2**63 - 1, 2**63, 2**64 - 1)) for _ in range(3)]
    extra = struct.pack("<HH3Q", 1, 24, *values)
    name_length = int.from_bytes(data[start + 28 : start + 30], "little")
    head = bytearray(data[start : start + 46 + name_length])
    head[20:28] = b"\xff" * 8
    head[30:32] = len(extra).to_bytes(2, "little")
    head[42:46] = b"\xff" * 4
    rest = data[start + 46 + name_length + int.from_bytes(data[start + 30 : start + 32], "little") : end]
    tail = bytearray(data[end:])
    tail[12:16] = (len(head) + len(extra) + len(rest)).to_bytes(4, "little")
    return data[:start] + bytes(head) + extra + rest + bytes(tail)
