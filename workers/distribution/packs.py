"""Packs: what is sent to a frontend, each one gzip tar stream (docs/protocol.md, "On a frontend").

Objects that a frontend lacks go in one stream, not file by file. Frontends of a fleet mostly lack the same objects,
so a pack is built once per worker and kept while it is used.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import tempfile
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Any, BinaryIO, Self

from orchestrator.domain.layout import Layout, Tree

#: Level 1: a worker compresses 5 times as fast as at level 6, for streams a tenth larger.
COMPRESSION = 1
CHUNK = 256 * 1024
#: What is compressed at once, in bytes; and how many such blocks are in memory at most.
BLOCK = 1 << 20
MOST_BLOCKS = 8
#: A pack is compressed where the first bytes of so many objects, so many of each, get smaller than this part of them.
SAMPLES, SAMPLE_BYTES, WORTH = 32, 64 * 1024, 0.9
#: Packs that nobody asked for in this time are removed, in seconds.
KEEP_SECONDS = 3600.0


class Form(StrEnum):
    """How a pack travels; also the ending of its name."""

    TAR = "tar"
    TGZ = "tgz"


@dataclass(frozen=True, slots=True)
class Pack:
    """An open pack: its bytes as they travel, how many they are, and how many they are unpacked."""

    source: BinaryIO
    form: Form
    size: int
    whole: int


def object_time(sha256: str) -> int:
    """The time that every frontend gives an object, in seconds: the first 30 bits of its hash."""
    return int(sha256[:8], 16) >> 2


def write_objects(
    target: IO[bytes], objects: Sequence[str], open_object: Callable[[str], BinaryIO], form: Form = Form.TGZ
) -> int:
    """A pack for `receive`: regular files named by their SHA-256. Returns its size unpacked, in bytes."""
    if form is Form.TAR:
        _write_tar(target, objects, open_object)
        return target.tell()
    with Compressing(target) as compressing:
        _write_tar(compressing, objects, open_object)
    return compressing.taken


def _write_tar(target: Any, objects: Sequence[str], open_object: Callable[[str], BinaryIO]) -> None:
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.GNU_FORMAT, bufsize=CHUNK) as tar:
        tar.copybufsize = CHUNK  # type: ignore[attr-defined]  # a parameter of the constructor that the stubs lack
        for sha in objects:
            with open_object(sha) as source:
                member = tarfile.TarInfo(sha)
                member.size = source.seek(0, os.SEEK_END)
                source.seek(0)
                member.mtime = object_time(sha)
                member.mode = 0o444
                tar.addfile(member, source)


def form_of(objects: Sequence[str], open_object: Callable[[str], BinaryIO]) -> Form:
    """Compressed where that is worth it, as the beginnings of some of the objects show.

    What is compressed already (pictures, fonts, archives) would only cost: to unzip 20 MB of it takes a frontend longer
    than to receive and hash them.
    """
    plain = compressed = 0
    for sha in objects[:: -(-len(objects) // SAMPLES)]:
        with open_object(sha) as source:
            beginning = source.read(SAMPLE_BYTES)
        plain += len(beginning)
        compressed += len(zlib.compress(beginning, COMPRESSION))
    return Form.TGZ if compressed < WORTH * plain else Form.TAR


class Compressing:
    """A file to write to that compresses on all processors: gzip members one after the other."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._block = bytearray()
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="compressing")
        self._waiting: deque[Future[bytes]] = deque()
        self.taken = 0

    def write(self, data: bytes) -> int:
        """Take in bytes."""
        self._block += data
        self.taken += len(data)
        while len(self._block) >= BLOCK:
            self._hand_over(BLOCK)
        return len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._threads:
            if kind is None:
                self._hand_over(len(self._block))
                while self._waiting:
                    self._target.write(self._waiting.popleft().result())

    def _hand_over(self, size: int) -> None:
        # zlib lets go of the interpreter's lock while it works.
        self._waiting.append(self._threads.submit(gzip.compress, bytes(self._block[:size]), COMPRESSION, mtime=0))
        del self._block[:size]
        # No more than some blocks are ever in memory.
        while len(self._waiting) > MOST_BLOCKS:
            self._target.write(self._waiting.popleft().result())


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
    def pack(
        self, objects: Sequence[str], open_object: Callable[[str], BinaryIO], form: Form | None = None
    ) -> Iterator[Pack]:
        """A pack of these objects, open for reading, in this form or the one that suits them."""
        wanted = sorted(objects)
        name = hashlib.sha256("\n".join([*wanted, form or ""]).encode()).hexdigest()
        with self._lock:
            lock = self._building.setdefault(name, threading.Lock())
        with lock:
            found = self._opened(name) or self._build(name, wanted, open_object, form)
        with found.source:
            yield found

    def _opened(self, name: str) -> Pack | None:
        for path in self._directory.glob(f"{name}-*"):
            whole, _, ending = path.name.removeprefix(f"{name}-").partition(".")
            try:
                source = path.open("rb")
            except FileNotFoundError:
                continue  # another worker swept it
            os.utime(source.fileno())
            return Pack(source, Form(ending), os.fstat(source.fileno()).st_size, int(whole))
        return None

    def _build(
        self, name: str, objects: Sequence[str], open_object: Callable[[str], BinaryIO], form: Form | None
    ) -> Pack:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()
        form = form or form_of(objects, open_object)
        with tempfile.NamedTemporaryFile(dir=self._directory, prefix="new-", delete=False) as target:
            try:
                whole = write_objects(target, objects, open_object, form)
            except BaseException:
                Path(target.name).unlink()
                raise
        path = Path(target.name).replace(self._directory / f"{name}-{whole}.{form}")
        return Pack(path.open("rb"), form, path.stat().st_size, whole)

    def _sweep(self) -> None:
        for path in self._directory.iterdir():
            try:
                if path.stat().st_mtime < time.time() - KEEP_SECONDS:
                    path.unlink()
            except FileNotFoundError:
                continue  # another worker swept it


def chunks(source: BinaryIO) -> Iterator[bytes]:
    """The bytes of `source`, piece by piece."""
    while piece := source.read(CHUNK):
        yield piece
