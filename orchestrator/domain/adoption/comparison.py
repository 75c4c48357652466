"""Sites held against each other: which frontends agree, and where the others differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.domain.adoption.site import Site

#: How many differences are told one by one.
MOST_DIFFERENCES = 50


@dataclass(frozen=True, slots=True)
class Group:
    """Frontends that hold the same files with the same bytes."""

    digest: str
    frontends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """A file that is not the same everywhere: the frontends by the SHA-256 that they hold, "" where it is missing."""

    path: str
    held: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The groups, the largest first; the first differences by path, and how many there are."""

    groups: tuple[Group, ...]
    differences: tuple[Difference, ...] = ()
    count: int = 0

    @property
    def equal(self) -> bool:
        """Whether all hold the same."""
        return len(self.groups) == 1


def compare(sites: Mapping[str, Site], most: int = MOST_DIFFERENCES) -> Comparison:
    """Hold the sites of these frontends against each other."""
    names: dict[str, list[str]] = {}
    for name, site in sites.items():
        names.setdefault(site.digest, []).append(name)
    ordered = sorted(names.items(), key=lambda each: (-len(each[1]), each[1]))
    groups = tuple(Group(digest, tuple(members)) for digest, members in ordered)
    # One of each group: within a group there is nothing to tell.
    alike = {group.frontends: sites[group.frontends[0]].files for group in groups}
    differing = [
        path
        for path in sorted(set().union(*alike.values()))
        if len({held.sha256 if (held := files.get(path)) else "" for files in alike.values()}) > 1
    ]
    return Comparison(groups, tuple(_difference(path, sites) for path in differing[:most]), len(differing))


def _difference(path: str, sites: Mapping[str, Site]) -> Difference:
    found: dict[str, list[str]] = {}
    for name, site in sites.items():
        held = site.files.get(path)
        found.setdefault("" if held is None else held.sha256, []).append(name)
    return Difference(path, {sha256: tuple(names) for sha256, names in found.items()})
