"""What a frontend is asked over HTTP, and what must come back. Pure."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.domain.activation import Activation, Placement
from orchestrator.domain.described import Described
from orchestrator.domain.release import Manifest
from orchestrator.ota.documents import ENTRY, documents, url_path
from orchestrator.ota.native import installed_documents, native_files


@dataclass(frozen=True, slots=True)
class Expected:
    """One request and the bytes that must come back; None: 404. `pinned`: the pin's activation answers, and says so.

    `native`: it is asked as an installed client asks. `size`: how many bytes those are, None where nobody counted.
    """

    url: str
    sha256: str | None
    pinned: bool = True
    accept: str = "*/*"
    native: bool = False
    size: int | None = None


@dataclass(frozen=True)
class Questions:
    """All that the frontends of one activation may be asked: made once, a frontend only draws its sample from it."""

    apps: tuple[_App, ...]

    @classmethod
    def of(
        cls, activation: Activation, releases: Mapping[str, Described], previous: Mapping[str, Manifest]
    ) -> Questions:
        """Of `activation`. `releases` are by digest; `previous` maps apps to the manifests that were served before."""
        return cls(tuple(_App.of(p, releases, previous.get(p.app)) for p in activation.placements))

    def asked(self, sample: int | None, seed: str) -> Iterator[tuple[Placement, Expected]]:
        """Each app's documents and entry, the files that changed, and `sample` of the rest (None: all).

        `seed` chooses the sample, so that each frontend of a fleet is asked for others.
        """
        for app in self.apps:
            for expected in app.asked(sample, seed):
                yield app.placement, expected


@dataclass(frozen=True, slots=True)
class _App:
    """One app: its documents and entry, its files, and what its installed clients ask."""

    placement: Placement
    documents: tuple[Expected, ...]
    files: _Files
    native: tuple[Expected, ...]
    builds: tuple[_Build, ...]

    @classmethod
    def of(cls, placement: Placement, releases: Mapping[str, Described], previous: Manifest | None) -> _App:
        """What is the same for every frontend."""
        release = releases[placement.digest]
        asked, builds = _installed(placement, releases)
        return cls(
            placement, tuple(_documents(placement, release)), _Files.of(release.manifest, previous), asked, builds
        )

    def asked(self, sample: int | None, seed: str) -> Iterator[Expected]:
        """What one frontend is asked about it."""
        yield from self.documents
        by_path = self.files.manifest.by_path
        for path in self.files.chosen(sample, f"{seed}/{self.placement.app}"):
            file = by_path[path]
            url = url_path(self.placement.url(path))
            yield Expected(url, file.sha256, size=file.size)
            yield Expected(f"{url}?{file.ota}", file.sha256, pinned=False, size=file.size)
        yield from self.native
        for build in self.builds:
            yield from build.asked(self.placement, sample, seed)


@dataclass(frozen=True, slots=True)
class _Build:
    """What an installed client of a store-only app is answered: the version that it has, and nothing newer."""

    token: str
    documents: tuple[Expected, ...]
    files: _Files

    def asked(self, placement: Placement, sample: int | None, seed: str) -> Iterator[Expected]:
        """What one frontend is asked as such a client asks."""
        yield from self.documents
        by_path = self.files.manifest.by_path
        for path in self.files.chosen(sample, f"{seed}/{placement.app}/{self.token}"):
            file = by_path[path]
            url = f"{url_path(placement.url(path))}?{file.ota}"
            yield Expected(url, file.sha256, pinned=False, native=True, size=file.size)


@dataclass(frozen=True, slots=True)
class _Files:
    """A release's files: the paths whose content is new, and the others, sorted. `first`: nothing was there before."""

    manifest: Manifest
    changed: tuple[str, ...]
    rest: tuple[str, ...]
    first: bool

    @classmethod
    def of(cls, manifest: Manifest, previous: Manifest | None) -> _Files:
        """Held against what was served before."""
        before = {} if previous is None else previous.by_path
        changed = tuple(f.path for f in manifest if f.path not in before or before[f.path].sha256 != f.sha256)
        rest = tuple(sorted(set(manifest.by_path).difference(changed)))
        return cls(manifest, changed, rest, previous is None)

    def chosen(self, sample: int | None, seed: str) -> list[str]:
        """The paths to check: those whose content is new, and `sample` of the others."""
        if sample is None:
            return sorted(self.manifest.by_path)
        # Not for secrecy: the choice only spreads the checks.
        picked = random.Random(seed).sample(self.rest, min(sample, len(self.rest)))  # noqa: S311
        return sorted([*(self._spread(sample, seed) if self.first else self.changed), *picked])

    def _spread(self, sample: int, seed: str) -> list[str]:
        """Of an app's first release everything is new; the sample stands for all of it."""
        size = min(max(sample, 1), len(self.changed))
        return random.Random(seed).sample(self.changed, size)  # noqa: S311


def _told(url: str, content: bytes, *, pinned: bool = True, native: bool = False) -> Expected:
    """These bytes are the answer."""
    return Expected(url, hashlib.sha256(content).hexdigest(), pinned, native=native, size=len(content))


def _documents(placement: Placement, release: Described) -> Iterator[Expected]:
    made = documents(placement, release)
    services = f"{placement.mount}moduleservices/"
    yield _told(f"{services}moduleversioninfo", made.version)
    yield _told(f"{services}moduleinfo?{made.token}", made.info, pinned=False)
    yield _told(f"{placement.mount}precache.manifest", made.precache)
    entry = release.manifest.by_path.get(ENTRY)
    if entry is not None:
        yield Expected(placement.mount, entry.sha256, accept="text/html", size=entry.size)


def _installed(
    placement: Placement, releases: Mapping[str, Described]
) -> tuple[tuple[Expected, ...], tuple[_Build, ...]]:
    """What native clients that name no version are answered, and what those of each build in the field.

    Only a store-only app has any.
    """
    if not placement.store_only:
        return (), ()
    version, info, precache = (
        f"{placement.mount}{document}"
        for document in ("moduleservices/moduleversioninfo", "moduleservices/moduleinfo", "precache.manifest")
    )
    installed = installed_documents(placement, releases)
    files = native_files(placement, installed)
    named = ((version, "moduleversioninfo"), (info, "moduleinfo"), (precache, "precache"))
    contents = ((url, files.get(f"native/{name}.json")) for url, name in named)
    asked = tuple(
        Expected(url, None, native=True) if content is None else _told(url, content, native=True)
        for url, content in contents
    )
    builds = tuple(
        _Build(
            made.token,
            (
                # By the header, and by the token alone.
                _told(f"{version}?{made.token}", made.version, native=True),
                _told(f"{version}?{made.token}", made.version),
                _told(f"{info}?{made.token}", made.info, pinned=False, native=True),
            ),
            # As if nothing had changed: a sample stands for what lies there for long.
            _Files.of(releases[held.digest].manifest, releases[held.digest].manifest),
        )
        for held, made in installed.items()
    )
    return asked, builds
