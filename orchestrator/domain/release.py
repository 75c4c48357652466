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

SHA256 = re.compile(r"[0-9a-f]{64}")
#: 22 characters: base64 of an MD5, ``/`` -> ``_``, ``=`` dropped, ``+`` kept (the OTA clients' format).
OTA_HASH = re.compile(r"[A-Za-z0-9+_]{22}")
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,63}")

MANIFEST_FORMAT = 1


def ota_hash(md5: bytes) -> str:
    """An OTA client's spelling of an MD5 digest of 16 bytes."""
    return base64.b64encode(md5).decode().replace("/", "_").rstrip("=")


@dataclass(frozen=True, slots=True, order=True)
class File:
    """One file of a release: its path (relative, ``/`` between segments), size in bytes, and both hashes."""

    path: str
    size: int
    sha256: str
    ota: str


@dataclass(frozen=True)
class Manifest:
    """The files of a release, sorted by path. Content alone: no app, no version, no time, no host."""

    files: tuple[File, ...]

    @classmethod
    def of(cls, files: Iterable[File]) -> Manifest:
        """A manifest of `files` in canonical order. The caller has checked the paths (`orchestrator.domain.paths`)."""
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

    @classmethod
    def parse(cls, raw: bytes) -> Manifest:
        """Read canonical JSON back. Raises `ReleaseError` for anything that `canonical` would not have written."""
        try:
            document = json.loads(raw)
            rows = document["files"]
            files = tuple(File(_text(r["path"]), _count(r["size"]), _text(r["sha256"]), _text(r["ota"])) for r in rows)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ReleaseError("not a manifest", found=f"{type(error).__name__}: {error}"[:200]) from error
        manifest = cls(files)
        for f in files:
            if not SHA256.fullmatch(f.sha256) or not OTA_HASH.fullmatch(f.ota):
                raise ReleaseError("a hash in the manifest has the wrong form", where=f.path[:200])
        if manifest.canonical != raw:
            raise ReleaseError("the manifest is not in canonical form", remedy="build the release again")
        return manifest


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a string was expected, not {type(value).__name__}")
    return value


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("a size is a whole number of bytes")
    return value
