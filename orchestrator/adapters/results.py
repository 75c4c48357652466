"""Result files of polled zones: each appears whole, once, in a folder that somebody else reads."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from orchestrator.domain.errors import LockstepError


class FolderResults:
    """`orchestrator.ports.Results` in folders of this machine."""

    def put(self, folder: str, name: str, content: str) -> bool:
        """Write a file that is not there yet. False where it is: what is there stays.

        `LockstepError` where the folder takes nothing: nothing has appeared in it.
        """
        target = Path(folder) / name
        if target.parent != Path(folder):
            raise LockstepError("not a file's name", where=folder, found=name)
        # Its end is none that a reader waits for.
        part = Path(folder) / f".{name}.{secrets.token_hex(6)}.part"
        try:
            if os.path.lexists(target):
                return False
            self._write(part, content)
            part.rename(target)
            _sync(Path(folder))
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise LockstepError(
                "a result can't be written",
                where=str(target),
                found=error.strerror or type(error).__name__,
                remedy=f"see that {folder} is there and that the user that runs Lockstep may write to it",
            ) from error
        return True

    @staticmethod
    def _write(part: Path, content: str) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(part, flags, 0o644), "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Not every network file system can.
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
