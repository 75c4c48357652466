"""What a worker says to a frontend: each command is a dataclass in, argv out, and its answer parsed. No I/O.

The commands are those of `remote/lockstep-frontend`; docs/protocol.md, "On a frontend", lists them. Answers come from
another machine, so every word of them must match its pattern before it counts; anything else is `UnansweredError`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar

from orchestrator.domain.activation import NAME as ACTIVATION
from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import RefusedError
from orchestrator.domain.release import SHA256
from workers.frontend.answers import interpret, unintelligible

RELEASE = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}/[0-9a-f]{64}")
EPOCH = re.compile(r"0|[1-9][0-9]{0,9}")
CLOCK = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")
TOLD_CLOCK = re.compile(rf"CLOCK ({CLOCK.pattern})")


def shell_line(argv: Sequence[str]) -> str:
    """The one string that sshd hands to the login shell; every word quoted."""
    return shlex.join(argv)


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the script at `root`. `attended`: the frontend's attendant knows it as well."""

    root: str
    attended: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """The command's word."""
        return type(self).__name__.lower()

    @property
    def script(self) -> str:
        """Where the script lies on the frontend."""
        return f"{self.root}/state/lockstep-frontend"

    def words(self) -> tuple[str, ...]:
        """What follows the command's name."""
        return ()

    def argv(self) -> tuple[str, ...]:
        """The whole command line."""
        return ("sh", self.script, self.root, self.name, *self.words())

    def line(self, size: int, seconds: int = 0) -> bytes:
        """How it is said to the attendant: `size` bytes of input follow; an armed frontend waits for `seconds`."""
        return " ".join((str(size), str(seconds), self.name, *self.words())).encode() + b"\n"

    def lines(self, stdout: bytes, status: int | None) -> list[str]:
        """`interpret` under this command's name."""
        return interpret(self.name, stdout, status)

    def parse_nothing(self, stdout: bytes, status: int | None) -> None:
        """For commands whose whole answer is the last word."""
        if self.lines(stdout, status):
            raise unintelligible(self.name, stdout, status)


@dataclass(frozen=True, slots=True)
class Init(Command):
    """Make the tree; harmless where it is there."""

    attended: ClassVar[bool] = True
    parse = Command.parse_nothing


@dataclass(frozen=True, slots=True)
class Probed:
    """What a frontend says of itself. `clock` is its time of day in seconds, `free` bytes on its disk.

    `drain` is the number of the drain that it is in, 0 where it is in none that has a number. `missing` are the
    objects and releases (``<app>/<digest>``) that it lacks of what it was asked for.
    """

    script: str
    fence: int
    current: ActivationName
    drained: bool
    drain: int
    free: int
    clock: float
    activations: frozenset[str] = field(default_factory=frozenset)
    releases: frozenset[str] = field(default_factory=frozenset)
    ahead: frozenset[str] = field(default_factory=frozenset)
    missing: frozenset[str] = field(default_factory=frozenset)


SINGLE: Mapping[str, re.Pattern[str]] = {
    "script": SHA256,
    "fence": EPOCH,
    "current": ACTIVATION,
    "drained": re.compile("yes|no"),
    "drain": EPOCH,
    "free": re.compile("[0-9]{1,20}"),
    "clock": CLOCK,
}
SEVERAL: Mapping[str, re.Pattern[str]] = {"activation": ACTIVATION, "release": RELEASE, "ahead": ACTIVATION}
MISSING: Mapping[str, re.Pattern[str]] = {"missing": re.compile(f"{SHA256.pattern}|{RELEASE.pattern}")}


def read_state(
    command: Command,
    single: Mapping[str, re.Pattern[str]],
    stdout: bytes,
    status: int | None,
    more: Mapping[str, re.Pattern[str]] = MappingProxyType({}),
) -> tuple[dict[str, str], dict[str, frozenset[str]]]:
    """A state's lines: those of `single`, each there once, of `SEVERAL` and of `more`. Every one must have its form."""
    once: dict[str, str] = {}
    often: dict[str, set[str]] = {key: set() for key in (*SEVERAL, *more)}
    patterns = {**single, **SEVERAL, **more}
    for line in command.lines(stdout, status):
        key, _, value = line.partition(" ")
        if key not in patterns or not patterns[key].fullmatch(value) or key in once:
            raise unintelligible(command.name, stdout, status)
        if key in often:
            often[key].add(value)
        else:
            once[key] = value
    contradicts = once.get("drained") == "no" and once.get("drain") != "0"
    if len(once) != len(single) or contradicts:
        raise unintelligible(command.name, stdout, status)
    return once, {key: frozenset(values) for key, values in often.items()}


