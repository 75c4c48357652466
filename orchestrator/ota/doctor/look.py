"""A look at a frontend's disk: what a worker is sent for, and what it brings back. Pure.

Both go through the broker as JSON. What comes back has been on another machine's disk: until its form is checked it
counts for nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inventory.names import is_app, is_name
from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import LockstepError, Problem, UnansweredError, UsageError
from orchestrator.domain.layout import Tree
from orchestrator.domain.release import SHA256

#: No answer is longer, in bytes: the listings of a few thousand files fit. Longer ones come as their hash alone.
LONGEST_LOOK = 4 * 1024 * 1024
#: How long a look may take, in seconds.
LONGEST_SECONDS = 3600.0
#: A tree as a frontend holds it, below its root.
TREE = re.compile(r"activations/(?:0|[1-9][0-9]{0,9})-[0-9a-f]{16}|releases/[A-Za-z][A-Za-z0-9_-]{0,62}/[0-9a-f]{64}")
#: The name under which the answers of one asking come together: nobody else can guess it.
NONCE = re.compile(r"[0-9a-f]{32}")
#: A line of a listing (docs/protocol.md, "On a frontend"): the kind, a hash or a target, a path.
_LINE = re.compile(r"(?:f [0-9a-f]{64}|[lo] \S+) .+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Errand:
    """What to look for on a frontend.

    `deployment` is the row of the ledger whose copy of the fleet says how to reach it. `known` are the hashes of the
    listings that are right: of a tree with another one, every line comes back; where `file` is given (a path of the
    release), its line alone. `seconds` bounds the look.
    """

    nonce: str
    deployment: int
    frontend: str
    app: str
    known: frozenset[str]
    file: str | None
    seconds: float

    def words(self) -> list[Any]:
        """What goes into the message."""
        return [
            self.nonce,
            self.deployment,
            self.frontend,
            self.app,
            sorted(self.known),
            self.file,
            self.seconds,
        ]

    @classmethod
    def read(cls, words: Sequence[Any]) -> Errand:
        """From a message. `UsageError` for anything else."""
        try:
            nonce, deployment, frontend, app, known, file, seconds = words
            right = (
                NONCE.fullmatch(nonce) is not None
                and type(deployment) is int
                and is_name(frontend)
                and is_app(app)
                and isinstance(known, list)
                and all(SHA256.fullmatch(digest) for digest in known)
                and (file is None or isinstance(file, str))
                and 0 < float(seconds) <= LONGEST_SECONDS
            )
        except (TypeError, ValueError) as error:
            raise UsageError("not an errand", found=f"{error}"[:200]) from error
        if not right:
            raise UsageError("not an errand", found=repr(words)[:200])
        return cls(nonce, deployment, frontend, app, frozenset(known), file, float(seconds))


@dataclass(frozen=True, slots=True)
class Seen:
    """A tree on a disk: the hash of its listing, and its lines; None where they were not asked for or are too many.

    Where the errand was for one file, `lines` is at most that file's.
    """

    digest: str
    lines: tuple[str, ...] | None = None

    @classmethod
    def of(cls, listed: Sequence[str], errand: Errand, file: str | None) -> Seen:
        """What the errand wants to know of a listing; `file` is what it looks for in this tree."""
        digest = hashlib.sha256("".join(f"{line}\n" for line in listed).encode("utf-8", "surrogateescape")).hexdigest()
        if file is not None:
            return cls(digest, tuple(line for line in listed if path_of(line) == file))
        return cls(digest, None if digest in errand.known else tuple(listed))


@dataclass(frozen=True, slots=True)
class Look:
    """What lies on a frontend's disk: its `current`, its marks, and the trees that are served there now.

    `release` is the tree of the app's release that `current` leads to, "" where there is none.
    """

    current: ActivationName
    drained: bool
    release: str = ""
    trees: Mapping[str, Seen] = field(default_factory=dict)

    def differences(self, tree: Tree) -> list[Difference] | None:
        """Where this tree differs from what it should be; None where that is not known."""
        seen = self.trees.get(tree.path)
        if seen is None:
            return None
        if seen.digest == tree.digest():
            return []
        return None if seen.lines is None else differing(tree, seen.lines)

    def sha256(self, tree: Tree, path: str) -> str | None:
        """The SHA-256 of a file of a tree on this disk; "" where there is none, None where that is not known."""
        seen = self.trees.get(tree.path)
        if seen is None:
            return None
        if seen.digest == tree.digest():
            return tree.files.get(path, "")
        return None if seen.lines is None else sha_of(seen.lines, path)


@dataclass(frozen=True, slots=True)
class Unseen:
    """Nobody could look, and why."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry of a tree: what should be there, and what is, in words."""

    path: str
    expected: str
    found: str


