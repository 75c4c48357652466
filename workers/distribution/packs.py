"""Packs: what is sent to a frontend, each one gzip tar stream (docs/protocol.md, "On a frontend").

Objects that a frontend lacks go in one stream, not file by file. Frontends of a fleet mostly lack the same objects,
so a pack is built once per worker and kept while it is used.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, BinaryIO

from orchestrator.domain.layout import Layout, Tree

#: Level 1: a worker compresses 5 times as fast as at level 6, for streams a tenth larger.
COMPRESSION = 1
CHUNK = 256 * 1024
#: Packs that nobody asked for in this time are removed, in seconds.
KEEP_SECONDS = 3600.0


def object_time(sha256: str) -> int:
    """The time that every frontend gives an object, in seconds: the first 30 bits of its hash."""
    return int(sha256[:8], 16) >> 2


def write_objects(target: IO[bytes], objects: Sequence[str], open_object: Callable[[str], BinaryIO]) -> None:
    """A pack for `receive`: regular files named by their SHA-256."""
    with tarfile.open(fileobj=target, mode="w:gz", format=tarfile.GNU_FORMAT, compresslevel=COMPRESSION) as tar:
        for sha in objects:
            with open_object(sha) as source:
                member = tarfile.TarInfo(sha)
                member.size = source.seek(0, os.SEEK_END)
                source.seek(0)
                member.mtime = object_time(sha)
                member.mode = 0o444
                tar.addfile(member, source)


def link_pack(layout: Layout) -> bytes:
    """A pack for `assemble`: every link of every release, so that one that somebody has changed is put right."""
    return _pack_of_links((replace(layout.activation, path="activation"), *layout.releases), layout.by_hash)


def mending_pack(trees: Iterable[Tree], by_hash: Mapping[str, str]) -> bytes:
    """A pack for `mend`: the entries of `releases/…` and `activations/…` that are to be put right, and no others."""
    return _pack_of_links(trees, by_hash)


def _pack_of_links(trees: Iterable[Tree], by_hash: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.GNU_FORMAT, compresslevel=COMPRESSION) as tar:
        for tree in trees:
            for path, sha in sorted(tree.files.items()):
                tar.addfile(_hard_link(f"tree/{tree.path}/{path}", sha))
            for path, target in sorted(tree.links.items()):
                tar.addfile(_member(f"tree/{tree.path}/{path}", tarfile.SYMTYPE, target))
        for key, sha in sorted(by_hash.items()):
            tar.addfile(_hard_link(f"tree/by-hash/{key}", sha))
    return buffer.getvalue()


def _hard_link(path: str, sha: str) -> tarfile.TarInfo:
    return _member(path, tarfile.LNKTYPE, f"objects/{sha}")


def _member(path: str, kind: bytes, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path)
    member.type = kind
    member.linkname = target
    member.mode = 0o444
    return member


class PackShelf:
    """Object packs on this worker's disk, built once each. Safe to use from several threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._building: dict[str, threading.Lock] = {}

    @contextmanager
    def pack(self, objects: Sequence[str], open_object: Callable[[str], BinaryIO]) -> Iterator[BinaryIO]:
        """A pack of these objects, open for reading."""
        name = hashlib.sha256("\n".join(sorted(objects)).encode()).hexdigest()
        path = self._directory / f"{name}.tar.gz"
        with self._lock:
            lock = self._building.setdefault(name, threading.Lock())
        with lock:
            source = _opened(path) or self._build(path, sorted(objects), open_object)
        with source:
            yield source

    def _build(self, path: Path, objects: Sequence[str], open_object: Callable[[str], BinaryIO]) -> BinaryIO:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()
        with tempfile.NamedTemporaryFile(dir=self._directory, prefix="new-", delete=False) as target:
            try:
                write_objects(target, objects, open_object)
            except BaseException:
                Path(target.name).unlink()
                raise
        Path(target.name).replace(path)
        return path.open("rb")

    def _sweep(self) -> None:
        for path in self._directory.iterdir():
            try:
                if path.stat().st_mtime < time.time() - KEEP_SECONDS:
                    path.unlink()
            except FileNotFoundError:
                continue  # another worker swept it


def _opened(path: Path) -> BinaryIO | None:
    try:
        source = path.open("rb")
    except FileNotFoundError:
        return None
    os.utime(source.fileno())
    return source


def chunks(source: BinaryIO) -> Iterator[bytes]:
    """The bytes of `source`, piece by piece."""
    while piece := source.read(CHUNK):
        yield piece