@dataclass(frozen=True, slots=True)
class Probe(Command):
    """Ask for the frontend's state, and which objects and releases it lacks (`Held.wanted` on standard input)."""

    attended: ClassVar[bool] = True

    def parse(self, stdout: bytes, status: int | None) -> Probed:
        """The state; every line must have its form, and none may be missing."""
        once, often = read_state(self, SINGLE, stdout, status, MISSING)
        return Probed(
            script=once["script"],
            fence=int(once["fence"]),
            current=ActivationName.parse(once["current"]),
            drained=once["drained"] == "yes",
            drain=int(once["drain"]),
            free=int(once["free"]),
            clock=float(once["clock"]),
            activations=often["activation"],
            releases=often["release"],
            ahead=often["ahead"],
            missing=often["missing"],
        )


@dataclass(frozen=True, slots=True)
class Spoiled(Command):
    """Which of the objects (SHA-256 lines on standard input) it lacks, or has with other bytes, mode or time."""

    def parse(self, stdout: bytes, status: int | None) -> list[str]:
        """Their SHA-256, in the order asked."""
        found = []
        for line in self.lines(stdout, status):
            key, _, sha = line.partition(" ")
            if key != "missing" or not SHA256.fullmatch(sha):
                raise unintelligible(self.name, stdout, status)
            found.append(sha)
        return found


@dataclass(frozen=True, slots=True)
class OfActivation(Command):
    """A command that names an activation."""

    activation: ActivationName

    def words(self) -> tuple[str, ...]:
        """The activation."""
        return (str(self.activation),)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a frontend fetches a pack: its bytes as it travels and unpacked, the Host header if any, the URL."""

    size: int
    whole: int
    host: str | None
    url: str


@dataclass(frozen=True, slots=True)
class Receive(OfActivation):
    """Take objects in: a pack on standard input, or from `source`.

    `pack` is its form (tar, tgz), or the name under which the frontend keeps it for others.
    """

    attended: ClassVar[bool] = True
    pack: str = "tgz"
    source: Source | None = None

    def words(self) -> tuple[str, ...]:
        """The activation, the pack, and where it is."""
        source = self.source
        where = () if source is None else (str(source.size), str(source.whole), source.host or "-", source.url)
        return (str(self.activation), self.pack, *where)

    parse = Command.parse_nothing


@dataclass(frozen=True, slots=True)
class Assemble(OfActivation):
    """Build releases, look-up and the activation: a gzip tar of links on standard input."""

    attended: ClassVar[bool] = True
    parse = Command.parse_nothing


@dataclass(frozen=True, slots=True)
class Verify(OfActivation):
    """Hash the activation and its releases (``<app>/<digest>``) as they lie on the disk."""

    attended: ClassVar[bool] = True
    releases: tuple[str, ...]

    def words(self) -> tuple[str, ...]:
        """The activation and the releases."""
        return (str(self.activation), *self.releases)

    def parse(self, stdout: bytes, status: int | None) -> dict[str, str]:
        """Tree -> the SHA-256 of its listing."""
        trees: dict[str, str] = {}
        for line in self.lines(stdout, status):
            found = re.fullmatch(r"tree (\S{1,200}) ([0-9a-f]{64}) ([0-9]{1,9})", line)
            if found is None or found[1] in trees:
                raise unintelligible(self.name, stdout, status)
            trees[found[1]] = found[2]
        return trees


@dataclass(frozen=True, slots=True)
class Listing(Command):
    """What `Verify` hashed of one tree, line by line."""

    tree: str

    def words(self) -> tuple[str, ...]:
        """The tree."""
        return (self.tree,)

    def parse(self, stdout: bytes, status: int | None) -> list[str]:
        """The lines, as `orchestrator.domain.layout.Tree.listing` spells them."""
        lines = self.lines(stdout, status)
        if not all(re.fullmatch(r"entry [flo] \S+ .+", line) for line in lines):
            raise unintelligible(self.name, stdout, status)
        return [line.removeprefix("entry ") for line in lines]


@dataclass(frozen=True, slots=True)
class Arm(OfActivation):
    """Raise the fence and wait for one word, at most `limit` seconds. See `armed` for the conversation."""

    attended: ClassVar[bool] = True
    limit: int

    def line(self, size: int, seconds: int = 0) -> bytes:
        """With the same limit."""
        return super(Arm, self).line(size, seconds or self.limit)

    def argv(self) -> tuple[str, ...]:
        """Under a time limit of the frontend's own: an armed frontend that hears nothing stands down."""
        return ("timeout", str(self.limit), *super(Arm, self).argv())

    @property
    def armed(self) -> bytes:
        """The line that says that the frontend waits."""
        return f"ARMED {self.activation}\n".encode()

    @property
    def go(self) -> bytes:
        """The one word."""
        return f"GO {self.activation}\n".encode()

    def go_at(self, instant: float, linger: float) -> bytes:
        """The word with the instant to flip at, on the frontend's clock, how long to be silent after it; seconds."""
        return f"GO {self.activation} {instant:.6f} {linger * 1000:.0f}\n".encode()

    @property
    def ask_clock(self) -> bytes:
        """What the frontend answers with its clock, and goes on to wait."""
        return b"CLOCK\n"

    def parse_clock(self, line: bytes) -> float | None:
        """Its clock, None where it has none that can tell fractions, or where this is no such answer."""
        found = TOLD_CLOCK.fullmatch(line.decode("utf-8", "replace").removesuffix("\n"))
        return float(found[1]) or None if found else None

    def parse(self, stdout: bytes, status: int | None) -> float | None:
        """After the word: when it flipped. Clocks may come before it, told too late for whoever had asked."""
        lines = self.lines(stdout, status)
        while lines and TOLD_CLOCK.fullmatch(lines[0]):
            lines = lines[1:]
        return flipped(self, lines, stdout, status)


