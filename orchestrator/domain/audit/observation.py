"""What was seen of a frontend, of the load balancer, and of the public address; or why it was not seen.

What nobody saw is None here, or has no entry: never an empty answer, which would pass for agreement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class State:
    """What a frontend's script says of itself (`lockstep-frontend probe`).

    `script` is the SHA-256 of the script. `current` is the name of the activation, "" where it leads to none. `fence`
    is None where there is none. `free` is in bytes. `offset` is the frontend's clock minus ours, `uncertainty` half of
    the round trip in which it was measured, both in seconds; `offset` is None where the frontend can't tell.
    `activations` and `ahead` are names, `releases` are ``<app>/<digest>``.
    """

    script: str
    current: str
    fence: int | None
    drained: bool
    free: int
    offset: float | None = None
    uncertainty: float = 0.0
    activations: frozenset[str] = frozenset()
    releases: frozenset[str] = frozenset()
    ahead: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class InspectedFile:
    """A file's permissions, and the SHA-256 of its bytes: "" where the account could not read it."""

    mode: int
    sha256: str


@dataclass(frozen=True, slots=True)
class InspectedTree:
    """By path: files, symbolic links (their targets), and what should not be there (what it is).

    In `others` a path with a backslash is one that has a control character or a backslash at that place.
    """

    files: Mapping[str, InspectedFile] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP: the status, the activation that its header names ("" for none), the body's SHA-256.

    `failure` says in words why there is no answer; the rest means nothing then.
    """

    status: int = 0
    activation: str = ""
    sha256: str = ""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one frontend.

    `trees` maps the trees that were looked at (paths below the root, or ``by-hash``) to what lies in them; None where
    the tree is gone. `answers` maps the key of each `expectation.Ask` to what came back. `recipe` is the SHA-256 of the
    web server's recipe, "" where there is none below the root, None where nobody could look; `recipe_wanted` that of
    what this Lockstep makes of the options which the recipe names, "" where it names none that could be. `hashed` are
    the files and bytes that the frontend read for it. `reasons` says why a part was not seen: ``shell``, ``http``,
    ``recipe``, or a tree's path.
    """

    frontend: str
    state: State | None = None
    trees: Mapping[str, InspectedTree | None] = field(default_factory=dict)
    answers: Mapping[str, Answer] = field(default_factory=dict)
    health: int | None = None
    recipe: str | None = None
    recipe_wanted: str = ""
    hashed: tuple[int, int] = (0, 0)
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def blank(self) -> bool:
        """Whether nothing at all was seen."""
        heard = any(not answer.failure for answer in self.answers.values())
        return self.state is None and not self.trees and not heard and self.health is None and self.recipe is None


@dataclass(frozen=True, slots=True)
class Balancer:
    """What the load balancer says: of each frontend, whether it sends clients there. Or why nobody knows."""

    sends: Mapping[str, bool] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an audit saw: each frontend by its name, the load balancer, and the answers of the public address.

    `address` maps the key of each `expectation.Ask` to what came back.
    """

    frontends: Mapping[str, Observation]
    balancer: Balancer | None = None
    address: Mapping[str, Answer] = field(default_factory=dict)
