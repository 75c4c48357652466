"""What must lie on a frontend for an activation: releases, documents, look-up by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.domain.activation import Activation, Placement
from orchestrator.domain.described import Described
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.layout import Layout, Tree
from orchestrator.domain.release import File
from orchestrator.ota.documents import Documents, activation_document, documents
from orchestrator.ota.native import installed_documents, native_files


def release_path(placement: Placement) -> str:
    """Where a frontend holds the release, relative to its root."""
    return f"releases/{placement.app}/{placement.digest}"


def layout(activation: Activation, releases: Mapping[str, Described]) -> Layout:
    """The layout of `activation`; `releases` maps the digests that it holds to their releases.

    Raises:
        ReleaseError: two files of different content share an OTA hash, so that look-up by it can't serve both.
    """
    drawing = _Drawing()
    drawing.add("-/activation.json", activation_document(activation))
    for placement in activation.placements:
        release = releases[placement.digest]
        made = documents(placement, release)
        for name, content in made.files().items():
            drawing.add(f"-/{placement.segment}/{name}", content)
        drawing.look_up(placement, made, release.manifest)
        drawing.links.update(_links(placement, release.manifest))
        _draw_builds(drawing, placement, releases)
    trees = tuple(
        Tree(release_path(p), {f.path: f.sha256 for f in releases[p.digest].manifest}, {})
        for p in activation.placements
    )
    of_activation = Tree(f"activations/{activation.name}", drawing.files, drawing.links)
    return Layout(of_activation, trees, drawing.by_hash, drawing.generated)


@dataclass(frozen=True, slots=True)
class _Drawing:
    """A layout in the making."""

    generated: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    by_hash: dict[str, str] = field(default_factory=dict)

    def add(self, path: str, content: bytes) -> None:
        """A file of the activation that exists nowhere else."""
        sha = hashlib.sha256(content).hexdigest()
        self.generated[sha] = content
        self.files[path] = sha

    def look_up(self, placement: Placement, made: Documents, manifest: Iterable[File]) -> None:
        """Have a release found by its token, and its files by their hashes."""
        _look_up(self.by_hash, made.token, hashlib.sha256(made.info).hexdigest(), placement.app)
        for file in manifest:
            _look_up(self.by_hash, file.ota, file.sha256, f"{placement.app}: {file.path}")


def _draw_builds(drawing: _Drawing, placement: Placement, releases: Mapping[str, Described]) -> None:
    """Builds in the field go on asking for the version that they have, for as long as anything is served.

    Their releases lie in the activation itself: what only look-up by hash leads to would be pruned.
    """
    top = f"-/{placement.segment}"
    installed = installed_documents(placement, releases)
    for name, content in native_files(placement, installed).items():
        drawing.add(f"{top}/{name}", content)
    for held, made in installed.items():
        manifest = releases[held.digest].manifest
        drawing.look_up(held, made, manifest)
        drawing.files.update({f"{top}/builds/{made.token}/{file.path}": file.sha256 for file in manifest})


def _links(placement: Placement, manifest: Iterable[File]) -> dict[str, str]:
    target = f"../../{release_path(placement)}"
    if placement.mount != "/":
        return {placement.segment: target}
    return {entry: f"{target}/{entry}" for entry in sorted({file.path.split("/", 1)[0] for file in manifest})}


def _look_up(by_hash: dict[str, str], key: str, sha: str, where: str) -> None:
    if by_hash.setdefault(key, sha) != sha:
        raise ReleaseError(
            "two files of different content have the same OTA hash (MD5)",
            where=where,
            expected=f"content {by_hash[key]} for {key}",
            found=f"content {sha}",
            remedy="change either file by a byte, and build the release again under a new version",
        )
