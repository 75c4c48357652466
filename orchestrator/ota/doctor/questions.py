"""What an address is asked, and what the release says must come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.domain.layout import Tree
from orchestrator.domain.release import File, Hasher
from orchestrator.ota.answers import ServedManifest
from orchestrator.ota.target import Target


class Kind(StrEnum):
    """What is asked for. The first four are an app's documents; a file is asked for in two ways."""

    VERSION = "moduleversioninfo"
    INFO = "moduleinfo"
    PRECACHE = "precache.manifest"
    ENTRY = "entry document"
    BY_HASH = "file by hash"
    BY_PATH = "file by path"

    @property
    def navigation(self) -> bool:
        """Whether the answer is never kept by a cache, and sets the pin (docs/protocol.md, "Serving")."""
        return self in (Kind.VERSION, Kind.PRECACHE, Kind.ENTRY)

    @property
    def named(self) -> bool:
        """Whether the answer comes from an activation, and names it."""
        return self.navigation or self is Kind.BY_PATH


@dataclass(frozen=True, slots=True)
class Wanted:
    """The bytes that must come back, by what is known of them: None is not known."""

    sha256: str | None = None
    ota: str | None = None
    size: int | None = None

    @classmethod
    def of_file(cls, file: File) -> Wanted:
        """A file of a release."""
        return cls(file.sha256, file.ota, file.size)

    @classmethod
    def of_bytes(cls, body: bytes) -> Wanted:
        """These bytes."""
        made = Hasher.of([body])
        return cls(made.sha256, made.ota, made.size)

    def is_that(self, sha256: str, ota: str) -> bool:
        """Whether bytes with these hashes are these, as far as that is known."""
        return self.sha256 in (None, sha256) and self.ota in (None, ota)


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One request, the same object for all addresses.

    What it asks for, its path and query, and the file of the release ("" for a document).

    `tree` and `below` say where that lies on a frontend's disk.
    """

    kind: Kind
    url: str
    expected: Wanted
    path: str = ""
    tree: Tree | None = None
    below: str = ""

    @property
    def name(self) -> str:
        """How people are told of it: without the time that keeps caches out."""
        plain, _, query = self.url.partition("?")
        return f"{plain}?{query}" if self.kind in (Kind.BY_HASH, Kind.INFO) else plain


@dataclass(frozen=True, slots=True)
class Documents:
    """The documents' bytes of a release, where each lies, and its entry document."""

    token: str
    content: Mapping[Kind, Wanted]
    tree: Tree | None
    segment: str
    entry: File | None


#: The documents' names on a frontend's disk.
_PLACES = {
    Kind.VERSION: "moduleversioninfo.json",
    Kind.INFO: "moduleinfo.json",
    Kind.PRECACHE: "precache.json",
}


def of_documents(target: Target, made: Documents, release: Tree, stamp: int) -> list[Question]:
    """The version check, the manifest by its token, the list of files, and the entry document."""
    urls = {
        Kind.VERSION: target.version(stamp).url,
        Kind.INFO: target.manifest(made.token).url,
        Kind.PRECACHE: f"{target.mount}precache.manifest?{stamp}",
    }
    asked = [
        Question(kind, url, made.content.get(kind, Wanted()), "", made.tree, f"-/{made.segment}/{_PLACES[kind]}")
        for kind, url in urls.items()
    ]
    if made.entry is not None:
        expected = Wanted.of_file(made.entry)
        asked.append(Question(Kind.ENTRY, target.mount, expected, made.entry.path, release, made.entry.path))
    return asked


def of_files(files: Iterable[File], urls: Mapping[str, str], release: Tree) -> list[Question]:
    """Each file by its hash and by its plain path; `urls` maps the files' paths to URL paths."""
    asked = []
    for file in files:
        url, expected = urls[file.path], Wanted.of_file(file)
        for kind, where in ((Kind.BY_HASH, f"{url}?{file.ota}"), (Kind.BY_PATH, url)):
            asked.append(Question(kind, where, expected, file.path, release, file.path))
    return asked


def of_served(target: Target, manifest: ServedManifest, paths: Iterable[str], stamp: int) -> list[Question]:
    """What else an address is asked of which only its own manifest is known."""
    asked = [Question(Kind.PRECACHE, f"{target.mount}precache.manifest?{stamp}", Wanted())]
    if manifest.entry is not None:
        asked.append(Question(Kind.ENTRY, manifest.entry, Wanted(ota=manifest.files[manifest.entry]), manifest.entry))
    for path in paths:
        ota = manifest.files[path]
        asked.append(Question(Kind.BY_HASH, target.by_hash(path, ota).url, Wanted(ota=ota), path))
        asked.append(Question(Kind.BY_PATH, target.part(path).url, Wanted(ota=ota), path))
    return asked
