"""What a fleet serves at one epoch: every app mapped to one release."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from orchestrator.domain.errors import LockstepError

NAME = re.compile(r"(?P<epoch>0|[1-9][0-9]{0,9})-(?P<nonce>[0-9a-f]{16})")
NONCE = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, order=True)
class ActivationName:
    """``<epoch>-<nonce>``: the epoch orders activations, the nonce (16 hex digits) can't be guessed."""

    epoch: int
    nonce: str

    def __str__(self) -> str:
        return f"{self.epoch}-{self.nonce}"

    @classmethod
    def parse(cls, text: str) -> ActivationName:
        """Read `text` strictly; raises `LockstepError` for anything else."""
        found = NAME.fullmatch(text)
        if found is None:
            raise LockstepError("not an activation's name", expected="<epoch>-<16 hex digits>", found=text[:80])
        return cls(int(found["epoch"]), found["nonce"])


#: What a frontend serves before its first deployment: nothing.
NOTHING = ActivationName(0, "0" * 16)


@dataclass(frozen=True, slots=True, order=True)
class Placement:
    """One app of an activation: which release of it, and where it is mounted (``/`` or ``/Segment/``).

    `builds` is None where installed clients are offered this release over the air. Else the app is store-only, and
    these are the digests of the releases that the builds in the field were made from, each once, sorted.
    """

    app: str
    mount: str
    version: str
    digest: str
    builds: tuple[str, ...] | None = None

    @property
    def store_only(self) -> bool:
        """Whether installed clients stay on the version that they have."""
        return self.builds is not None

    def installed(self) -> tuple[Placement, ...]:
        """The releases of its builds, each once, as they would be placed."""
        return tuple(Placement(self.app, self.mount, "", digest) for digest in self.builds or ())

    def url(self, path: str) -> str:
        """The URL path (not percent-encoded) of a file of this app."""
        return self.mount + path

    @property
    def segment(self) -> str:
        """The mount as one directory name; the root mount is ``-``, which no mount segment can be."""
        return self.mount.strip("/") or "-"


@dataclass(frozen=True)
class Activation:
    """A name and the placements, sorted by app."""

    name: ActivationName
    placements: tuple[Placement, ...]

    @classmethod
    def of(cls, name: ActivationName, placements: Iterable[Placement]) -> Activation:
        """An activation with its placements in canonical order."""
        return cls(name, tuple(sorted(placements)))

    def digests(self) -> tuple[str, ...]:
        """Every release that a frontend must hold for it, each once."""
        return digests(self.placements)

    def document(self) -> dict[str, object]:
        """What ``/-/lockstep/activation`` answers."""
        apps: Mapping[str, object] = {
            p.app: {
                "digest": p.digest,
                "mount": p.mount,
                "version": p.version,
                **({"distribution": "store-only"} if p.store_only else {}),
            }
            for p in self.placements
        }
        return {"activation": str(self.name), "apps": apps, "epoch": self.name.epoch}


def digests(placements: Iterable[Placement]) -> tuple[str, ...]:
    """The releases of these placements and of their builds, each once."""
    return tuple(dict.fromkeys(held.digest for p in placements for held in (p, *p.installed())))
