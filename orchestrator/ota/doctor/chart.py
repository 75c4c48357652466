"""What a fleet should serve of an app, drawn from its release: trees, documents, hashes. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from orchestrator.domain.activation import Activation
from orchestrator.domain.described import Described
from orchestrator.domain.release import Manifest
from orchestrator.ota.doctor.observations import Release, Visit
from orchestrator.ota.doctor.questions import Documents, Kind, Wanted
from orchestrator.ota.documents import ENTRY, documents, token, url_path
from orchestrator.ota.layouts import layout, release_path


@dataclass(frozen=True)
class Chart:
    """The release that a fleet serves, and what of it is asked for.

    `earlier` are the manifests of releases that were served before, by their versions, the newest first.
    """

    release: Release
    documents: Documents
    manifest: Manifest
    earlier: Mapping[str, Manifest]

    @property
    def before(self) -> Manifest | None:
        """The manifest that was served before."""
        return next(iter(self.earlier.values()), None)

    @cached_property
    def urls(self) -> Mapping[str, str]:
        """The URL path of each file."""
        return {file.path: url_path(self.release.mount + file.path) for file in self.manifest}

    @property
    def known(self) -> frozenset[str]:
        """The hashes of the listings that are right."""
        trees = (self.release.activation_tree, self.release.release_tree)
        return frozenset(tree.digest() for tree in trees if tree is not None)

    def hashes_of(self, path: str) -> Mapping[str, str]:
        """The hash that a file has in each version that has it, the present one first."""
        versions = {self.release.version: self.manifest, **self.earlier}
        return {version: found.ota for version, held in versions.items() if (found := held.by_path.get(path))}

    def other_form(self, frontends: Sequence[Visit]) -> str:
        """The token of documents that another version of Lockstep made; "" where they are of this version.

        That is where every frontend that serves the ledger's activation has one and the same token, and it is nobody's.
        """
        tokens = {visit.token for visit in frontends if visit.served == self.release.name}
        found = next(iter(tokens), "") if len(tokens) == 1 else ""
        return "" if found in self.release.tokens else found

    def of_form(self, other: str) -> Chart:
        """The same with documents of which only the token is known."""
        release = replace(self.release, token=other, activation_tree=None)
        return replace(self, release=release, documents=replace(self.documents, token=other, content={}, tree=None))


def draw(
    activation: Activation,
    app: str,
    releases: Mapping[str, Described],
    earlier: Mapping[str, Manifest],
    committed: Sequence[Activation],
) -> Chart:
    """The chart of an app of an activation.

    `releases` maps the digests that it holds to releases, `earlier` versions of the app to manifests; `committed` are
    this and the activations before it.
    """
    placement = next(placement for placement in activation.placements if placement.app == app)
    described = releases[placement.digest]
    laid = layout(activation, releases)
    made = documents(placement, described)
    tree = next(tree for tree in laid.releases if tree.path == release_path(placement))
    release = Release(
        app=app,
        mount=placement.mount,
        version=placement.version,
        digest=placement.digest,
        name=activation.name,
        token=made.token,
        activation_tree=laid.activation,
        release_tree=tree,
        files=len(described.manifest),
        tokens=_tokens(app, committed),
        earlier=_hashes(described.manifest, earlier),
        activations=frozenset(each.name for each in committed),
    )
    content = {
        Kind.VERSION: Wanted.of_bytes(made.version),
        Kind.INFO: Wanted.of_bytes(made.info),
        Kind.PRECACHE: Wanted.of_bytes(made.precache),
    }
    entry = described.manifest.by_path.get(ENTRY)
    return Chart(
        release,
        Documents(made.token, content, laid.activation, placement.segment, entry),
        described.manifest,
        earlier,
    )


def _tokens(app: str, committed: Sequence[Activation]) -> Mapping[str, Sequence[int]]:
    tokens: dict[str, list[int]] = {}
    for activation in committed:
        for placement in activation.placements:
            if placement.app == app:
                tokens.setdefault(token(placement), []).append(activation.name.epoch)
    return tokens


def _hashes(present: Manifest, earlier: Mapping[str, Manifest]) -> Mapping[str, frozenset[str]]:
    hashes: dict[str, set[str]] = {}
    for manifest in earlier.values():
        for file in manifest:
            hashes.setdefault(file.path, set()).add(file.sha256)
    now = present.by_path
    return {path: frozenset(found - {now[path].sha256} if path in now else found) for path, found in hashes.items()}
