"""What a frontend is asked over HTTP, and what must come back. Pure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.domain.activation import Activation, Placement
from orchestrator.domain.described import Described
from orchestrator.domain.release import Manifest
from orchestrator.ota.documents import ENTRY, documents, url_path
from orchestrator.ota.native import installed_documents, native_files


@dataclass(frozen=True, slots=True)
class Expected:
    """One request and the bytes that must come back; None: 404. `pinned`: the pin's activation answers, and says so.

    `native`: it is asked as an installed client asks.
    """

    url: str
    sha256: str | None
    pinned: bool = True
    accept: str = "*/*"
    native: bool = False


def expectations(
    activation: Activation,
    releases: Mapping[str, Described],
    previous: Mapping[str, Manifest],
    sample: int | None,
    seed: str,
) -> Iterator[tuple[Placement, Expected]]:
    """What to ask for: each app's documents and entry, the files that changed, and `sample` of the rest (None: all).

    `previous` maps apps to the manifests that were served before. `seed` chooses the sample, so that each frontend of
    a fleet is asked for others.
    """
    for placement in activation.placements:
        release = releases[placement.digest]
        manifest = release.manifest
        made = documents(placement, release)
        services = f"{placement.mount}moduleservices/"
        for url, content, pinned in (
            (f"{services}moduleversioninfo", made.version, True),
            (f"{services}moduleinfo?{made.token}", made.info, False),
            (f"{placement.mount}precache.manifest", made.precache, True),
        ):
            yield placement, Expected(url, hashlib.sha256(content).hexdigest(), pinned)
        entry = manifest.by_path.get(ENTRY)
        if entry is not None:
            yield placement, Expected(placement.mount, entry.sha256, accept="text/html")
        for path in chosen(manifest, previous.get(placement.app), sample, f"{seed}/{placement.app}"):
            file = manifest.by_path[path]
            url = url_path(placement.url(path))
            yield placement, Expected(url, file.sha256)
            yield placement, Expected(f"{url}?{file.ota}", file.sha256, pinned=False)
        for expected in native_expectations(placement, releases, sample, seed):
            yield placement, expected


def native_expectations(
    placement: Placement, releases: Mapping[str, Described], sample: int | None, seed: str
) -> Iterator[Expected]:
    """What installed clients of a store-only app must be answered: the version that they have, and nothing newer."""
    if not placement.store_only:
        return
    version, info, precache = (
        f"{placement.mount}{document}"
        for document in ("moduleservices/moduleversioninfo", "moduleservices/moduleinfo", "precache.manifest")
    )
    installed = installed_documents(placement, releases)
    files = native_files(placement, installed)
    for url, name in ((version, "moduleversioninfo"), (info, "moduleinfo"), (precache, "precache")):
        content = files.get(f"native/{name}.json")
        yield Expected(url, None if content is None else hashlib.sha256(content).hexdigest(), native=True)
    for held, made in installed.items():
        told = hashlib.sha256(made.version).hexdigest()
        # By the header, and by the token alone.
        yield Expected(f"{version}?{made.token}", told, native=True)
        yield Expected(f"{version}?{made.token}", told)
        yield Expected(f"{info}?{made.token}", hashlib.sha256(made.info).hexdigest(), pinned=False, native=True)
        manifest = releases[held.digest].manifest
        for path in chosen(manifest, manifest, sample, f"{seed}/{placement.app}/{made.token}"):
            file = manifest.by_path[path]
            url = f"{url_path(placement.url(path))}?{file.ota}"
            yield Expected(url, file.sha256, pinned=False, native=True)


def chosen(manifest: Manifest, previous: Manifest | None, sample: int | None, seed: str) -> list[str]:
    """The paths to check: those whose content is new, and `sample` of the others."""
    before = {} if previous is None else previous.by_path
    changed = [f.path for f in manifest if f.path not in before or before[f.path].sha256 != f.sha256]
    rest = sorted(set(manifest.by_path) - set(changed))
    if sample is None:
        return sorted(manifest.by_path)
    # Not for secrecy: the choice only spreads the checks.
    picked = random.Random(seed).sample(rest, min(sample, len(rest)))  # noqa: S311
    return sorted([*(changed if previous is not None else _spread(changed, sample, seed)), *picked])


def _spread(changed: Sequence[str], sample: int, seed: str) -> list[str]:
    """Of an app's first release everything is new; the sample stands for all of it."""
    return random.Random(seed).sample(changed, min(max(sample, 1), len(changed)))  # noqa: S311