def differing(tree: Tree, listed: Sequence[str]) -> list[Difference]:
    """Where a listing differs from what it should be."""
    expected, found = ({path_of(line): line for line in lines} for lines in (tree.listing(), listed))
    return [
        Difference(path, _entry(expected.get(path)), _entry(found.get(path)))
        for path in sorted(expected.keys() | found.keys())
        if expected.get(path) != found.get(path)
    ]


def path_of(line: str) -> str:
    """The path in a line of a listing."""
    return line.split(" ", 2)[2]


def sha_of(lines: Sequence[str], path: str) -> str:
    """The SHA-256 that a listing gives for a file; "" where it has none of that path."""
    return next((line.split(" ", 2)[1] for line in lines if line[0] == "f" and path_of(line) == path), "")


def _entry(line: str | None) -> str:
    if line is None:
        return "nothing"
    kind, value, _ = line.split(" ", 2)
    return {"f": f"a file of SHA-256 {value}", "l": f"a link to {value}"}.get(kind, "neither a file nor a link")


def answer(frontend: str, seen: Look | Unseen) -> bytes:
    """What a worker sends back. Where it would be too long, the listings stay away."""
    written = _written(frontend, seen)
    if len(written) > LONGEST_LOOK and isinstance(seen, Look):
        bare = {path: Seen(tree.digest) for path, tree in seen.trees.items()}
        written = _written(frontend, Look(seen.current, seen.drained, seen.release, bare))
    return written


def _written(frontend: str, seen: Look | Unseen) -> bytes:
    if isinstance(seen, Unseen):
        return json.dumps({"frontend": frontend, "problem": seen.problem.as_dict()}).encode()
    trees = {path: {"digest": tree.digest, "lines": tree.lines} for path, tree in seen.trees.items()}
    document = {
        "frontend": frontend,
        "current": str(seen.current),
        "drained": seen.drained,
        "release": seen.release,
        "trees": trees,
    }
    # Escaped: a path on a disk need not be UTF-8.
    return json.dumps(document).encode()


def read_answer(body: bytes) -> tuple[str, Look | Unseen]:
    """The frontend's name, and what was seen of it. `UnansweredError` for anything that is not such an answer."""
    try:
        if len(body) > LONGEST_LOOK:
            raise ValueError(f"{len(body)} bytes")
        document = json.loads(body)
        name = document["frontend"]
        if not is_name(name):
            raise ValueError("no frontend's name")
        if "problem" in document:
            problem = document["problem"]
            if not all(isinstance(problem[key], str) for key in Problem("").as_dict()):
                raise ValueError("no problem")
            return name, Unseen(Problem(**problem))
        return name, _look(document)
    except (ValueError, KeyError, TypeError, RecursionError, LockstepError) as error:
        raise UnansweredError(
            "a look that can't be understood", expected="what a worker of this version sends", found=str(error)[:200]
        ) from error


def _look(document: Mapping[str, Any]) -> Look:
    release, drained, trees = document["release"], document["drained"], document["trees"]
    if not isinstance(drained, bool) or not (release == "" or TREE.fullmatch(release)):
        raise ValueError("no marks or no release")
    if not isinstance(trees, dict):
        raise TypeError("no trees")
    return Look(
        ActivationName.parse(document["current"]),
        drained,
        release,
        {_tree(path): _seen(tree) for path, tree in trees.items()},
    )


def _tree(path: str) -> str:
    if not TREE.fullmatch(path):
        raise ValueError("no tree")
    return path


def _seen(document: Mapping[str, Any]) -> Seen:
    digest, lines = document["digest"], document["lines"]
    if not SHA256.fullmatch(digest):
        raise ValueError("no hash of a listing")
    if lines is None:
        return Seen(digest)
    if not isinstance(lines, list) or not all(isinstance(line, str) and _LINE.fullmatch(line) for line in lines):
        raise ValueError("no listing")
    return Seen(digest, tuple(lines))
