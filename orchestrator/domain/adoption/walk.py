"""From directories as they are listed to one tree: which links are followed, and what can't be part of a release.

A link of a site may lead anywhere on its frontend, and what it leads to would be served by the whole fleet. So links
are followed only where people who deploy put files: below the top, below the release and `shared/` of a Capistrano
layout, and where the operator says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.domain.adoption.site import Held, Site, Where
from orchestrator.domain.contents import LIMITS
from orchestrator.domain.errors import RefusedError, ReleaseError
from orchestrator.domain.paths import check_path, show

#: Directories that links lead to, in one site.
MOST_BRANCHES = 200
#: What cannot be told apart in one answer of a few lines.
MOST_ODD = 1000
_CAPISTRANO = re.compile(r"(?P<release>(?P<above>.*)/releases/[^/]+)(?:/.*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Led:
    """Where a symbolic link leads, as the system resolves it: to a file, or to a directory (None)."""

    target: str
    held: Held | None


@dataclass(frozen=True, slots=True)
class Listing:
    """One directory's tree without what links lead to. `top` is its own name, over no link."""

    top: str
    files: Mapping[str, Held] = field(default_factory=dict)
    links: Mapping[str, Led] = field(default_factory=dict)
    odd: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Branch:
    """A directory that is still to be listed: the site has its files below `prefix`.

    `places` are the directories that hold the links over which it was reached.
    """

    prefix: str
    directory: str
    places: tuple[str, ...] = ()


class Walk:
    """List `branches` as long as there are any, and `add` each; then there is a `site`."""

    def __init__(self, where: Where) -> None:
        self._where = where
        self._grounds: tuple[str, ...] = ()
        self._top = ""
        self._walked = 0
        self._files: dict[str, Held] = {}
        self._followed: dict[str, str] = {}
        self._odd: dict[str, str] = {}
        self.branches = [Branch("", where.path)]

    def add(self, branch: Branch, listing: Listing) -> None:
        """What was listed of a branch. Raises `RefusedError` where it changed, `ReleaseError` where it is too much."""
        self.branches.remove(branch)
        self._walked += 1
        if not branch.prefix:
            self._top = listing.top
            self._grounds = grounds(listing.top, self._where.follow)
        elif listing.top != branch.directory:
            raise RefusedError(
                "a link was changed while the site was looked at", where=branch.prefix, remedy="look again"
            )
        for path, held in listing.files.items():
            self._keep(branch.prefix + path, held)
        for path, led in listing.links.items():
            self._follow(branch, listing.top, path, led)
        for path, why in listing.odd.items():
            self._note(branch.prefix + path, why)
        self._check()

    def site(self) -> Site:
        """All of it."""
        return Site(self._top, self._files, self._followed, self._odd)

    def _follow(self, branch: Branch, top: str, below: str, led: Led) -> None:
        path = branch.prefix + below
        if self._where.leaves_out(path):
            return
        place = f"{top}/{below}".rpartition("/")[0]
        places = (*branch.places, place)
        if not any(lies_in(led.target, ground) for ground in self._grounds):
            self._note(path, f"a link that leads out of the site, to {show(led.target)}")
        elif led.held is not None:
            self._followed[show(path)] = show(led.target)
            self._keep(path, led.held)
        elif any(lies_in(each, led.target) for each in places):
            self._note(path, f"a link that leads in a circle, to {show(led.target)}")
        else:
            self._followed[show(path)] = show(led.target)
            self.branches.append(Branch(f"{path}/", led.target, places))

    def _keep(self, path: str, held: Held) -> None:
        if self._where.leaves_out(path):
            return
        try:
            check_path(path)
        except ReleaseError as error:
            self._note(path, error.problem.what)
        else:
            self._files[path] = held

    def _note(self, path: str, why: str) -> None:
        if not self._where.leaves_out(path) and len(self._odd) < MOST_ODD:
            self._odd[show(path)] = why

    def _check(self) -> None:
        if len(self._files) > LIMITS.entries:
            raise ReleaseError("too many files for one release", expected=f"at most {LIMITS.entries}")
        if self._walked + len(self.branches) > MOST_BRANCHES:
            raise ReleaseError("too many links to directories", expected=f"at most {MOST_BRANCHES} in one site")


def grounds(top: str, follow: tuple[str, ...]) -> tuple[str, ...]:
    """The directories into which links are followed."""
    found = _CAPISTRANO.fullmatch(top)
    return (top, *follow) if found is None else (top, found["release"], f"{found['above']}/shared", *follow)


def lies_in(path: str, directory: str) -> bool:
    """Whether a path is the directory, or below it. Both are absolute, over no link."""
    return path == directory or path.startswith(f"{directory.rstrip('/')}/")
