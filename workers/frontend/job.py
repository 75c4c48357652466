"""One frontend of one deployment: what must lie on it, and what it may let go of."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, lru_cache, partial

from inventory.model import Fleet, Frontend
from orchestrator.domain.activation import NOTHING, ActivationName
from orchestrator.domain.deployment import Deployment, Kind
from orchestrator.domain.described import Described
from orchestrator.domain.layout import Layout, Tree
from orchestrator.domain.release import Manifest
from orchestrator.domain.retention import Keeping, retained
from orchestrator.ota.expected import Questions
from orchestrator.ota.layouts import layout
from orchestrator.ports import Artifacts, Deployments
from orchestrator.services.lookup import found
from orchestrator.services.releases import described
from workers.distribution.packs import link_pack
from workers.frontend.commands import Probed


@dataclass(frozen=True)
class Held:
    """An activation and what of it lies on a frontend. What is computed of it is computed once for all frontends."""

    name: ActivationName
    layout: Layout
    _packed: dict[tuple[str, ...], bytes] = field(default_factory=dict, init=False, repr=False, compare=False)
    _packing: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @cached_property
    def wanted(self) -> bytes:
        """The lines by which a frontend is asked what it lacks: objects, and releases with their number of files."""
        releases = [f"{_release(tree)} {len(tree.files)}" for tree in self.layout.releases]
        return "".join(f"{line}\n" for line in (*self.layout.objects(), *releases)).encode()

    @cached_property
    def _objects(self) -> frozenset[str]:
        return frozenset(self.layout.objects())

    def objects_of(self, missing: frozenset[str]) -> list[str]:
        """Those of what a frontend lacks that are objects of this, sorted."""
        return sorted(self._objects & missing)

    def links(self, missing: frozenset[str]) -> bytes:
        """The pack for `assemble` on a frontend that lacks these objects and releases.

        A release that is there whole is left alone, and so is its look-up, which came before it. One that lacks an
        object has been changed.
        """
        releases = tuple(
            tree
            for tree in self.layout.releases
            if _release(tree) in missing or not missing.isdisjoint(tree.files.values())
        )
        key = tuple(tree.path for tree in releases)
        with self._packing:
            if key not in self._packed:
                self._packed[key] = link_pack(self._without(releases))
            return self._packed[key]

    def _without(self, releases: tuple[Tree, ...]) -> Layout:
        """What is to be sent where these of its releases are, and no others."""
        there = {sha for tree in self.layout.releases if tree not in releases for sha in tree.files.values()}
        brought = {sha for tree in releases for sha in tree.files.values()}
        by_hash = {key: sha for key, sha in self.layout.by_hash.items() if sha in brought or sha not in there}
        return replace(self.layout, releases=releases, by_hash=by_hash)


@dataclass(frozen=True)
class Prepared:
    """What is the same for all frontends of a deployment.

    `own` is the deployment's activation; `earlier` are those that a frontend which comes back, or is put right, must
    hold as well, oldest first. `kept` are the earlier activations that stay, `served` all that were ever committed
    before. Releases by digest, those of builds in the field as well; the manifests `previous` by app, as committed
    before. `sizes` are those of all files, in bytes, by SHA-256.
    """

    deployment: Deployment
    fleet: Fleet
    own: Held
    earlier: tuple[Held, ...]
    kept: frozenset[ActivationName]
    served: frozenset[ActivationName]
    releases: Mapping[str, Described]
    previous: Mapping[str, Manifest]
    sizes: Mapping[str, int]

    @cached_property
    def whole(self) -> Held:
        """`own` with the releases of `earlier`: to stage it puts those right, too."""
        if not self.earlier:
            return self.own
        return replace(self.own, layout=self.own.layout.beside(held.layout for held in self.earlier))

    @cached_property
    def questions(self) -> Questions:
        """What its frontends are asked over HTTP: made for the first of them."""
        return Questions.of(self.deployment.activation, self.releases, self.previous)


def _release(tree: Tree) -> str:
    return tree.path.removeprefix("releases/")


def prepared(ledger: Deployments, artifacts: Artifacts, number: int, now: datetime) -> Prepared:
    """What a deployment's frontends must hold, and may let go of, as the ledger says it now."""
    deployment = found(ledger, number)
    fleet = Fleet.model_validate(deployment.plan.snapshot)
    before = ledger.committed(fleet.key, before=deployment.epoch)
    kept = retained([deployment, *before], Keeping.of(deployment.plan.snapshot), now)[1:]
    read = lru_cache(maxsize=None)(partial(described, artifacts))

    def held(row: Deployment) -> Held:
        activation = row.activation
        return Held(row.name, layout(activation, {digest: read(digest) for digest in activation.digests()}))

    own = held(deployment)
    # Only a frontend that comes back, or that somebody has changed, may lack what the others keep.
    earlier = () if deployment.plan.kind.moves else tuple(held(row) for row in reversed(kept))
    return Prepared(
        deployment,
        fleet,
        own,
        earlier,
        kept=frozenset(row.name for row in kept),
        served=frozenset(row.name for row in before),
        releases={digest: read(digest) for digest in deployment.activation.digests()},
        sizes={
            file.sha256: file.size
            for row in (deployment, *kept)
            for digest in row.activation.digests()
            for file in read(digest).manifest
        },
        previous={p.app: read(p.digest).manifest for p in (before[0].plan.placements if before else ())},
    )


@dataclass(frozen=True)
class Job:
    """One frontend of it."""

    prepared: Prepared
    frontend: Frontend

    @property
    def deployment(self) -> Deployment:
        """The deployment's row, as it was when it was prepared."""
        return self.prepared.deployment

    @property
    def fleet(self) -> Fleet:
        """The fleet, as the inventory gave it."""
        return self.prepared.fleet

    @property
    def readmits(self) -> bool:
        """Whether this frontend comes back, at an epoch that is committed."""
        return self.deployment.plan.kind is Kind.READMIT

    @property
    def held(self) -> tuple[Held, ...]:
        """All that the frontend must hold, what it serves first."""
        return (self.prepared.own, *reversed(self.prepared.earlier))

    def to_bring(self, probed: Probed) -> list[Held]:
        """The earlier activations that the frontend must hold and does not, as far as it takes any below its fence.

        One that it lacks and takes no more is found when it is verified.
        """
        lacking = (held for held in self.prepared.earlier if str(held.name) not in probed.activations)
        return [held for held in lacking if held.name.epoch > probed.fence]

    @property
    def own(self) -> Held:
        """The deployment's activation; on a frontend that comes back, with the releases of all that it must hold.

        An activation below the fence can't be staged again, but what it leads to can be put right.
        """
        return self.prepared.whole

    def to_prune(self, probed: Probed) -> tuple[list[ActivationName], list[ActivationName]]:
        """Of what lies below this deployment's epoch: what was served and need not stay, and what never was served."""
        below = sorted(
            name for text in probed.activations if (name := ActivationName.parse(text)).epoch < self.deployment.epoch
        )
        old = [name for name in below if name not in self.prepared.kept and name != NOTHING]
        served = self.prepared.served
        return [name for name in old if name in served], [name for name in old if name not in served]
