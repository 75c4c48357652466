"""An archive on its way in: into a file of its own, counted and hashed, and gone again whatever happens."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

from anyio.to_thread import run_sync
from fastapi import Depends, Header, Query, Request
from starlette.requests import ClientDisconnect

from orchestrator.api.asking import Parts, allowed
from orchestrator.api.problems import TooLargeError
from orchestrator.api.v1.parameters import AppName, Version
from orchestrator.domain.access import Permission, Principal
from orchestrator.domain.errors import LockstepError, ReleaseError, UsageError

Format = Literal["tar.gz", "tgz", "tar", "zip"]

#: What kind of archive a media type is.
MEDIA_TYPES: dict[str, Format] = {
    "application/gzip": "tar.gz",
    "application/x-gzip": "tar.gz",
    "application/x-compressed-tar": "tar.gz",
    "application/x-tar": "tar",
    "application/zip": "zip",
    "application/x-zip-compressed": "zip",
}
#: In a Content-Digest header (RFC 9530), which is a dictionary of byte sequences.
SHA256 = re.compile(r"(?:^|,)[ \t]*sha-256=:(?P<digest>[A-Za-z0-9+/]{43}=):[ \t]*(?=,|$)")
#: How much is written at once, in bytes.
PIECE = 1024 * 1024
#: What nobody has written to for so long, in seconds, belongs to a process that died.
STALE = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Upload:
    """An archive in a file of which nobody else knows, and the SHA-256 of it."""

    path: Path
    sha256: str


async def receive(
    request: Request,
    lockstep: Parts,
    who: Annotated[Principal, Depends(allowed(Permission.RELEASE))],
    app: AppName,
    version: Version,
    archive: Annotated[
        Format | None, Query(alias="format", description="What it is, where the Content-Type does not say.")
    ] = None,
    content_digest: Annotated[
        str | None,
        Header(max_length=2000, description="`sha-256=:BASE64:` of the body (RFC 9530): refused where it differs."),
    ] = None,
    content_length: Annotated[int | None, Header(ge=0, include_in_schema=False)] = None,
) -> AsyncIterator[Upload]:
    """Take the body in, for somebody who may.

    Raises `TooLargeError` at once where its length says so, and as soon as it is; `UsageError` for what is no archive
    by its name, and where the digest differs or the sender goes.
    """
    del who, app, version
    suffix = _suffix(archive, request.headers.get("content-type", ""))
    expected = None if content_digest is None else _expected(content_digest)
    most = lockstep.settings.upload_bytes
    if content_length is not None and content_length > most:
        raise _too_large(most)
    directory = lockstep.settings.home / "uploads"
    path = directory / f"{secrets.token_hex(16)}.{suffix}"
    try:
        digest = await _kept(request, path, most)
        if expected is not None and digest != expected:
            raise ReleaseError(
                "the body is not what its Content-Digest says",
                expected=f"SHA-256 {expected.hex()}",
                found=f"SHA-256 {digest.hex()}",
                remedy="send it again",
            )
        yield Upload(path, digest.hex())
    finally:
        # Where the disk does not even let it go, the next upload sweeps it.
        with suppress(OSError):
            await run_sync(path.unlink)


Uploaded = Annotated[Upload, Depends(receive)]


async def _kept(request: Request, path: Path, most: int) -> bytes:
    try:
        with await run_sync(_opened, path) as file:
            return await _written(request, file, most)
    except OSError as error:
        raise LockstepError(
            "the upload can't be kept", where=str(path.parent), found=error.strerror or str(error), remedy="make room"
        ) from error


async def _written(request: Request, file: BinaryIO, most: int) -> bytes:
    hasher, size, piece = hashlib.sha256(), 0, bytearray()

    def write() -> None:
        hasher.update(piece)
        file.write(piece)
        piece.clear()

    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > most:
                raise _too_large(most)
            piece += chunk
            if len(piece) >= PIECE:
                await run_sync(write)
    except ClientDisconnect as error:
        raise UsageError("the upload ended before its end") from error
    await run_sync(write)
    return hasher.digest()


def _opened(path: Path) -> BinaryIO:
    """A new file; and what was left by processes that died is removed."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for old in path.parent.iterdir():
        try:
            if time.time() - old.stat().st_mtime > STALE:
                old.unlink()
        except FileNotFoundError:
            continue
    return path.open("xb", buffering=0)


def _suffix(archive: Format | None, content_type: str) -> str:
    found = archive or MEDIA_TYPES.get(content_type.partition(";")[0].strip().lower())
    if found is None:
        raise UsageError(
            "it is not said what kind of archive this is",
            expected=f"?format=tar.gz, tgz, tar or zip; or a Content-Type of {', '.join(MEDIA_TYPES)}",
            found=content_type[:80],
        )
    return found


def _expected(header: str) -> bytes:
    found = SHA256.search(header)
    if found is None:
        raise UsageError(
            "no Content-Digest that is checked here", expected="sha-256=:BASE64: (RFC 9530)", found=header[:120]
        )
    return base64.b64decode(found["digest"])


def _too_large(most: int) -> TooLargeError:
    return TooLargeError(
        "the archive is too large",
        expected=f"at most {most} bytes",
        remedy="build it on the machine itself (lockstep release build), or raise LOCKSTEP_UPLOAD_BYTES",
    )
