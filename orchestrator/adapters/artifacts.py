"""The artifact store in a directory. docs/releases.md, "The artifact store", shows its layout.

Objects and manifests are named by their own SHA-256, so two writers of one name write the same bytes, and a rename
over what is there changes nothing. Bytes are on the disk before their name is, and objects before their manifest.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orchestrator.domain.errors import LockstepError, ReleaseError
from orchestrator.domain.release import SHA256, Content, Hasher, Manifest


class DirectoryArtifacts:
    """`orchestrator.ports.Artifacts` below `root`, which is made when something is first stored.

    Safe for any number of threads and processes at once. Raises `LockstepError` where the disk does not do its part.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def has(self, sha256: str) -> bool:
        """Whether the object is there."""
        return self._object(sha256).is_file()

    def open(self, sha256: str) -> BinaryIO:
        """An object's bytes, to be closed by the caller; `ReleaseError` where it is not there."""
        with _working(self._root):
            try:
                return self._object(sha256).open("rb")
            except FileNotFoundError as error:
                raise _lost("object", sha256, self._root) from error

    def add(self, sha256: str, chunks: Iterable[bytes]) -> None:
        """Store an object, whole or not at all; `ReleaseError` where its bytes have another hash."""
        with self.intake() as intake:
            found = intake.add(chunks).sha256
            if found != _checked(sha256):
                raise ReleaseError("the content has another hash than its name", expected=sha256, found=found)
            intake.place({sha256})

    def add_manifest(self, manifest: Manifest) -> None:
        """Store a manifest; `ReleaseError` where one of its objects is not in the store."""
        with self.intake() as intake:
            intake.commit(manifest)

    def manifest(self, digest: str) -> Manifest:
        """Read a manifest back and check its digest; `ReleaseError` where it is not there or not itself."""
        path = self._root / "manifests" / f"{_checked(digest)}.json"
        with _working(self._root):
            try:
                raw = path.read_bytes()
            except FileNotFoundError as error:
                raise _lost("manifest", digest, self._root) from error
        if hashlib.sha256(raw).hexdigest() != digest:
            raise ReleaseError(
                "a manifest in the artifact store is damaged", where=str(path), remedy="build the release again"
            )
        return Manifest.parse(raw)

    @contextmanager
    def intake(self) -> Iterator[DirectoryIntake]:
        """Take in a new release. Leaving it without `commit` leaves nothing behind."""
        incoming = self._root / "incoming"
        with _working(self._root):
            incoming.mkdir(parents=True, exist_ok=True)
            _sweep(incoming)
            scratch, lock = _scratch(incoming)
        try:
            yield DirectoryIntake(self._root, scratch)
        finally:
            # What can't be removed now, the next intake sweeps up.
            shutil.rmtree(scratch, ignore_errors=True)
            os.close(lock)

    def _object(self, sha256: str) -> Path:
        return object_path(self._root, _checked(sha256))


class DirectoryIntake:
    """`orchestrator.ports.Intake`: files in a directory of its own in the store, renamed when all is known."""

    def __init__(self, root: Path, scratch: Path) -> None:
        self._root = root
        self._scratch = scratch
        self._taken: set[str] = set()
        self._begun = 0

    def add(self, chunks: Iterable[bytes]) -> Content:
        """Write one file's bytes while they are hashed; what the store has already is not kept a second time."""
        self._begun += 1
        path = self._scratch / f"new-{self._begun}"
        hasher = Hasher()
        with _working(self._root):
            with path.open("xb") as file:
                for chunk in chunks:
                    hasher.update(chunk)
                    file.write(chunk)
            content = hasher.content()
            if self._has(content):
                path.unlink()
            else:
                path.rename(self._scratch / content.sha256)
                self._taken.add(content.sha256)
        return content

    def commit(self, manifest: Manifest) -> None:
        """Store, durably, what the manifest names, then the manifest."""
        for f in manifest:
            if not self._has(f.content):
                raise _lost("object", f.sha256, self._root)
        self.place({f.sha256 for f in manifest})
        path = self._scratch / "manifest"
        with _working(self._root):
            path.write_bytes(manifest.canonical)
            self._publish(path, self._root / "manifests" / f"{manifest.digest}.json")
            _flush(self._root / "manifests")
            _flush(self._root)

    def place(self, wanted: set[str]) -> None:
        """Give the objects of `wanted`, taken in here or there already, their names; durably."""
        with _working(self._root):
            for sha256 in sorted(wanted & self._taken):
                self._publish(self._scratch / sha256, object_path(self._root, sha256))
                self._taken.discard(sha256)
            # All of them: another writer may have renamed an object a moment ago, and not flushed its name yet.
            for directory in {object_path(self._root, sha256).parent for sha256 in wanted}:
                _flush(directory)
            _flush(self._root / "objects")

    def _publish(self, path: Path, place: Path) -> None:
        with path.open("rb") as file:
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)

    def _has(self, content: Content) -> bool:
        """Whether it was taken in here, or is in the store with its size: what a broken disk cut off is replaced."""
        if content.sha256 in self._taken:
            return True
        try:
            return object_path(self._root, content.sha256).stat().st_size == content.size
        except FileNotFoundError:
            return False


def object_path(root: Path, sha256: str) -> Path:
    """Where an object lies: in one of 256 directories, so that none of them grows too large to list."""
    return root / "objects" / sha256[:2] / sha256


def _checked(sha256: str) -> str:
    if SHA256.fullmatch(sha256) is None:
        raise ReleaseError("not a SHA-256", expected="64 hex digits, small letters", found=repr(sha256)[:80])
    return sha256


def _lost(what: str, sha256: str, root: Path) -> ReleaseError:
    return ReleaseError(
        f"the artifact store has no {what} {sha256}",
        where=str(root),
        remedy="build the release again from the same content; LOCKSTEP_ARTIFACTS says which store is used",
    )


@contextmanager
def _working(root: Path) -> Iterator[None]:
    """What the disk refuses, as a `LockstepError`. Sources raise errors of their own: what ends here is the store's."""
    try:
        yield
    except OSError as error:
        raise LockstepError(
            "the artifact store can't be used",
            where=str(root),
            found=str(error),
            remedy="see to its space and permissions, then try again; no release was changed",
        ) from error


def _flush(directory: Path) -> None:
    """Make the names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _scratch(incoming: Path) -> tuple[Path, int]:
    """A new directory for one intake, and the handle that holds its lock as long as the intake's process lives."""
    while True:
        path = incoming / secrets.token_hex(8)
        path.mkdir(mode=0o700)
        handle = _locked(path)
        # Between its making and its locking, another intake may have taken it for a dead one's.
        if handle is not None and path.is_dir():
            return path, handle
        if handle is not None:
            os.close(handle)


def _locked(directory: Path) -> int | None:
    """A handle that locks the directory, or None where it is gone, or somebody else's."""
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def _sweep(incoming: Path) -> None:
    """Remove what intakes left whose process was killed: their lock went with it."""
    for path in incoming.iterdir():
        handle = _locked(path)
        if handle is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(handle)
