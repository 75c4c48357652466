"""What must lie on a frontend for an activation: releases, documents, look-up by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from orchestrator.domain.activation import Activation, Placement
from orchestrator.domain.described import Described
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.layout import Layout, Tree
from orchestrator.domain.release import File
from orchestrator.ota.documents import activation_document, documents


def release_path(placement: Placement) -> str:
    """Where a frontend holds the release, relative to its root."""
    return f"releases/{placement.app}/{placement.digest}"


def layout(activation: Activation, releases: Mapping[str, Described]) -> Layout:
    """The layout of `activation`; `releases` maps each placement's digest to its release.

    Raises:
        ReleaseError: two files of different content share an OTA hash, so that look-up by it can't serve both.
    """
    generated: dict[str, bytes] = {}
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    by_hash: dict[str, str] = {}

    def add_file(path: str, content: bytes) -> str:
        sha = hashlib.sha256(content).hexdigest()
        generated[sha] = content
        files[path] = sha
        return sha

    add_file("-/activation.json", activation_document(activation))
    for placement in activation.placements:
        manifest = releases[placement.digest].manifest
        made = documents(placement, releases[placement.digest])
        for name, content in made.files().items():
            add_file(f"-/{placement.segment}/{name}", content)
        _look_up(by_hash, made.token, files[f"-/{placement.segment}/moduleinfo.json"], placement.app)
        for file in manifest:
            _look_up(by_hash, file.ota, file.sha256, f"{placement.app}: {file.path}")
        links.update(_links(placement, manifest))
    trees = tuple(
        Tree(release_path(p), {f.path: f.sha256 for f in releases[p.digest].manifest}, {})
        for p in activation.placements
    )
    return Layout(Tree(f"activations/{activation.name}", files, links), trees, by_hash, generated)


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
