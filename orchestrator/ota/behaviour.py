"""How devices behave that update over the air. docs/observe.md, "Behaviours", has the rules in words."""

from __future__ import annotations

from enum import StrEnum


class Behaviour(StrEnum):
    """A kind of client: the one that the documents allow at best, and the one that is out there."""

    #: What the documents allow a client to be sure of.
    LOCKSTEP = "lockstep"
    #: The client of OutSystems 11 mobile apps.
    STOCK = "stock"

    @property
    def compares_tokens(self) -> bool:
        """Whether it refuses the manifest of another token than the one that it asked for."""
        return self is Behaviour.LOCKSTEP

    @property
    def only_forward(self) -> bool:
        """Whether it refuses what an older epoch serves than it has seen."""
        return self is Behaviour.LOCKSTEP

    @property
    def checks_integrity(self) -> bool:
        """Whether it holds files against the SHA-256 of precache.manifest."""
        return self is Behaviour.LOCKSTEP

    @property
    def gives_up(self) -> bool:
        """Whether it does not try again before the app is started again, once an upgrade has failed."""
        return self is Behaviour.STOCK
