"""One small archive of each kind, with everything in it that a header can say, to be damaged by tests."""

from __future__ import annotations

import stat
import tarfile
import zipfile

from tests.unit.releases.trees import Tree, member, tar_bytes, zip_bytes, zip_member

TREE: Tree = {
    "index.html": b"<html>" * 100,
    "js/app.js": b"let x = 1;\n" * 60,
    "js/empty": b"",
    "img/" + "long" * 30 + "/é日本.png": bytes(range(256)) * 3,
}
LINKS = (
    member("js", tarfile.DIRTYPE),
    member("start.html", tarfile.SYMTYPE, target="index.html"),
    member("js/again.js", tarfile.LNKTYPE, target="js/app.js"),
)
ZIP_LINK = (zip_member("start.html", stat.S_IFLNK | 0o777), b"index.html")
BLOCK = tarfile.BLOCKSIZE

ARCHIVES = {
    "pax.tar": tar_bytes(TREE, *LINKS),
    "gnu.tar": tar_bytes(TREE, *LINKS, form=tarfile.GNU_FORMAT),
    "pax.tar.gz": tar_bytes(TREE, *LINKS, compressed=True),
    "deflated.zip": zip_bytes(TREE, ZIP_LINK),
    "stored.zip": zip_bytes(TREE, ZIP_LINK, method=zipfile.ZIP_STORED),
}


def sealed(block: bytearray) -> bytes:
    """A header whose checksum is right, whatever else is in it."""
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(record: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header with this payload."""
    header = member("pax", kind, size=len(record)).tobuf(tarfile.USTAR_FORMAT)
    return header + record + bytes(-len(record) % BLOCK)


def checksums_set_right(data: bytes) -> bytes:
    """The tar archive with a right checksum in every block that looks like a header, whatever else it says."""
    out = bytearray(data)
    for start in range(0, len(out) - BLOCK + 1, BLOCK):
        block = out[start : start + BLOCK]
        if block[257:262] == b"ustar":
            out[start : start + BLOCK] = sealed(block)
    return bytes(out)
