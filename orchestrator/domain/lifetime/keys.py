"""LifeTime's keys. Whatever has a name gets a UUID that is made from it (RFC 9562, version 5): always the same one."""

from __future__ import annotations

import re
from uuid import UUID, uuid5

#: The namespace of all of them. Another one would change every key that a pipeline has kept.
NAMESPACE = UUID("8a3c4a52-6f0e-5d0b-9f57-2f1d3c7e41b6")

KEY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def environment_key(name: str) -> str:
    """The key of an environment."""
    return _key("environment", name)


def zone_key(fleet: str) -> str:
    """The key of a deployment zone: a fleet, by its full name ``environment/fleet``."""
    return _key("zone", fleet)


def application_key(app: str) -> str:
    """The key of an application."""
    return _key("application", app)


def version_key(app: str, version: str) -> str:
    """The key of an application's version: a release."""
    return _key("version", app, version)


def user_key(name: str) -> str:
    """The key of somebody who did something; "" where nobody did."""
    return _key("user", name) if name else ""


def technology_key() -> str:
    """The key of the one technology by which deployment zones are deployed to."""
    return _key("technology", "Lockstep")


def normal(given: str) -> str | None:
    """A key as Lockstep writes it; None for what is none."""
    found = given.strip().lower()
    return found if KEY.fullmatch(found) else None


def same(key: str, given: str) -> bool:
    """Whether somebody gave this key: UUIDs are the same in small and in capital letters."""
    return key == normal(given)


def _key(*parts: str) -> str:
    # No name has this character in it.
    return str(uuid5(NAMESPACE, "\n".join(parts)))
