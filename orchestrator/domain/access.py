"""Who may do what: roles, what each allows, and in which environments. Pure; docs/access.md is the manual."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

#: ``lks_`` (so that scanners of repositories know one), the public part, and 256 random bits.
TOKEN = re.compile(r"lks_(?P<public>[0-9a-f]{12})_(?P<secret>[A-Za-z0-9_-]{43})")

#: The environment of a grant that holds everywhere.
EVERYWHERE = "*"


class Role(StrEnum):
    """What somebody is in an environment."""

    VIEWER = "viewer"
    DEPLOYER = "deployer"
    APPROVER = "approver"
    ADMIN = "admin"


class Permission(StrEnum):
    """What can be allowed."""

    #: See releases, fleets, deployments and events.
    READ = "read"
    #: Add releases, record and retire builds.
    RELEASE = "release"
    #: Deploy, roll back, drain and readmit.
    DEPLOY = "deploy"
    #: Let a held deployment go on, or carry an open one on.
    CONTINUE = "continue"
    #: End a deployment that is not committed.
    ABORT = "abort"
    #: Issue and revoke tokens, read the trail, deliver hooks again.
    ADMINISTER = "administer"


ALLOWED: Mapping[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.DEPLOYER: frozenset(
        {Permission.READ, Permission.RELEASE, Permission.DEPLOY, Permission.CONTINUE, Permission.ABORT}
    ),
    Role.APPROVER: frozenset({Permission.READ, Permission.CONTINUE, Permission.ABORT}),
    Role.ADMIN: frozenset(Permission),
}


#: Who may let a deployment go on where four eyes are asked for. Who deploys there is somebody else.
APPROVING = frozenset({Role.APPROVER, Role.ADMIN})


def without_tokens(text: str) -> str:
    """The text with no more of every token in it than may be shown: for logs and for what errors quote."""
    return TOKEN.sub(r"lks_\g<public>_…", text)


def same_person(one: str, other: str) -> bool:
    """Whether two actors may be one person: another token of the same name, or the name in other letters, is no other.

    What follows the ``#`` tells tokens of one name apart.
    """
    return _person(one) == _person(other)


def _person(actor: str) -> str:
    return actor.partition("#")[0].strip().casefold()


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """A role in an environment, or in all of them (`EVERYWHERE`)."""

    role: Role
    environment: str = EVERYWHERE

    def covers(self, environment: str | None) -> bool:
        """Whether it holds in an environment; None asks for any at all."""
        return environment is None or self.environment in (EVERYWHERE, environment)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: the name that the ledger's records get, and what was granted."""

    name: str
    grants: tuple[Grant, ...]

    def may(self, permission: Permission, environment: str | None = None) -> bool:
        """Whether a grant allows it in that environment; None asks whether there is any environment for it."""
        return any(permission in ALLOWED[grant.role] and grant.covers(environment) for grant in self.grants)

    def has(self, roles: Iterable[Role], environment: str) -> bool:
        """Whether one of the roles was granted in that environment."""
        wanted = frozenset(roles)
        return any(grant.role in wanted and grant.covers(environment) for grant in self.grants)

    def visible(self, environments: Iterable[str]) -> tuple[str, ...]:
        """Those of the environments that may be read."""
        return tuple(each for each in environments if self.may(Permission.READ, each))
