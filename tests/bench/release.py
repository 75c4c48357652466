"""The releases that every tool deploys: trees of files that don't compress, and what a frontend has to hold of them.

The second differs from the first in 5 % of its files, and only in their content: sizes and times of change are the
same, as where a build fixes both. A tool that compares these and not the bytes misses the change.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FIRST, SECOND = "1.0.0", "2.0.0"
#: What clients ask for beside the entry page: small files, each of which names its version.
PARTS = ("parts/0.js", "parts/1.js", "parts/2.js")
PART_BYTES = 256
CHANGED = 0.05
MODIFIED = 1_700_000_000


@dataclass(frozen=True, slots=True)
class Release:
    """A version, its tree on the controller, and the SHA-256 of each file by its path."""

    version: str
    tree: Path
    digests: Mapping[str, str]
    size: int


def make_releases(directory: Path, files: int, size: int) -> tuple[Release, Release]:
    """Both releases, of so many files and about so many bytes each, below `directory`."""
    if files < len(PARTS) + 2:
        raise ValueError(f"files: expected at least {len(PARTS) + 2}, found {files}")
    return _written(directory, FIRST, _files(files, size, FIRST)), _written(
        directory, SECOND, _files(files, size, SECOND)
    )


def wrong_files(served: Path, release: Release) -> int:
    """How many files below `served` are not the release's: missing, different, or too many."""
    found = dict(_hashed(served.resolve()))
    wanted = release.digests
    return sum(found.get(path) != digest for path, digest in wanted.items()) + len(found.keys() - wanted.keys())


def _files(files: int, size: int, version: str) -> Iterator[tuple[str, bytes]]:
    yield "index.html", page(version)
    for path in PARTS:
        yield path, f"/* {stamp(version)} {path} */\n".encode().ljust(PART_BYTES, b"/")
    others = files - len(PARTS) - 1
    changed = max(0, round(files * CHANGED) - len(PARTS) - 1)
    for number in range(others):
        # Spread over the tree: neighbours in an archive are no help.
        is_changed = number * changed // others != (number + 1) * changed // others
        source = random.Random(f"{number} {version if is_changed else FIRST}")
        yield f"assets/{number % 16:02}/{number:04}.bin", source.randbytes(max(1, size // others))


def stamp(version: str) -> str:
    """How a file names its version."""
    return f"version={version};"


def page(version: str) -> bytes:
    """The entry page: its version, and the parts that it needs."""
    scripts = "".join(f'<script src="{path}"></script>' for path in PARTS)
    return f"<!doctype html><title>{stamp(version)}</title>{scripts}\n".encode()


def _written(directory: Path, version: str, files: Iterator[tuple[str, bytes]]) -> Release:
    tree, digests, size = directory / version, {}, 0
    for path, content in files:
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
        os.utime(tree / path, (MODIFIED, MODIFIED))
        digests[path] = hashlib.sha256(content).hexdigest()
        size += len(content)
    return Release(version, tree, digests, size)


def _hashed(root: Path) -> Iterator[tuple[str, str]]:
    for parent, _, names in os.walk(root):
        for name in names:
            path = Path(parent, name)
            with path.open("rb") as file:
                yield str(path.relative_to(root)), hashlib.file_digest(file, "sha256").hexdigest()
