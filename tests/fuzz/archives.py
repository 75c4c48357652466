"""Archives as sources of releases: tars and zips, whole and broken."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from orchestrator.adapters.sources import entries
from orchestrator.domain.contents import Contents, Limits, Plain
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.release import Hasher, Manifest
from tests.fuzz.manifests import check_paths_inside, path
from tests.fuzz.mutation import CONFUSABLES, HUGE, ODD_PATHS, mutate_bytes, odd_text, pick
from tests.fuzz.target import Target
from tests.unit.releases.archives import BLOCK, checksums_set_right, pax, sealed
from tests.unit.releases.trees import content_of, member, zip_member

#: Low, so that a bomb need not be large to be one.
LIMITS = Limits(size=2 * 2**20, entries=200)
#: What is inside of a bomb: beyond the limit, and cheap to make.
BOMB = bytes(8 * 2**20)
_GZIP_BOMB = gzip.compress(BOMB, 1, mtime=0)
_KINDS = (
    b"0",
    b"\0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"5",
    b"6",
    b"7",
    b"S",
    b"K",
    b"L",
    b"x",
    b"g",
    b"V",
    b"M",
    b"D",
    b"Z",
    b"X",
)
_KEYWORDS = (
    *("path", "linkpath", "size", "uid", "mtime", "hdrcharset", "comment", "GNU.sparse.map", "GNU.sparse.major"),
    *("GNU.sparse.minor", "GNU.sparse.name", "GNU.sparse.realsize", "GNU.sparse.size", "GNU.sparse.numblocks", "=", ""),
    *("SCHILY.xattr.user.x", "charset", "\u00e9"),
)


class Archives(Target[bytes]):
    """Bytes that may be an archive."""

    file: str

    def __enter__(self) -> Self:
        self._directory = tempfile.TemporaryDirectory(prefix="lockstep-fuzz-")
        self._path = Path(self._directory.name, self.file)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._directory.cleanup()

    def check(self, made: bytes) -> bool:
        self._path.write_bytes(made)
        try:
            manifest = self._gather()
        except ReleaseError as error:
            str(error).encode()
            assert all(line.isprintable() for line in str(error).split("\n")), str(error)
            return False
        finally:
            assert [one.name for one in self._path.parent.iterdir()] == [self.file]
        assert Manifest.parse(manifest.canonical) == manifest
        assert manifest.size <= LIMITS.size
        check_paths_inside(manifest)
        self.compare(self._path, manifest)
        return True

    def _gather(self) -> Manifest:
        contents = Contents(LIMITS)
        for entry in entries(self._path):
            contents.admit(entry)
            if isinstance(entry, Plain):
                contents.keep(entry.path, Hasher.of(contents.read(entry)))
        return contents.manifest()

    def compare(self, archive: Path, manifest: Manifest) -> None:
        """Hold what came of the archive against what another reader finds in it."""
        raise NotImplementedError


class Tars(Archives):
    """Compressed tar archives."""

    name = "tars"
    file = "release.tar.gz"

    def make(self, random: Random) -> bytes:
        parts = [_tar_member(random) for _ in range(random.randint(1, 4))]
        data = b"".join(parts) + bytes(2 * BLOCK)
        match random.randrange(8):
            case 0 | 1 | 2:
                data = checksums_set_right(mutate_bytes(random, data, most=2))
            case 3:
                data = mutate_bytes(random, data, most=1)
            case 4:
                data = data[: -pick(random, (0, BLOCK, 2 * BLOCK, 100))] + bytes(pick(random, (0, BLOCK, 10240)))
        packed = gzip.compress(data, 1, mtime=0)
        match random.randrange(40):
            case 0 | 1 | 2 | 3:
                return mutate_bytes(random, packed)
            case 4:
                return packed + pick(random, (packed, b"\0" * 512, b"x", b"\x1f\x8b"))
            case 5:
                return gzip.compress(data[: -2 * BLOCK], 1, mtime=0) + _GZIP_BOMB
            case 6:
                return pick(random, (data, b"", b"\x1f\x8b", packed[:10]))
        return packed

    def compare(self, archive: Path, manifest: Manifest) -> None:
        with tarfile.open(archive, errors="surrogateescape", encoding="utf-8") as tar:
            for info in tar:
                if info.isfile():
                    file = tar.extractfile(info)
                    assert file is not None
                    assert manifest.by_path[info.name.removeprefix("./")].content == content_of(file.read())


def _tar_member(random: Random) -> bytes:
    name = path(random)
    match random.randrange(12):
        case 0:
            return _odd_member(random, name)
        case 1:
            return pax(_records(random), pick(random, (tarfile.XHDTYPE, tarfile.XGLTYPE))) + _plain(random, name, 0)
        case 2:
            size = pick(random, (0, 1, 511, 5000, 70_000))
            header = member("././@LongLink", pick(random, (b"L", b"K")), size=size).tobuf(tarfile.GNU_FORMAT)
            return header + b"n" * size + bytes(-size % BLOCK) + _plain(random, name, 0)
        case 3:
            block = bytearray(member(name[:90] if name.isascii() else "x", size=5).tobuf(tarfile.USTAR_FORMAT)[:BLOCK])
            field = pick(
                random, ((100, 8), (124, 12), (136, 12), (329, 8), (345, 155), (257, 8), (157, 100), (386, 96))
            )
            junk = pick(
                random, (b"\x80" + b"\xff" * 11, b"\xff" * 12, b"-1", b"7" * 11, b" ", b"\0" * 12, b"0x10", b"9")
            )
            block[field[0] : field[0] + field[1]] = junk[: field[1]].ljust(field[1], b"\0")
            return sealed(block) + bytes(BLOCK)
    return _plain(random, name, pick(random, (0, 1, 2)))


def _plain(random: Random, name: str, form: int) -> bytes:
    data = pick(random, (b"", b"x", b"y" * 600, random.randbytes(8)))
    if random.random() < 0.004:
        data = BOMB
    info = member(pick(random, ("", "", "./")) + name, size=len(data))
    return _header(info, form) + data + bytes(-len(data) % BLOCK)


def _odd_member(random: Random, name: str) -> bytes:
    targets = (*ODD_PATHS, "index.html", "../index.html", "js/app.js", "/beside/mine", *CONFUSABLES)
    info = member(name, pick(random, _KINDS), target=pick(random, targets), size=pick(random, (0, 0, 1, 512, 2**33)))
    info.mode, info.mtime = pick(random, (0, 0o644, 0o7777)), pick(random, (0, 1.5, -1, 2**40))
    return _header(info, pick(random, (0, 1, 2)))


def _header(info: tarfile.TarInfo, form: int) -> bytes:
    try:
        return info.tobuf(form, "utf-8", "surrogateescape")
    except (ValueError, OverflowError):
        info.name, info.linkname, info.mtime = "x", "", 0
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "replace")


def _records(random: Random) -> bytes:
    found = b""
    for _ in range(random.randint(1, 3)):
        value = pick(random, (odd_text(random), path(random), str(pick(random, HUGE)), "1,2,3", "0,0", "BINARY"))
        text = f" {pick(random, _KEYWORDS)}={value}\n".encode("utf-8", "surrogatepass")
        length = len(text) + 2 if len(text) < 98 else len(text) + 3
        length += pick(random, (0, 0, 0, 0, 1, -1, -length, 10**6))
        found += str(length).encode() + text
    return found


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
                return pick(
                    random, (b"#!/bin/sh\n" + data, data + b"x", data + data, data[:-22], b"PK\5\6" + bytes(18), b"")
                )
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
    magic, fields = pick(
        random, ((b"PK\1\2", _FIELDS), (b"PK\5\6", _END_FIELDS), (b"PK\3\4", ((6, 2), (8, 2), (14, 4), (26, 4))))
    )
    places = [place for place in range(len(data) - 3) if data[place : place + 4] == magic]
    if not places:
        return data
    offset, size = pick(random, fields)
    start = pick(random, places) + offset
    value = pick(random, (0, 1, 2, 9, 12, 14, 99, 0x800, 0x801, 2**31, 2**32 - 1, random.getrandbits(32))) % 256**size
    return data[:start] + value.to_bytes(size, "little") + data[start + size :]


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
