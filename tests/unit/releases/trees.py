"""Trees of files for the tests of releases: made at random, laid out as directories, packed as archives."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Iterable
from pathlib import Path

from hypothesis import strategies as st

from orchestrator.domain.contents import Contents, Entry, Plain
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.paths import Names, check_path
from orchestrator.domain.release import Content, File, Hasher, Manifest

Tree = dict[str, bytes]

_LETTERS = st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="/\\")
SEGMENTS = st.text(_LETTERS, min_size=1, max_size=8).map(lambda text: unicodedata.normalize("NFC", text))
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """A tree that can be a release. Names that would be refused, or be in another's way, are left out."""
    names, tree = Names(), Tree()
    for path, data in draw(st.lists(st.tuples(PATHS, st.binary(max_size=2000)), min_size=1, max_size=12)):
        try:
            check_path(path)
            names.add_file(path)
        except ReleaseError:
            continue
        tree[path] = data
    return tree or {"index.html": b"<html>"}


def content_of(data: bytes) -> Content:
    """What these bytes are."""
    return Hasher.of([data])


def manifest_of(tree: Tree) -> Manifest:
    """The manifest that a release of `tree` must have, without any source being read."""
    files = []
    for path, data in tree.items():
        content = content_of(data)
        files.append(File(path, content.size, content.sha256, content.ota))
    return Manifest.of(files)


def gather(entries: Iterable[Entry]) -> Manifest:
    """The manifest of what a source brings; nothing is stored."""
    contents = Contents()
    for entry in entries:
        contents.admit(entry)
        if isinstance(entry, Plain):
            contents.keep(entry.path, Hasher.of(contents.read(entry)))
    return contents.manifest()


def lay_out(tree: Tree, top: Path) -> Path:
    """The tree as a directory."""
    top.mkdir(parents=True, exist_ok=True)
    for path, data in tree.items():
        place = top / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return top


def member(name: str, kind: bytes = tarfile.REGTYPE, *, target: str = "", size: int = 0) -> tarfile.TarInfo:
    """The header of one member of a tar archive, whatever it says."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def tar_bytes(
    tree: Tree, *extra: tarfile.TarInfo, prefix: str = "", form: int = tarfile.PAX_FORMAT, compressed: bool = False
) -> bytes:
    """The tree as a tar archive in the order of `tree`; `extra` headers follow, each without data."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for path, data in tree.items():
            tar.addfile(member(prefix + path, size=len(data)), io.BytesIO(data))
        for info in extra:
            tar.addfile(info)
    return gzip.compress(buffer.getvalue(), 1, mtime=0) if compressed else buffer.getvalue()


def zip_bytes(tree: Tree, *extra: tuple[zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The tree as a zip archive in the order of `tree`; `extra` members follow."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for path, data in tree.items():
            archive.writestr(zip_member(path, method=method), data)
        for info, data in extra:
            archive.writestr(info, data)
    return buffer.getvalue()


def zip_member(name: str, mode: int = stat.S_IFREG | 0o644, method: int = zipfile.ZIP_DEFLATED) -> zipfile.ZipInfo:
    """The header of one member of a zip archive. The name is set past zipfile, which would change some."""
    info = zipfile.ZipInfo("placeholder")
    info.filename = info.orig_filename = name
    info.create_system = 3
    info.external_attr = mode << 16
    info.compress_type = method
    return info


def snapshot(top: Path) -> dict[str, tuple[int, bytes]]:
    """Every name below `top`, with its mode and its bytes or target."""
    found: dict[str, tuple[int, bytes]] = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        data = b""
        if stat.S_ISLNK(status.st_mode):
            data = os.fsencode(path.readlink())
        elif stat.S_ISREG(status.st_mode):
            data = path.read_bytes()
        found[str(path.relative_to(top))] = (status.st_mode, data)
    return found
