"""A frontend's tree as docs/protocol.md, "On a frontend", describes it, built here without the frontend script."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.domain.layout import Layout
from orchestrator.domain.release import ota_hash

EMPTY = "0-0000000000000000"


def activation_of(epoch: int) -> str:
    """A name for that epoch, always the same."""
    return f"{epoch}-{hashlib.sha256(str(epoch).encode()).hexdigest()[:16]}"


def token_of(activation: str) -> str:
    """The token of every app of that activation. Real tokens depend on content; these let a document name its own."""
    return hash_of(activation.encode()).replace("+", "_")


def hash_of(content: bytes) -> str:
    """The OTA hash of these bytes."""
    return ota_hash(hashlib.md5(content, usedforsecurity=False).digest())


class FrontendTree:
    """The tree below one root, and the moves that change it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("objects", "releases", f"activations/{EMPTY}", "by-hash", "ahead", "incoming", "state"):
            (root / name).mkdir(parents=True)
        (root / "current").symlink_to(f"activations/{EMPTY}")

    def stage(
        self,
        activation: str,
        apps: Mapping[str, Mapping[str, bytes]],
        store_only: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Objects, releases, documents and the marker; `apps` maps each mount path to its files.

        `store_only` maps the mounts of such apps to the activations that brought the releases of builds in the field.
        """
        home = self.root / "activations" / activation
        self._link(home / "-/activation.json", json.dumps({"activation": activation}).encode())
        for mount, files in apps.items():
            segment = mount.strip("/") or "-"
            release = Path("releases") / (mount.strip("/") or "Site") / hashlib.sha256(activation.encode()).hexdigest()
            for path, content in files.items():
                (self.root / "by-hash" / hash_of(content)).unlink(missing_ok=True)
                self._link(self.root / "by-hash" / hash_of(content), content)
                self._link(self.root / release / path, content)
            if segment == "-":
                for entry in {Path(path).parts[0] for path in files}:
                    (home / entry).symlink_to(f"../../{release}/{entry}")
            else:
                (home / segment).symlink_to(f"../../{release}")
            self._documents(home / "-" / segment, activation, mount)
        for mount, builds in (store_only or {}).items():
            self._native(home / "-" / (mount.strip("/") or "-"), builds, mount)
        (self.root / "ahead" / activation).touch()

    def hold(self, made: Layout, contents: Mapping[str, bytes]) -> None:
        """Stage an activation as Lockstep lays it out; `contents` are its objects by SHA-256."""
        objects = {**contents, **made.generated}
        for tree in (*made.releases, made.activation):
            for path, sha256 in tree.files.items():
                if not (self.root / tree.path / path).exists():
                    self._link(self.root / tree.path / path, objects[sha256])
            for path, target in tree.links.items():
                (self.root / tree.path / path).symlink_to(target)
        for key, sha256 in made.by_hash.items():
            if not (self.root / "by-hash" / key).exists():
                self._link(self.root / "by-hash" / key, objects[sha256])
        (self.root / "ahead" / Path(made.activation.path).name).touch()

    def _documents(self, folder: Path, activation: str, mount: str) -> None:
        token = token_of(activation)
        moduleinfo = json.dumps({"manifest": {"versionToken": token}, "data": {"mount": mount}}).encode()
        self._link(folder / "manifest.json", json.dumps({"files": [], "of": activation, "mount": mount}).encode())
        self._link(folder / "moduleversioninfo.json", json.dumps({"versionToken": token}).encode())
        self._link(folder / "moduleinfo.json", moduleinfo)
        self._link(folder / "precache.json", json.dumps({"versionToken": token, "urlVersions": {}}).encode())
        self._by_token(token, moduleinfo)

    def _native(self, folder: Path, builds: Sequence[str], mount: str) -> None:
        self._link(folder / "native/store-only", b"store-only\n")
        for build in builds:
            token = token_of(build)
            moduleinfo = json.dumps({"manifest": {"versionToken": token}, "data": {"mount": mount}}).encode()
            self._link(folder / f"builds/{token}.json", moduleinfo)
            self._by_token(token, moduleinfo)
            if len(builds) == 1:
                self._link(folder / "native/moduleversioninfo.json", json.dumps({"versionToken": token}).encode())
                self._link(folder / "native/moduleinfo.json", moduleinfo)
                self._link(folder / "native/precache.json", json.dumps({"versionToken": token}).encode())

    def _by_token(self, token: str, moduleinfo: bytes) -> None:
        if not (self.root / "by-hash" / token).exists():
            self._link(self.root / "by-hash" / token, moduleinfo)

    def _link(self, path: Path, content: bytes) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        held = self.root / "objects" / sha256
        if not held.exists():
            held.write_bytes(content)
            seconds = int(sha256[:8], 16) >> 2
            os.utime(held, (seconds, seconds))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.hardlink_to(held)

    def flip(self, activation: str) -> None:
        """The rename, then the marker's removal, as the frontend script does them."""
        link = self.root / "state" / "next"
        link.symlink_to(f"activations/{activation}")
        link.rename(self.root / "current")
        (self.root / "ahead" / activation).unlink(missing_ok=True)
