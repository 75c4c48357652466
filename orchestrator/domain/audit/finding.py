"""One difference between what is and what should be: its kind, how serious it is, and its words. docs/audits.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from orchestrator.domain.errors import Problem


class Kind(StrEnum):
    """What differs. The ledger keeps these words: they are never changed."""

    CURRENT_ELSEWHERE = "current-elsewhere"
    CURRENT_MISSING = "current-missing"
    FENCE_BEHIND = "fence-behind"
    FENCE_AHEAD = "fence-ahead"
    FILE_CHANGED = "file-changed"
    FILE_MISSING = "file-missing"
    FILE_EXTRA = "file-extra"
    FILE_TYPE = "file-type"
    FILE_MODE = "file-mode"
    LINK_CHANGED = "link-changed"
    RELEASE_MISSING = "release-missing"
    ACTIVATION_MISSING = "activation-missing"
    ACTIVATION_UNFINISHED = "activation-unfinished"
    INDEX_CHANGED = "index-changed"
    DOCUMENT_SERVED = "document-served"
    MANIFEST_SERVED = "manifest-served"
    FILE_SERVED = "file-served"
    HASH_SERVED = "hash-served"
    SERVED_ELSEWHERE = "served-elsewhere"
    SCRIPT_OUTDATED = "script-outdated"
    RECIPE_OUTDATED = "recipe-outdated"
    ROTATION_HEALTH = "rotation-health"
    ROTATION_BALANCER = "rotation-balancer"
    SPACE_LOW = "space-low"
    CLOCK_APART = "clock-apart"
    UNSEEN = "unseen"
    FLEET_SPLIT = "fleet-split"
    ADDRESS_OLD = "address-old"
    ADDRESS_CHANGED = "address-changed"
    ADDRESS_UNSEEN = "address-unseen"


class Seriousness(StrEnum):
    """Whom it hurts: clients now; clients after the next flip or reload, perhaps; nobody."""

    CLIENTS = "clients"
    MAY = "may"
    UNTIDY = "untidy"

    @property
    def rank(self) -> int:
        """0 for the most serious one."""
        return list(Seriousness).index(self)


class _Words(NamedTuple):
    """What is wrong, what to do, and how serious it is on a frontend in rotation, in what is served."""

    what: str
    remedy: str
    seriousness: Seriousness


_HEAL = "an audit that heals puts it right (docs/audits.md, 'Healing')"
_MEANT = "run `lockstep drain {fleet} {frontend}` or `lockstep readmit {fleet} {frontend}`, whichever is meant"
_WRITES = f"find out what writes below the root (only Lockstep may); {_HEAL}"
_SERVER = "see that its web server has the recipe and serves the root that the inventory names, then reload it"
_ADDRESS = "see what caches between the public address and the frontends, and that it keeps to Cache-Control"

WORDS: dict[Kind, _Words] = {
    Kind.CURRENT_ELSEWHERE: _Words("`current` is another activation", _WRITES, Seriousness.CLIENTS),
    Kind.CURRENT_MISSING: _Words("`current` leads to no activation", _WRITES, Seriousness.CLIENTS),
    Kind.FENCE_BEHIND: _Words(
        "the fence is below what was committed",
        f"it may have come back from a backup: an older epoch could be activated; {_HEAL}",
        Seriousness.MAY,
    ),
    Kind.FENCE_AHEAD: _Words(
        "the fence is above every epoch that the ledger gave",
        "see whether another ledger deploys to this frontend, or this ledger came back from a backup: until the "
        "fleet's epoch is above the fence, the frontend refuses every deployment",
        Seriousness.MAY,
    ),
    Kind.FILE_CHANGED: _Words("a file has other bytes", _WRITES, Seriousness.CLIENTS),
    Kind.FILE_MISSING: _Words("an entry is not there", _WRITES, Seriousness.CLIENTS),
    Kind.FILE_EXTRA: _Words(
        "an entry should not be there",
        "move it away if somebody needs it; an audit that heals removes it only where it is told to (`--remove-extra`)",
        Seriousness.UNTIDY,
    ),
    Kind.FILE_TYPE: _Words("an entry is of another type", _WRITES, Seriousness.CLIENTS),
    Kind.FILE_MODE: _Words("a file has other permissions", _WRITES, Seriousness.MAY),
    Kind.LINK_CHANGED: _Words("a symbolic link leads elsewhere", _WRITES, Seriousness.CLIENTS),
    Kind.RELEASE_MISSING: _Words("a release is not there", _WRITES, Seriousness.CLIENTS),
    Kind.ACTIVATION_MISSING: _Words("an activation is not there", _WRITES, Seriousness.CLIENTS),
    Kind.ACTIVATION_UNFINISHED: _Words(
        "an activation that no open deployment has",
        "nothing to do now: it goes when a later deployment removes what is old",
        Seriousness.UNTIDY,
    ),
    Kind.INDEX_CHANGED: _Words("a name in by-hash/ does not lead to its object", _WRITES, Seriousness.CLIENTS),
    Kind.DOCUMENT_SERVED: _Words("serves another version document", _SERVER, Seriousness.CLIENTS),
    Kind.MANIFEST_SERVED: _Words("serves another manifest", _SERVER, Seriousness.CLIENTS),
    Kind.FILE_SERVED: _Words("serves something else at the path of a file", _SERVER, Seriousness.CLIENTS),
    Kind.HASH_SERVED: _Words("serves something else at the hash of a file", _SERVER, Seriousness.CLIENTS),
    Kind.SERVED_ELSEWHERE: _Words("the web server serves another place than the root", _SERVER, Seriousness.MAY),
    Kind.SCRIPT_OUTDATED: _Words(
        "the frontend script is another one", f"the next deployment installs it; {_HEAL}", Seriousness.MAY
    ),
    Kind.RECIPE_OUTDATED: _Words(
        "the web server's recipe is another one",
        "print it with `lockstep frontend recipe`, install it, and reload the web server",
        Seriousness.MAY,
    ),
    Kind.ROTATION_HEALTH: _Words(
        "the health answer is not what the ledger says of its rotation",
        _MEANT,
        Seriousness.MAY,
    ),
    Kind.ROTATION_BALANCER: _Words(
        "the load balancer does not do what the ledger says of its rotation",
        _MEANT,
        Seriousness.MAY,
    ),
    Kind.SPACE_LOW: _Words(
        "less free space than a release needs", "free disk space below the frontend's root", Seriousness.MAY
    ),
    Kind.CLOCK_APART: _Words(
        "its clock is apart from ours", "see that a time service runs on the frontend and here", Seriousness.UNTIDY
    ),
    Kind.UNSEEN: _Words(
        "nobody could look: neither right nor wrong", "put right what kept it unseen, then audit again", Seriousness.MAY
    ),
    Kind.FLEET_SPLIT: _Words(
        "the frontends in rotation do not serve one set of manifests",
        "drain those that serve another one (`lockstep drain {fleet} FRONTEND`), then readmit them",
        Seriousness.CLIENTS,
    ),
    Kind.ADDRESS_OLD: _Words("the public address answers what was served before", _ADDRESS, Seriousness.CLIENTS),
    Kind.ADDRESS_CHANGED: _Words(
        "the public address answers what no activation has",
        "see where the public address leads, and what changes answers on the way",
        Seriousness.CLIENTS,
    ),
    Kind.ADDRESS_UNSEEN: _Words(
        "the public address does not answer",
        "see that the load balancer runs and that this machine reaches the public address",
        Seriousness.MAY,
    ),
}

Identity = tuple[str, str, Kind, str]


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference. `frontend` is "" for what the whole fleet shows, `path` "" where the kind says all.

    Below a frontend's root, `path` is relative to it; over HTTP it is the URL's path. `expected` and `found` are words
    for people, of one line each.
    """

    fleet: str
    frontend: str
    kind: Kind
    path: str
    expected: str
    found: str
    seriousness: Seriousness

    @property
    def identity(self) -> Identity:
        """What makes it the same finding in another audit."""
        return self.fleet, self.frontend, self.kind, self.path

    @property
    def what(self) -> str:
        """What is wrong, in words."""
        return WORDS[self.kind].what

    @property
    def remedy(self) -> str:
        """What to do, in words, with commands that name the fleet and the frontend."""
        return WORDS[self.kind].remedy.format(fleet=self.fleet, frontend=self.frontend)

    def problem(self) -> Problem:
        """The finding as an operator reads it."""
        place = self.frontend or self.fleet
        where = f"{place}: {self.path}" if self.path else place
        return Problem(self.what, where, self.expected, self.found, self.remedy)

    def as_dict(self) -> dict[str, str]:
        """The finding as JSON carries it."""
        return {
            "fleet": self.fleet,
            "frontend": self.frontend,
            "kind": self.kind.value,
            "path": self.path,
            "seriousness": self.seriousness.value,
            **{key: value for key, value in self.problem().as_dict().items() if key != "where"},
        }


def order(finding: Finding) -> tuple[str, str, int, int, str]:
    """The order of a report: by fleet, the fleet's own first, the most serious first, then by kind and path."""
    place = list(Kind).index(finding.kind)
    return finding.fleet, finding.frontend, finding.seriousness.rank, place, finding.path


def legible(text: str) -> str:
    """`text` from outside on one line, every other text another one: what can't be printed is escaped."""
    if text.isprintable() and "\\" not in text:
        return text
    return text.encode("unicode_escape").decode("ascii")
