"""What must lie on a frontend for an activation: releases, documents, look-up by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from orchestrator.domain.activation import Activation, Placement
from orchestrator.domain.described import Described
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.layout import Layout, Tree
from orchestrator.domain.release import File
from orchestrator.ota.documents import activation_document, documents, served_documents


def release_path(placement: Placement) -> str:
    """Where a frontend holds the release, relative to its root."""
    return f"releases/{placement.app}/{placement.digest}"


def layout(activation: Activation, releases: Mapping[str, Described]) -> Layout:
    """The layout of `activation`; `releases` maps the `digests` of every placement to their releases.

    Raises:
        ReleaseError: two files of different content share an OTA hash, so that look-up by it can't serve both.
    """
    generated: dict[str, bytes] = {}
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    by_hash: dict[str, str] = {}

    def keep(content: bytes) -> str:
        sha = hashlib.sha256(content).hexdigest()
        generated[sha] = content
        return sha

    def add_file(path: str, content: bytes) -> None:
        files[path] = keep(content)

    add_file("-/activation.json", activation_document(activation))
    trees: dict[str, Tree] = {}
    for placement in activation.placements:
        for name, content in served_documents(placement, releases).items():
            add_file(f"-/{placement.segment}/{name}", content)
        for digest in placement.digests:
            held = placement.of_build(digest)
            manifest = releases[digest].manifest
            info = documents(held, releases[digest])
            _look_up(by_hash, info.token, keep(info.info), placement.app)
            for file in manifest:
                _look_up(by_hash, file.ota, file.sha256, f"{placement.app}: {file.path}")
            trees[release_path(held)] = Tree(release_path(held), {f.path: f.sha256 for f in manifest}, {})
        links.update(_links(placement, releases[placement.digest].manifest))
    return Layout(Tree(f"activations/{activation.name}", files, links), tuple(trees.values()), by_hash, generated)


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
