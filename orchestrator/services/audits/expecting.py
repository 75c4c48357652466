"""What an audit should see of a fleet, as the ledger, the stored releases and the inventory say it now."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache, partial

from inventory.model import Fleet
from orchestrator.domain.activation import Activation, Placement
from orchestrator.domain.audit.audit import Audit, Known
from orchestrator.domain.audit.coverage import SERVED
from orchestrator.domain.audit.expectation import Ask, Expectation, Standing
from orchestrator.domain.audit.finding import Kind, legible
from orchestrator.domain.deployment import Deployment
from orchestrator.domain.described import Described
from orchestrator.domain.errors import UsageError
from orchestrator.domain.layout import Layout
from orchestrator.domain.retention import Keeping, retained
from orchestrator.ota.documents import activation_document, documents
from orchestrator.ota.expected import Expected, Questions
from orchestrator.ota.layouts import layout
from orchestrator.ports import Artifacts, Clock, Deployments
from orchestrator.services.releases import described
from orchestrator.services.rotation import present_rotation

#: The documents of an app, below its mount.
VERSION, INFO, PRECACHE = "moduleservices/moduleversioninfo", "moduleservices/moduleinfo", "precache.manifest"


@dataclass(frozen=True, slots=True)
class Expecting:
    """Makes expectations.

    `highest_epoch` is that of `ports.Audits`, `script` the SHA-256 of the script that Lockstep installs on frontends.
    """

    ledger: Deployments
    highest_epoch: Callable[[str], int]
    artifacts: Artifacts
    clock: Clock
    script: str

    def __call__(self, fleet: Fleet, audit: Audit, known: Sequence[Known]) -> Expectation:
        """What should be seen now; what `known` findings are about is asked for again.

        Raises:
            UsageError: The fleet serves nothing.
            ReleaseError: The store does not hold what the fleet must.
        """
        committed = self.ledger.committed(fleet.key)
        if not committed:
            raise UsageError(f"{fleet.key} serves nothing yet: there is nothing to audit")
        last = committed[0]
        kept = retained(committed, Keeping(fleet.policy.keep, timedelta(hours=fleet.policy.keep_hours)), self.clock())[
            1:
        ]
        stock = _Stock(self.artifacts)
        served = Serving(last.activation, stock.releases(last.activation))
        rotation = self._rotation(fleet)
        sample = None if audit.plan.deep or fleet.policy.verify == "all" else fleet.policy.verify
        held = self.ledger.open_deployment(fleet.key)
        return Expectation(
            fleet=fleet.key,
            rotation=rotation,
            name=last.name,
            epoch=self.highest_epoch(fleet.key),
            layout=stock.layout(last.activation),
            retained={row.name: stock.layout(row.activation) for row in kept},
            open=frozenset() if held is None else frozenset({held.name}),
            past=frozenset(row.name for row in committed),
            deep=audit.plan.deep,
            script=self.script,
            place=secrets.token_hex(8),
            space=max(stock.size(row.activation) for row in (last, *kept)),
            asks={name: served.asks(sample, f"{audit.id}/{name}", _paths(known, name)) for name in rotation},
            sampled=sample is not None,
            obsolete=served.obsolete(known),
            address=tuple(served.address()) if fleet.url is not None else (),
            older=_older(served, kept, committed, stock),
            balanced=fleet.load_balancer is not None,
        )

    def _rotation(self, fleet: Fleet) -> dict[str, Standing]:
        """Everybody but those that are new, in the inventory's order."""
        present = present_rotation(self.ledger, fleet)
        going = {drain.frontend for drain in self.ledger.drains(fleet.key) if not drain.confirmed}
        standing = dict.fromkeys(present.drained, Standing.DRAINED)
        standing |= {name: Standing.DRAINING if name in going else Standing.SERVING for name in present.serving}
        return {each.name: standing[each.name] for each in fleet.frontends if each.name in standing}


