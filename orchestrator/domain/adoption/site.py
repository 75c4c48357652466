"""What a frontend serves an app from before Lockstep does: the files below a directory that another tool filled.

docs/adopt.md says what of it is looked at, and what is left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator, Field

from inventory.model import Record, matching
from orchestrator.domain.release import SHA256, Manifest

#: What is left out of every adoption: what is no part of a release, and the documents that Lockstep serves itself.
EXCLUDES = (
    ".git",
    ".svn",
    ".hg",
    ".DS_Store",
    ".env",
    ".htaccess",
    ".htpasswd",
    ".well-known",
    "/-",
    "/moduleservices",
    "/precache.manifest",
)
MOST_PATTERNS = 100
#: A name, or a path from the top behind a slash; `*` and `?` stand for others. Shells and find read no more into it.
_PATTERN = re.compile(r"[^\x00-\x1f\x7f\\\[\]/]{1,255}|(?:/[^\x00-\x1f\x7f\\\[\]/]{1,255}){1,16}")
_DIRECTORY = re.compile(r"(?:/[^\x00-\x1f\x7f/]{1,255}){1,128}")
_DOTS = {".", ".."}
_HOME = "~"


def _directory(text: str) -> str:
    if _DIRECTORY.fullmatch(text) is None or not _DOTS.isdisjoint(text.split("/")):
        raise ValueError("expected an absolute path without . and .. and without a slash at its end")
    return text


def _from_home(text: str) -> str:
    _directory(text.removeprefix(_HOME))
    return text


DirectoryPath = Annotated[str, AfterValidator(_directory)]
SitePath = Annotated[str, AfterValidator(_from_home)]
Pattern = Annotated[str, matching(_PATTERN, "a name, or a path behind a slash, with * and ? but without [, ] and \\")]


class Where(Record):
    """What to look at on each frontend.

    `path` is what the web server serves the app from; ``~/`` is the home of the account. `excludes` are left out:
    names anywhere, or paths from the top behind a slash. Links are followed within the tree, within its Capistrano
    layout, and into the directories `follow`.
    """

    path: SitePath
    excludes: Annotated[tuple[Pattern, ...], Field(max_length=MOST_PATTERNS)] = EXCLUDES
    follow: Annotated[tuple[DirectoryPath, ...], Field(max_length=MOST_PATTERNS)] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Those of the excludes that hold anywhere."""
        return tuple(pattern for pattern in self.excludes if not pattern.startswith("/"))

    def leaves_out(self, path: str) -> bool:
        """Whether a path below the top is left out: by its own name, or with a directory above it."""
        segments = path.split("/")
        above = ["/" + "/".join(segments[: n + 1]) for n in range(len(segments))]
        return any(
            fnmatchcase(text, pattern)
            for pattern in self.excludes
            for text in (above if pattern.startswith("/") else segments)
        )


@dataclass(frozen=True, slots=True)
class Held:
    """A file's size in bytes and its SHA-256."""

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, matching(SHA256, "a SHA-256")]


@dataclass(frozen=True)
class Site:
    """The files of one frontend, by path from the top.

    `top` is the directory to which the path leads. `followed` has the links that were followed, and where they lead;
    `odd` what can't be part of a release, and why.
    """

    top: str
    files: Mapping[str, Held]
    followed: Mapping[str, str] = field(default_factory=dict)
    odd: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> Site:
        """What a release would be as a site, to be held against one."""
        return cls("", {file.path: Held(file.size, file.sha256) for file in manifest})

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(held.size for held in self.files.values())

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of ``<sha256> <path>`` lines, sorted by path: one word for all paths and bytes."""
        lines = (f"{held.sha256} {path}\n" for path, held in sorted(self.files.items()))
        return hashlib.sha256("".join(lines).encode()).hexdigest()
