"""What reading tar and zip archives has in common."""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orchestrator.adapters.sources.stamp import Stamp
from orchestrator.domain.errors import ReleaseError

#: How many bytes are read at once: all that is ever in memory of a file.
STEP = 2**20

#: What the readers of the standard library raise at bytes that are not what they should be. RuntimeError covers
#: features that they don't know (NotImplementedError) and headers nested without end (RecursionError), OverflowError
#: places and lengths that no file can have.
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError, OverflowError)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The archive's bytes. Raises `ReleaseError` where it can't be read, or changed while it was."""
    with sound(str(path)):
        file = path.open("rb")
    with file:
        before = Stamp.of(os.fstat(file.fileno()))
        yield file
        with sound(str(path)):
            after = Stamp.of(path.stat())
        if before != after:
            raise ReleaseError(
                "the archive changed while it was read", where=str(path), remedy="build again when it is complete"
            )


@contextmanager
def sound(where: str) -> Iterator[None]:
    """Turn what the readers raise into a `ReleaseError` about `where`. Never held open over a `yield`."""
    try:
        yield
    except _DAMAGE as error:
        raise damaged(where, f"{type(error).__name__}: {error}"[:300]) from error


def damaged(where: str, found: str) -> ReleaseError:
    """The refusal of an archive that is not whole, or not what its name says."""
    return ReleaseError(
        "the archive can't be read",
        where=where,
        expected="a whole archive of the kind that its name says",
        found=found,
        remedy="pack or copy it again",
    )


def tree_path(name: str) -> str:
    """A member's path from the top of the tree. tar puts ``./`` before each name where the top itself was packed."""
    return name.removeprefix("./")