class _Stock:
    """Releases from the store, each read once."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._read = lru_cache(maxsize=None)(partial(described, artifacts))

    def releases(self, activation: Activation) -> dict[str, Described]:
        """By their digests, those of builds in the field as well."""
        return {digest: self._read(digest) for digest in activation.digests()}

    def layout(self, activation: Activation) -> Layout:
        """How a frontend holds it."""
        return layout(activation, self.releases(activation))

    def size(self, activation: Activation) -> int:
        """The bytes of the largest release in it, 0 where there is none."""
        return max((release.manifest.size for release in self.releases(activation).values()), default=0)


@dataclass(frozen=True)
class Serving:
    """What is served: an activation and its releases by digest."""

    activation: Activation
    releases: Mapping[str, Described]

    def asks(self, sample: int | None, seed: str, again: frozenset[str]) -> tuple[Ask, ...]:
        """What a frontend is asked: every manifest and document, of the files `sample`, and the keys `again`."""
        asks = {ask.key: ask for ask in self._all(sample, seed)}
        if again and sample is not None:
            asks |= {ask.key: ask for ask in self._all(None, seed) if legible(ask.key) in again}
        return tuple(asks.values())

    def obsolete(self, known: Sequence[Known]) -> frozenset[str]:
        """What findings are about that is not served any more."""
        paths = frozenset(each.finding.path for each in known if each.finding.kind in SERVED)
        return paths - {legible(ask.key) for ask in self._all(None, "")} if paths else frozenset()

    @cached_property
    def _questions(self) -> Questions:
        """Without what was served before, the sample is one of all files."""
        return Questions.of(self.activation, self.releases, {})

    def _all(self, sample: int | None, seed: str) -> Iterator[Ask]:
        name = str(self.activation.name)
        yield from self.manifests(name)
        told = hashlib.sha256(activation_document(self.activation)).hexdigest()
        yield Ask(Kind.DOCUMENT_SERVED, "/-/lockstep/activation", told, name)
        for placement, expected in self._questions.asked(sample, seed):
            pinned = name if expected.pinned else ""
            kind = _kind(placement, expected)
            yield Ask(kind, expected.url, expected.sha256, pinned, accept=expected.accept, native=expected.native)

    def manifests(self, name: str) -> Iterator[Ask]:
        """Every manifest, from the activation `name`."""
        for p in self.activation.placements:
            url = f"/-/lockstep/manifest/{p.segment}"
            yield Ask(Kind.MANIFEST_SERVED, url, p.digest, name, app=p.app)

    def address(self) -> Iterator[Ask]:
        """What every frontend answers alike without a pin. Whoever is between may drop the activation's header."""
        yield from self.manifests("")
        for url, sha in self.versions():
            yield Ask(Kind.DOCUMENT_SERVED, url, sha)

    def versions(self) -> Iterator[tuple[str, str]]:
        """URL and SHA-256 of the documents that tell clients which version there is."""
        for p in self.activation.placements:
            made = documents(p, self.releases[p.digest])
            yield f"{p.mount}{VERSION}", hashlib.sha256(made.version).hexdigest()
            yield f"{p.mount}{PRECACHE}", hashlib.sha256(made.precache).hexdigest()


def _kind(placement: Placement, expected: Expected) -> Kind:
    path, _, query = expected.url.partition("?")
    if path.removeprefix(placement.mount) in (VERSION, INFO, PRECACHE):
        return Kind.DOCUMENT_SERVED
    return Kind.HASH_SERVED if query else Kind.FILE_SERVED


def _paths(known: Sequence[Known], frontend: str) -> frozenset[str]:
    """What findings of this frontend are about."""
    return frozenset(each.finding.path for each in known if each.finding.frontend == frontend)


def _older(
    served: Serving, kept: Sequence[Deployment], committed: Sequence[Deployment], stock: _Stock
) -> dict[str, str]:
    """What the public address may have kept: SHA-256 -> activation, the newest that answered it.

    Of what is not retained any more the manifests alone: a release that nobody holds need not be in the store.
    """
    found: dict[str, str] = {}
    for row in reversed(committed[1:]):
        found |= dict.fromkeys((p.digest for p in row.activation.placements), str(row.name))
    for row in reversed(kept):
        before = Serving(row.activation, stock.releases(row.activation))
        found |= dict.fromkeys((sha for _, sha in before.versions()), str(row.name))
    now = {ask.sha256 for ask in served.address()}
    return {sha: name for sha, name in found.items() if sha not in now}
