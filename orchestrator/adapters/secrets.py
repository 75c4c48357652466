"""Files that hold secrets: read at each use, so that a new one counts at once. What is in them is never told.

A file belongs to who runs Lockstep, or to root, and nobody else may read or write it.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from orchestrator.domain.errors import LockstepError
from orchestrator.domain.signature import key_of

#: More is no file of secrets, in bytes.
LARGEST = 64 * 1024
#: Keys in one file: the newest first, older ones below it until every sender has changed.
MOST_KEYS = 8
#: A token that may be guessed is none: 22 characters of base64 are 128 bits.
SHORTEST_TOKEN = 22


def lines(path: str) -> list[str]:
    """The lines of a file of secrets, without the empty ones and those that begin with ``#``. At least one.

    Raises:
        LockstepError: It can't be read, others may read or write it, or it holds nothing. No line is in the error.
    """
    try:
        text = _read(path).decode()
    except UnicodeDecodeError:
        # What it says holds a part of the file.
        raise LockstepError("a file of secrets that is no text", where=path, expected="UTF-8") from None
    found = [line.strip() for line in text.splitlines()]
    found = [line for line in found if line and not line.startswith("#")]
    if not found:
        raise LockstepError("a file of secrets without one", where=path, expected="one in a line")
    return found


def keys(path: str) -> list[bytes]:
    """The keys in a file, as `orchestrator.domain.signature.key_of` reads each line, newest first.

    Sign with the first; take what any of them signed. `LockstepError` as in `lines`, and for keys that are too short.
    """
    found = lines(path)
    if len(found) > MOST_KEYS:
        raise LockstepError("too many keys in one file", where=path, expected=f"at most {MOST_KEYS}")
    made = []
    for number, line in enumerate(found, 1):
        try:
            made.append(key_of(line))
        except LockstepError as error:
            problem = error.problem
            raise LockstepError(
                problem.what, where=f"{path}, key {number}", expected=problem.expected, remedy=problem.remedy
            ) from None
    return made


def tokens(path: str) -> list[bytes]:
    """The tokens in a file, newest first; any of them is right. `LockstepError` as in `lines`, and for short ones."""
    found = [line.encode() for line in lines(path)]
    if any(len(token) < SHORTEST_TOKEN for token in found):
        raise LockstepError(
            "a token that is too short",
            where=path,
            expected=f"at least {SHORTEST_TOKEN} characters",
            remedy="make one: openssl rand -hex 32",
        )
    return found


def _read(path: str) -> bytes:
    try:
        # Without waiting for somebody to write, where it is a pipe; what is looked at is what is read.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        word = "there is no file of secrets" if error.errno == errno.ENOENT else "a file of secrets can't be read"
        raise LockstepError(word, where=path, found=error.strerror or "", remedy=f"see: ls -l {Path(path)}") from error
    try:
        _check(os.fstat(descriptor), path)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise LockstepError("a file of secrets can't be read", where=path, found=error.strerror or "") from error
    finally:
        os.close(descriptor)
    if len(content) > LARGEST:
        raise LockstepError("too large for a file of secrets", where=path, expected=f"at most {LARGEST} bytes")
    return content


def _check(seen: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(seen.st_mode):
        raise LockstepError("not a file", where=path, expected="a file of secrets, or a link to one")
    if seen.st_uid not in (os.geteuid(), 0):
        raise LockstepError(
            "a file of secrets of somebody else",
            where=path,
            expected="one of the user that runs Lockstep",
            remedy=f"give it to that user: chown USER {path}",
        )
    if seen.st_mode & 0o077:
        raise LockstepError(
            "others may use a file of secrets",
            where=path,
            expected="a file for its owner alone",
            found=f"mode {stat.S_IMODE(seen.st_mode):04o}",
            remedy=f"chmod 600 {path}, and put another secret in it if somebody may have read this one",
        )