@dataclass(frozen=True, slots=True)
class Activate(OfActivation):
    """Flip without an armed conversation: for a frontend that missed the word after the commit."""

    def parse(self, stdout: bytes, status: int | None) -> float | None:
        """When it flipped, None where it had flipped before."""
        return flipped(self, self.lines(stdout, status), stdout, status)


def flipped(command: OfActivation, lines: list[str], stdout: bytes, status: int | None) -> float | None:
    """From ``ACTIVE <activation> <clock>``; the activation is this one or a later one. A clock of 0 is none."""
    if lines == ["STOODDOWN"]:
        raise RefusedError(f"{command.name}: stood down, because no word came in time or the channel broke")
    found = re.fullmatch(rf"ACTIVE ({ACTIVATION.pattern}) ({CLOCK.pattern})", lines[0]) if len(lines) == 1 else None
    if found is None or ActivationName.parse(found[1]).epoch < command.activation.epoch:
        raise unintelligible(command.name, stdout, status)
    return float(found[4]) or None


@dataclass(frozen=True, slots=True)
class Disarm(OfActivation):
    """Raise the fence to the epoch and remove the activation."""

    parse = Command.parse_nothing


@dataclass(frozen=True, slots=True)
class Discard(OfActivation):
    """Remove the activation, releases that nothing else uses, and objects (SHA-256 lines on standard input).

    Objects that something links to stay, unless their content has changed.
    """

    releases: tuple[str, ...] = ()

    def words(self) -> tuple[str, ...]:
        """The activation and the releases."""
        return (str(self.activation), *self.releases)

    parse = Command.parse_nothing


@dataclass(frozen=True, slots=True)
class OfDrain(OfActivation):
    """A command that names a drain by its number in the ledger: the fencing token of a frontend's rotation."""

    drain: int

    def words(self) -> tuple[str, ...]:
        """The activation and the drain."""
        return (str(self.activation), str(self.drain))


@dataclass(frozen=True, slots=True)
class Drain(OfDrain):
    """Have the health answer say that the frontend is out of rotation."""

    parse = Command.parse_nothing


@dataclass(frozen=True, slots=True)
class Readmit(OfDrain):
    """Have the health answer say that it is in rotation again; refused in a later drain, or at another activation."""

    parse = Command.parse_nothing


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much was removed."""

    activations: int
    releases: int
    objects: int


@dataclass(frozen=True, slots=True)
class Prune(OfActivation):
    """Remove activations below what is served, none of them served for `seconds`, and what only they needed."""

    seconds: int
    names: tuple[ActivationName, ...]

    def words(self) -> tuple[str, ...]:
        """The activation whose epoch counts, the time, and what is to go."""
        return (str(self.activation), str(self.seconds), *map(str, self.names))

    def parse(self, stdout: bytes, status: int | None) -> Pruned:
        """The numbers; each line once, in order."""
        lines = self.lines(stdout, status)
        kinds = ("activations", "releases", "objects")
        found = [
            re.fullmatch(rf"pruned {kind} ([0-9]{{1,10}})", line) for kind, line in zip(kinds, lines, strict=False)
        ]
        numbers = [int(match[1]) for match in found if match is not None]
        if len(numbers) != len(kinds) or len(lines) != len(kinds):
            raise unintelligible(self.name, stdout, status)
        return Pruned(*numbers)


@dataclass(frozen=True, slots=True)
class Recipe(Command):
    """Write the web server's recipe (on standard input), check and reload the web server; put back on failure."""

    check: tuple[str, ...]
    reload: tuple[str, ...]

    def words(self) -> tuple[str, ...]:
        """The two command lines, a ``--`` between them."""
        return (*self.check, "--", *self.reload)

    parse = Command.parse_nothing
