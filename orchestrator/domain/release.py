"""A release's content: files, their hashes, and the manifest whose digest is the release's identity."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.paths import check_paths, show

SHA256 = re.compile(r"[0-9a-f]{64}")
#: 22 characters: base64 of an MD5, ``/`` -> ``_``, ``=`` dropped, ``+`` kept (the OTA clients' format).
OTA_HASH = re.compile(r"[A-Za-z0-9+_]{22}")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,63}")

MANIFEST_FORMAT = 1
#: The largest whole number that every reader of JSON holds exactly.
_MOST_BYTES = 2**53 - 1


def ota_hash(md5: bytes) -> str:
    """An OTA client's spelling of an MD5 digest of 16 bytes."""
    return base64.b64encode(md5).decode().replace("/", "_").rstrip("=")


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds, whatever its name: size in bytes, and both hashes."""

    size: int
    sha256: str
    ota: str


class Hasher:
    """Both hashes of some bytes, in one pass over them."""

    def __init__(self) -> None:
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def update(self, chunk: bytes) -> None:
        """The next bytes."""
        self._size += len(chunk)
        self._sha256.update(chunk)
        self._md5.update(chunk)

    def content(self) -> Content:
        """What has been hashed so far."""
        return Content(self._size, self._sha256.hexdigest(), ota_hash(self._md5.digest()))

    @classmethod
    def of(cls, chunks: Iterable[bytes]) -> Content:
        """The content of `chunks`, one after the other."""
        hasher = cls()
        for chunk in chunks:
            hasher.update(chunk)
        return hasher.content()


@dataclass(frozen=True, slots=True, order=True)
class File:
    """One file of a release: its path (relative, ``/`` between segments), size in bytes, and both hashes."""

    path: str
    size: int
    sha256: str
    ota: str

    @property
    def content(self) -> Content:
        """The file without its path."""
        return Content(self.size, self.sha256, self.ota)


@dataclass(frozen=True)
class Manifest:
    """The files of a release, sorted by path. Content alone: no app, no version, no time, no host."""

    files: tuple[File, ...]

    @classmethod
    def of(cls, files: Iterable[File]) -> Manifest:
        """A manifest of `files` in canonical order. `check` says whether it can be a release."""
        return cls(tuple(sorted(files)))

    @cached_property
    def canonical(self) -> bytes:
        """The canonical JSON: sorted keys, no white space, UTF-8, one line. Its SHA-256 is the digest."""
        rows = [{"ota": f.ota, "path": f.path, "sha256": f.sha256, "size": f.size} for f in self.files]
        document = {"files": rows, "format": MANIFEST_FORMAT}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @cached_property
    def digest(self) -> str:
        """The release's identity: SHA-256 of `canonical`, 64 hex digits."""
        return hashlib.sha256(self.canonical).hexdigest()

    @cached_property
    def by_path(self) -> dict[str, File]:
        """The files by path."""
        return {f.path: f for f in self.files}

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(f.size for f in self.files)

    def __iter__(self) -> Iterator[File]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def check(self) -> None:
        """Raise `ReleaseError` unless this can be a release: some files, their paths allowed, each hash one content."""
        if not self.files:
            raise ReleaseError("the release is empty", expected="at least one file")
        check_paths(f.path for f in self.files)
        by_ota: dict[str, File] = {}
        by_sha256: dict[str, File] = {}
        for f in self.files:
            other = by_ota.setdefault(f.ota, f)
            if other.sha256 != f.sha256:
                raise ReleaseError(
                    "two files with different content have the same OTA hash (an MD5 collision)",
                    where=show(f.path),
                    found=f"the OTA hash of {show(other.path)}, {f.ota}",
                    remedy="change one of them: clients ask for files by this hash, and could get the wrong one",
                )
            if by_sha256.setdefault(f.sha256, f).content != f.content:
                raise ReleaseError("one content has two sizes or two OTA hashes", where=show(f.path))

    @classmethod
    def parse(cls, raw: bytes) -> Manifest:
        """Read canonical JSON back. Raises `ReleaseError` for anything that is not the `canonical` of a release."""
        try:
            document = json.loads(raw)
            rows = document["files"]
            files = tuple(File(_text(r["path"]), _count(r["size"]), _text(r["sha256"]), _text(r["ota"])) for r in rows)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ReleaseError("not a manifest", found=f"{type(error).__name__}: {error}"[:200]) from error
        for f in files:
            if not SHA256.fullmatch(f.sha256) or not OTA_HASH.fullmatch(f.ota):
                raise ReleaseError("a hash in the manifest has the wrong form", where=show(f.path))
        manifest = cls.of(files)
        manifest.check()
        if manifest.canonical != raw:
            raise ReleaseError("the manifest is not in canonical form", remedy="build the release again")
        return manifest


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a string was expected, not {type(value).__name__}")
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MOST_BYTES:
        raise TypeError("a size is a whole number of bytes")
    return value
