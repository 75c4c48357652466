"""What was seen at one moment: the ledger's word, each frontend's disk, and what each address answered. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.layout import Tree
from orchestrator.domain.rotation import Drain
from orchestrator.ota.doctor.look import Look, Unseen
from orchestrator.ota.doctor.questions import Kind, Question

OK = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the status, both hashes of the body ("" for one that was too long to read), and its size.

    `name` is the activation that it names; `token` is that of a document, and `listed` its hash of the file that was
    asked about. `pin` says whether it sets one. `cache` are the headers of caches by their names in small letters.
    """

    status: int
    sha256: str
    ota: str
    size: int
    name: ActivationName | None = None
    token: str = ""
    listed: str = ""
    pin: bool = False
    cache: Mapping[str, str] = field(default_factory=dict)

    def gives(self, question: Question) -> bool:
        """Whether it is what the question's release says."""
        return self.status == OK and question.expected.is_that(self.sha256, self.ota)

    def same(self, other: Reply) -> bool:
        """Whether both bring the same."""
        return (self.status, self.sha256) == (other.status, other.sha256)

    @property
    def control(self) -> tuple[str, ...]:
        """Cache-Control's words, in order, so that two can be compared."""
        return tuple(sorted(word.strip().lower() for word in self.cache.get("cache-control", "").split(",")))

    @property
    def kept(self) -> bool:
        """Whether a cache on the way says that it had kept this."""
        age = self.cache.get("age", "").strip()
        hit = any(value.strip().lower().startswith("hit") for value in self._hits())
        return hit or (age.isascii() and age.isdigit() and int(age[:10]) > 0)

    def _hits(self) -> Iterator[str]:
        for name, value in self.cache.items():
            if name.startswith("x-") or name.endswith("cache-status"):
                # Squid and CDNs say "HIT from …"; RFC 9211 "name; hit".
                yield value
                yield from value.split(";")[1:]

    @property
    def evidence(self) -> str:
        """What the headers say of caches, for people."""
        return ", ".join(f"{name}: {value}" for name, value in sorted(self.cache.items())) or "no header of a cache"

    def __str__(self) -> str:
        if self.status != OK:
            return f"status {self.status}"
        named = "" if self.name is None else f" from activation {self.name}"
        return f"{self.size} bytes, hash {self.ota}{named}" if self.ota else f"more than {self.size} bytes{named}"


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer that could be judged, and why: neither right nor wrong."""

    reason: str


class Standing(StrEnum):
    """Whether clients are led to a frontend."""

    SERVING = "in rotation"
    DRAINED = "drained"
    #: To be drained, and nobody has confirmed it.
    DOUBTED = "drain not confirmed"
    NEW = "new"

    @property
    def led_to(self) -> bool:
        """Clients are, or may be."""
        return self in (Standing.SERVING, Standing.DOUBTED)


@dataclass(frozen=True)
class Visit:
    """An address and what it answered. `name` is the frontend's, "" for the public address."""

    name: str
    url: str
    replies: Mapping[Question, Reply | Silence]

    def reply(self, question: Question) -> Reply | None:
        """Its answer, None where there was none."""
        found = self.replies.get(question)
        return found if isinstance(found, Reply) else None

    @property
    def answered(self) -> list[tuple[Question, Reply]]:
        """The questions that it answered."""
        return [(question, reply) for question, reply in self.replies.items() if isinstance(reply, Reply)]

    @property
    def silent(self) -> list[tuple[Question, Silence]]:
        """The questions that it did not answer."""
        return [(question, reply) for question, reply in self.replies.items() if isinstance(reply, Silence)]

    def of_kind(self, kind: Kind) -> Reply | None:
        """Its answer to the one question of this kind."""
        return next((reply for question, reply in self.answered if question.kind is kind), None)

    @property
    def served(self) -> ActivationName | None:
        """The activation that it serves, by its version check, or by whatever else names one."""
        replies = [self.of_kind(Kind.VERSION), *(reply for _, reply in self.answered)]
        return next((reply.name for reply in replies if reply is not None and reply.name is not None), None)

    @property
    def token(self) -> str:
        """The token that it serves, "" where that is not known."""
        version = self.of_kind(Kind.VERSION)
        return "" if version is None else version.token


@dataclass(frozen=True)
class Seat:
    """A frontend: its answers, its disk, and whether clients are led to it."""

    visit: Visit
    disk: Look | Unseen
    standing: Standing = Standing.SERVING
    drain: Drain | None = None

    @property
    def name(self) -> str:
        """The frontend's name."""
        return self.visit.name

    @property
    def look(self) -> Look | None:
        """Its disk, where somebody looked."""
        return self.disk if isinstance(self.disk, Look) else None


@dataclass(frozen=True)
class Release:
    """What the fleet serves, by the ledger's last committed activation.

    `tokens` maps the tokens of this app that were ever committed to the epochs; `earlier` maps a file's path to the
    hashes (SHA-256) that it had in earlier releases, and `activations` are all that were committed. `activation_tree`
    is None where its documents are not known.
    """

    app: str
    mount: str
    version: str
    digest: str
    name: ActivationName
    token: str
    activation_tree: Tree | None
    release_tree: Tree
    files: int
    tokens: Mapping[str, Sequence[int]]
    earlier: Mapping[str, frozenset[str]]
    activations: frozenset[ActivationName]

    def is_earlier(self, token: str) -> bool:
        """Whether this token was only committed before what is served now."""
        return token != self.token and token in self.tokens


@dataclass(frozen=True, slots=True)
class Open:
    """The fleet's open deployment: its state, and what it waits for, in words."""

    number: int
    state: str
    committed: bool
    waits_for: str
    resting: bool
    actor: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A file that was asked about by name: the path in the release, "" where the release has no such file.

    `near` are paths that look like it; `hash` is the one that the operator gave, "" for none, and `hash_of` the
    versions in which the file has or had it.
    """

    text: str
    path: str = ""
    near: Sequence[str] = ()
    hash: str = ""
    hash_of: Sequence[str] = ()


@dataclass(frozen=True)
class Observations:
    """All of it. `release` is None where no fleet is known, or nothing of it; `fleet` is "" where none is."""

    address: Visit
    seats: tuple[Seat, ...] = ()
    release: Release | None = None
    fleet: str = ""
    open: Open | None = None
    asked: Asked | None = None
    #: The ledger's activation changed while this was seen.
    moved: bool = False
    #: The documents were made by another version of Lockstep.
    other_form: bool = False

    @property
    def led_to(self) -> list[Seat]:
        """The frontends that the public address may lead to."""
        return [seat for seat in self.seats if seat.standing.led_to]
