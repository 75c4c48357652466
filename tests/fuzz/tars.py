"""Tar archives as sources of releases, whole and broken."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from random import Random
from typing import Literal

from orchestrator.domain.release import Manifest
from tests.fuzz.archives import BOMB, Archives
from tests.fuzz.manifests import path
from tests.fuzz.mutation import CONFUSABLES, HUGE, ODD_PATHS, mutate_bytes, odd_text, pick
from tests.unit.releases.archives import BLOCK, checksums_set_right, pax, sealed
from tests.unit.releases.trees import content_of, member

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
_Form = Literal[0, 1, 2]
_FORMS: tuple[_Form, ...] = (0, 1, 2)


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
    return _plain(random, name, pick(random, _FORMS))


def _plain(random: Random, name: str, form: _Form) -> bytes:
    data = pick(random, (b"", b"x", b"y" * 600, random.randbytes(8)))
    if random.random() < 0.004:
        data = BOMB
    info = member(pick(random, ("", "", "./")) + name, size=len(data))
    return _header(info, form) + data + bytes(-len(data) % BLOCK)


def _odd_member(random: Random, name: str) -> bytes:
    targets = (*ODD_PATHS, "index.html", "../index.html", "js/app.js", "/beside/mine", *CONFUSABLES)
    info = member(name, pick(random, _KINDS), target=pick(random, targets), size=pick(random, (0, 0, 1, 512, 2**33)))
    info.mode, info.mtime = pick(random, (0, 0o644, 0o7777)), pick(random, (0, 1.5, -1, 2**40))
    return _header(info, pick(random, _FORMS))


def _header(info: tarfile.TarInfo, form: _Form) -> bytes:
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
