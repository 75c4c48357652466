"""Archives as sources of releases."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.adapters.artifacts import DirectoryArtifacts
from orchestrator.adapters.sources import entries
from orchestrator.domain.contents import Contents, Limits, Plain
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.release import Manifest
from tests.fuzz.manifests import check_paths_inside
from tests.fuzz.target import Target
from tests.remote.frontend import snapshot

#: Low, so that a bomb need not be large to be one.
LIMITS = Limits(size=2 * 2**20, entries=200)
#: What is inside of a bomb: beyond the limit, and cheap to make.
BOMB = bytes(8 * 2**20)


class Archives(Target[bytes]):
    """Bytes that may be an archive, taken into an artifact store as a build does it."""

    file: str

    def __enter__(self) -> Self:
        memory = Path("/dev/shm")
        place = memory if os.access(memory, os.W_OK) else None
        self._directory = tempfile.TemporaryDirectory(prefix="lockstep-fuzz-", dir=place)
        self._top = Path(self._directory.name)
        self._path = self._top / "sent" / self.file
        for name in ("sent", "beside", "beside/store", "store/beside"):
            (self._top / name).mkdir(parents=True)
            (self._top / name / "mine").write_bytes(b"not Lockstep's\n")
        self._store = DirectoryArtifacts(self._top / "store/root")
        self._around = self._beside()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._directory.cleanup()

    def _beside(self) -> dict[str, tuple[object, ...]]:
        return snapshot(self._top, ignored=["store/root", f"sent/{self.file}"])

    def settle(self) -> None:
        """Nothing was written outside the store, and in it are objects and manifests, each named by its hash."""
        assert self._beside() == self._around
        root = self._top / "store/root"
        assert {path.name for path in root.iterdir()} <= {"objects", "manifests", "incoming"}
        assert not list((root / "incoming").iterdir())
        for path in (root / "objects").glob("*/*"):
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
            assert path.parent.name == path.name[:2]
        for path in (root / "manifests").iterdir():
            assert f"{Manifest.parse(path.read_bytes()).digest}.json" == path.name

    def reset(self) -> None:
        """An empty store, and what is beside it as it was."""
        if self._beside() != self._around:
            self._directory.cleanup()
            self.__enter__()
        root = self._top / "store/root"
        if root.exists():
            shutil.rmtree(root)
        for name in ("objects", "manifests", "incoming"):
            (root / name).mkdir(parents=True)

    def check(self, made: bytes) -> bool:
        self._path.write_bytes(made)
        try:
            manifest = self._build()
        except ReleaseError as error:
            str(error).encode()
            assert all(line.isprintable() for line in str(error).split("\n")), str(error)
            return False
        assert Manifest.parse(manifest.canonical) == manifest
        assert manifest.size <= LIMITS.size
        check_paths_inside(manifest)
        self.compare(self._path, manifest)
        return True

    def _build(self) -> Manifest:
        contents = Contents(LIMITS)
        with self._store.intake() as intake:
            for entry in entries(self._path):
                contents.admit(entry)
                if isinstance(entry, Plain):
                    contents.keep(entry.path, intake.add(contents.read(entry)))
            manifest = contents.manifest()
            intake.commit(manifest)
        return manifest

    def compare(self, archive: Path, manifest: Manifest) -> None:
        """Hold what came of the archive against what another reader finds in it."""
        raise NotImplementedError
