"""What should be seen of a fleet, from the ledger, the layouts and the inventory. Pure: layouts come as input."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.audit.finding import Kind
from orchestrator.domain.layout import Layout, Tree

#: The tree of look-up by hash, in observations and in the paths of findings.
INDEX = "by-hash"
#: How objects are kept, and so every file of every tree: `lockstep-frontend receive`.
FILE_MODE = 0o444
#: Where HTTP shows what lies in `state/place`.
PLACE = "/-/lockstep/place"
#: Seconds that a frontend's clock may be apart from ours.
CLOCK_SECONDS = 2.0


class Standing(StrEnum):
    """What the ledger says of a frontend. `DRAINING`: a drain that nobody has confirmed; it counts as in rotation."""

    SERVING = "serving"
    DRAINING = "draining"
    DRAINED = "drained"

    @property
    def serves(self) -> bool:
        """Whether clients may come to it."""
        return self is not Standing.DRAINED


@dataclass(frozen=True, slots=True)
class Ask:
    """One request over HTTP and what must come back: these bytes, or 404 where `sha256` is None.

    `kind` is the finding that a difference is. `activation`: the answer must name it; "" where any may answer. `app` is
    set for manifests. `native`: it is asked as an installed client asks.
    """

    kind: Kind
    url: str
    sha256: str | None
    activation: str = ""
    app: str = ""
    accept: str = "*/*"
    native: bool = False

    @property
    def key(self) -> str:
        """What tells it from every other ask: the URL, and who asks in which way where that matters."""
        ways = [*([] if self.accept == "*/*" else [self.accept]), *(["native"] if self.native else [])]
        return f"{self.url} ({', '.join(ways)})" if ways else self.url


@dataclass(frozen=True, slots=True)
class Expectation:
    """What should be seen of `fleet`.

    `rotation` names every frontend that is compared. `name` and `layout` are what was committed last, `retained` the
    other activations that frontends must hold, newest first. `open` are the names that open deployments may have
    staged; `past` all that were ever committed: they stay until somebody prunes them. `epoch` is the highest that the
    ledger ever gave. `deep`: retained trees are listed as well.

    `script` is the SHA-256 of the script that Lockstep installs. `space` is what a release needs, in bytes.

    `place` is a mark that is left below each root: HTTP must show it, if the root is what is served.
    `asks` maps frontends to what each is asked over HTTP, every manifest among it; `sampled`: that is not all that
    could be; `obsolete` are the keys of earlier asks, as findings spell them, that nobody asks for any more. `address`
    is what the public address is asked, `older` maps the SHA-256 of what earlier activations answered to their names.
    `balanced`: there is a load balancer that can be asked.
    """

    fleet: str
    rotation: Mapping[str, Standing]
    name: ActivationName
    epoch: int
    layout: Layout
    retained: Mapping[ActivationName, Layout] = field(default_factory=dict)
    open: frozenset[ActivationName] = frozenset()
    past: frozenset[ActivationName] = frozenset()
    deep: bool = False
    script: str = ""
    space: int = 0
    place: str = ""
    asks: Mapping[str, tuple[Ask, ...]] = field(default_factory=dict)
    sampled: bool = True
    obsolete: frozenset[str] = frozenset()
    address: tuple[Ask, ...] = ()
    older: Mapping[str, str] = field(default_factory=dict)
    balanced: bool = False

    def marking(self) -> Ask:
        """What shows that the root is served, and no copy of it."""
        return Ask(Kind.SERVED_ELSEWHERE, PLACE, hashlib.sha256(self.place.encode()).hexdigest())

    def served_trees(self) -> Iterator[Tree]:
        """What is served now."""
        yield self.layout.activation
        yield from self.layout.releases

    def held_trees(self) -> dict[str, Tree]:
        """Every tree that must be there, by its path; what is served now comes first."""
        trees = {tree.path: tree for tree in self.served_trees()}
        for layout in self.retained.values():
            for tree in (layout.activation, *layout.releases):
                trees.setdefault(tree.path, tree)
        return trees

    def listed_trees(self) -> dict[str, Tree]:
        """The trees that this audit lists."""
        return self.held_trees() if self.deep else {tree.path: tree for tree in self.served_trees()}

    def index(self) -> dict[str, str]:
        """Look-up by hash: name -> SHA-256, of everything that must be there."""
        names: dict[str, str] = {}
        for layout in (*self.retained.values(), self.layout):
            names.update(layout.by_hash)
        return names
