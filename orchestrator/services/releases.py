"""The use cases of releases: build one from a source, preview that, show one, tell two apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from inventory.names import is_app
from orchestrator.domain.contents import LIMITS, Contents, Entry, Limits, Plain
from orchestrator.domain.declaration import MOST_BYTES
from orchestrator.domain.described import DECLARATIONS, Described
from orchestrator.domain.difference import Difference, difference
from orchestrator.domain.errors import ConflictError, ReleaseError, UsageError
from orchestrator.domain.release import VERSION, Content, File, Hasher, Manifest
from orchestrator.domain.trail import ITSELF
from orchestrator.domain.upgrade import Upgrade, upgrade
from orchestrator.ports import Artifacts, Clock, ReleaseRecord, Releases

#: Told again and again how many files, and how many bytes of them, have been read so far.
Watch = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ReleaseName:
    """An app and a version of it. Both are checked by their patterns when a release is built."""

    app: str
    version: str

    def __str__(self) -> str:
        return f"{self.app} {self.version}"


@dataclass(frozen=True, slots=True)
class Built:
    """What came of a build. `objects` and `size` (bytes) count what the artifact store did not have before."""

    record: ReleaseRecord
    new: bool
    objects: int
    size: int


@dataclass(frozen=True, slots=True)
class Releasing:
    """Building releases and reading them back."""

    releases: Releases
    artifacts: Artifacts
    clock: Clock
    limits: Limits = LIMITS

    def build(
        self, source: Iterable[Entry], name: ReleaseName, watch: Watch | None = None, *, actor: str = ITSELF
    ) -> Built:
        """Store what `source` brings as the release `name`. The same content again is no change.

        `actor` is who brings it, for the trail.

        Raises:
            UsageError: the app or the version can't be a name.
            ReleaseError: the source holds what no release can; nothing was stored.
            ConflictError: the version exists with other content; nothing was changed.
        """
        check_name(name)
        with self.artifacts.intake() as intake:
            manifest = self._gather(source, intake.add, watch)
            built = self._compare(name, manifest)
            intake.commit(manifest)
        return replace(built, record=self.releases.add_release(built.record, actor=actor))

    def preview(self, source: Iterable[Entry], name: ReleaseName, watch: Watch | None = None) -> Built:
        """What `build` would do. Raises what it would raise, and changes nothing."""
        check_name(name)
        return self._compare(name, self._gather(source, Hasher.of, watch))

    def show(self, name: ReleaseName) -> tuple[ReleaseRecord, Manifest]:
        """A release with its files; `UsageError` where there is none of that name."""
        record = self.releases.release(name.app, name.version)
        if record is None:
            known = [r.version for r in self.releases.releases(name.app)[:10]]
            raise UsageError(
                f"there is no release {name}",
                expected=f"a version that was built, such as {', '.join(known)}" if known else "an app with releases",
                remedy="lockstep release list",
            )
        return record, self.artifacts.manifest(record.digest)

    def diff(self, before: ReleaseName, after: ReleaseName) -> Difference:
        """What changes on the way from one release to another; they may be of different apps."""
        return difference(self.show(before)[1], self.show(after)[1])

    def compare(self, before: ReleaseName, after: ReleaseName) -> Upgrade:
        """What kind of update it is to go from one release to another of the same app."""
        if before.app != after.app:
            raise UsageError(
                "two apps can't be compared", expected="two versions of one app", found=f"{before} and {after}"
            )
        old, new = (described(self.artifacts, self.show(name)[0].digest) for name in (before, after))
        return upgrade(old, new)

    def _gather(
        self, source: Iterable[Entry], take: Callable[[Iterable[bytes]], Content], watch: Watch | None
    ) -> Manifest:
        contents = Contents(self.limits)
        declared: dict[str, bytearray] = {}
        for entry in source:
            contents.admit(entry)
            if isinstance(entry, Plain):
                chunks = contents.read(entry)
                if entry.path in DECLARATIONS:
                    chunks = _copied(chunks, declared.setdefault(entry.path, bytearray()))
                contents.keep(entry.path, take(chunks))
            if watch is not None:
                watch(contents.files, contents.size)
        manifest = contents.manifest()
        Described.of(manifest, lambda file: _declaration(declared, file.path))
        return manifest

    def _compare(self, name: ReleaseName, manifest: Manifest) -> Built:
        """The release as it would be, held against the ledger and the store."""
        there = self.releases.release(name.app, name.version)
        if there is not None and there.digest != manifest.digest:
            raise ConflictError(
                f"{name} exists with other content",
                expected=f"digest {there.digest}",
                found=f"digest {manifest.digest}",
                remedy="a version is never changed: build this content under a new version",
            )
        missing = {f.sha256: f.size for f in manifest if not self.artifacts.has(f.sha256)}
        record = there or ReleaseRecord(
            name.app, name.version, manifest.digest, len(manifest), manifest.size, self.clock()
        )
        return Built(record, there is None, len(missing), sum(missing.values()))


def _copied(chunks: Iterator[bytes], copy: bytearray) -> Iterator[bytes]:
    """The chunks, and in `copy` as much of them as it takes to see that they are too many."""
    for chunk in chunks:
        copy += chunk[: MOST_BYTES + 1 - len(copy)]
        yield chunk


def _declaration(declared: Mapping[str, bytearray], path: str) -> bytes:
    if path not in declared:
        # What a link leads to may have gone by before the link was seen.
        raise ReleaseError(
            f"{path} is a link", where=path, expected="a file of its own", remedy="put a copy of the file in its place"
        )
    return bytes(declared[path])


def described(artifacts: Artifacts, digest: str) -> Described:
    """A stored release as it describes itself. `ReleaseError` where a declaration of it can't be read."""

    def read(file: File) -> bytes:
        with artifacts.open(file.sha256) as content:
            return content.read(MOST_BYTES + 1)

    return Described.of(artifacts.manifest(digest), read)


def check_name(name: ReleaseName) -> None:
    """`UsageError` where the app or the version can't be a name."""
    if not is_app(name.app):
        raise UsageError(
            "not an app's name",
            expected="a letter, then letters, digits, _ and -, at most 63",
            found=repr(name.app)[:80],
        )
    if VERSION.fullmatch(name.version) is None:
        raise UsageError(
            "not a version",
            expected="a letter or digit, then letters, digits, '.', '_', '+' and '-', at most 64",
            found=repr(name.version)[:80],
        )
