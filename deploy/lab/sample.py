"""A sample app to deploy: about 400 files of 20 MB, the same bytes at every run."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

FILES = 400
BYTES = 20_000_000
#: Of each new version, this share of the files changes.
CHANGED = 0.05
#: How files spread over kinds, much as they do in apps: many small scripts, fewer and larger images.
KINDS = (("scripts", "js", 0.5), ("styles", "css", 0.1), ("img", "png", 0.4))


def write_sample(directory: Path, version: str, generation: int) -> None:
    """Write the app's tree. From one `generation` to the next, `CHANGED` of the files have other bytes.

    Args:
        directory: A folder that does not exist yet.
        version: What the entry document shows.
        generation: 1 for the first version, and so on.
    """
    paths = list(_paths())
    entry = "".join(f'<script src="{path}"></script>\n' for path in paths if path.endswith(".js"))
    _write(directory / "index.html", f"<!doctype html>\n<title>ToDo {version}</title>\n{entry}".encode())
    every = round(1 / CHANGED)
    for number, path in enumerate(paths):
        # Each path's bytes come from its number and from the generation in which it changed last.
        changed = max((g for g in range(2, generation + 1) if (number + g) % every == 0), default=1)
        # The same numbers on every machine are the point; nobody's secrets depend on them.
        source = random.Random(f"{path}/{changed}")  # noqa: S311
        size = round(BYTES / FILES * (0.5 + random.Random(path).random()))  # noqa: S311
        _write(directory / path, source.randbytes(size))


def _paths() -> Iterator[str]:
    number = 0
    for folder, ending, share in KINDS:
        for _ in range(round((FILES - 1) * share)):
            number += 1
            yield f"{folder}/{number:03}.{ending}"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
