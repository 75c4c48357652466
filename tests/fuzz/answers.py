"""What the frontend's script answers: every command's `parse`, and the listing that is held against a tree."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import LockstepError, RefusedError, UnansweredError
from orchestrator.domain.layout import Tree
from tests.fuzz.mutation import mutate_bytes, pick
from tests.fuzz.target import Target
from workers.frontend import commands as c
from workers.frontend.answers import ScriptRefusedError
from workers.frontend.disk import differing
from workers.frontend.healing import Mend, Remove, Replace, Restore
from workers.frontend.inspection import BY_HASH, Inspect, Inspected
from workers.frontend.survey import Survey, Surveyed

#: The command's name, standard output, exit status.
Said = tuple[str, bytes, int | None]

ROOT = "/srv/lockstep"
NAME = ActivationName(7, "00112233445566aa")
SHA = "ab" * 32
_RELEASE = f"ToDo/{SHA}"
_TREE = Tree(
    f"releases/{_RELEASE}", {"index.html": SHA, "js/a b.js": "cd" * 32}, {"ToDo": f"../../releases/{_RELEASE}"}
)

#: Each command with the lines of a good answer.
COMMANDS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "init": (c.Init(ROOT), ("OK",)),
    "probe": (
        c.Probe(ROOT),
        (
            *(f"script {SHA}", "fence 7", f"current {NAME}", "drained yes", "drain 3", "free 123456789"),
            *("clock 1700000000.123456789", f"activation {NAME}", f"activation 0-{'0' * 16}", f"release {_RELEASE}"),
            *(f"ahead 8-{'a' * 16}", "OK"),
        ),
    ),
    "survey": (
        Survey(ROOT, "0f" * 8),
        (
            *(f"script {SHA}", "fence -", "current -", "drained no", "drain 0", "free 123456789", "clock 0"),
            *(
                f"place {'0f' * 8}",
                f"recipe {SHA}",
                "options --root /srv/lockstep",
                f"activation {NAME}",
                f"release {_RELEASE}",
                "OK",
            ),
        ),
    ),
    "spoiled": (c.Spoiled(ROOT), (f"missing {SHA}", f"missing {'cd' * 32}", "OK")),
    "replace": (Replace(ROOT, NAME, 9), ("OK",)),
    "mend": (Mend(ROOT, NAME, 9), ("OK",)),
    "remove": (Remove(ROOT, NAME, 9), ("OK",)),
    "restore": (Restore(ROOT, NAME, 9), (f"ACTIVE {NAME} 1700000000.5", "OK")),
    "receive": (c.Receive(ROOT, NAME), ("OK",)),
    "assemble": (c.Assemble(ROOT, NAME), ("OK",)),
    "verify": (
        c.Verify(ROOT, NAME, (_RELEASE,)),
        (f"tree activations/{NAME} {SHA} 4", f"tree releases/{_RELEASE} {'cd' * 32} 100", "OK"),
    ),
    "listing": (c.Listing(ROOT, _TREE.path), (*(f"entry {line}" for line in _TREE.listing()), "OK")),
    "inspect": (
        Inspect(ROOT, False, (_TREE.path, f"activations/{NAME}", BY_HASH)),
        (
            *(f"tree {_TREE.path}", f"f 0444 {SHA} index.html", "f 4755 - js/a b.js", "l ../../releases/x y\tToDo"),
            *("o fifo here", "o name line\\end", f"gone activations/{NAME}", "tree by-hash"),
            *(f"l ../objects/{SHA}\tCAFEcafeCAFEcafeCAFE01", "o unreadable x", "hashed 1 12", "OK"),
        ),
    ),
    "arm": (c.Arm(ROOT, NAME, 40), (f"ACTIVE {NAME} 1700000000.123456789", "OK")),
    "activate": (c.Activate(ROOT, NAME), (f"ACTIVE {NAME} 0", "OK")),
    "disarm": (c.Disarm(ROOT, NAME), ("OK",)),
    "discard": (c.Discard(ROOT, NAME, (_RELEASE,)), ("OK",)),
    "drain": (c.Drain(ROOT, NAME, 17), ("OK",)),
    "readmit": (c.Readmit(ROOT, NAME, 17), ("OK",)),
    "prune": (
        c.Prune(ROOT, NAME, 60, (ActivationName(3, "a" * 16),)),
        ("pruned activations 1", "pruned releases 2", "pruned objects 345", "OK"),
    ),
    "recipe": (c.Recipe(ROOT, ("nginx", "-t"), ("nginx", "-s", "reload")), ("OK",)),
}
_WEIGHTED = (
    *COMMANDS,
    *("probe", "verify", "listing", "arm", "activate", "prune", "inspect", "survey", "restore") * 3,
)
_REFUSALS = (
    *("REFUSED fenced epoch 7 is below the fence 9", "REFUSED busy another command", "REFUSED words no", "STOODDOWN"),
    *("FAILED io no space", "FAILED pack", "REFUSED", "REFUSED  x", "FAILED hash \x1b[2J", "REFUSED unstaged x\u2028y"),
)
_PIECES = tuple(
    piece.encode()
    for piece in (
        *("OK\n", "OK", "\nOK\n", "REFUSED fenced x\n", "FAILED io x\n", "STOODDOWN\n", f"ACTIVE {NAME} 1.5\n"),
        *(
            "fence ",
            "current ",
            "drained ",
            "drain ",
            "clock ",
            f"activation {NAME}\n",
            "entry f ",
            "tree ",
            "missing ",
        ),
        *(SHA, SHA.upper(), str(NAME), _RELEASE, " -> ", "  ", "\x0b", "\x1c", "\u0665", "\u2028", "1e5", "-1", "007"),
    )
)
_PLAIN = re.compile(rb"[a-zA-Z0-9/._+ >-]*")


class Answers(Target[Said]):
    """The answer to one command."""

    name = "answers"
    short = 1500

    def make(self, random: Random) -> Said:
        name = pick(random, _WEIGHTED)
        lines = pick(random, _REFUSALS).split("\n") if random.random() < 0.1 else list(COMMANDS[name][1])
        said = "".join(f"{line}\n" for line in lines).encode()
        if random.random() < 0.9:
            said = mutate_bytes(random, said, _PIECES)
        code = {b"R": 10, b"F": 11}.get(said[:1], 0)
        status = code if random.random() < 0.8 else pick(random, (None, 0, 1, 10, 11, 126, 127, 255, -1, 2**31))
        return name, said, status

    def check(self, made: Said) -> bool:
        name, said, status = made
        command = COMMANDS[name][0]
        try:
            parsed = command.parse(said, status)
        except LockstepError as error:
            _check_error(error, said, status)
            return False
        # Nothing is a success but the word.
        assert status == 0
        assert said.endswith(b"OK\n")
        _CHECKS.get(name, _check_nothing)(parsed, said)
        return True


def _check_error(error: LockstepError, said: bytes, status: int | None) -> None:
    assert type(error) in (RefusedError, ScriptRefusedError, UnansweredError), type(error)
    text = str(error)
    text.encode()
    assert all(line.isprintable() for line in text.split("\n")), text
    assert len(text) < 2000
    if isinstance(error, ScriptRefusedError):
        assert status in (10, 11)
        assert re.fullmatch("[a-z]{1,20}", error.code)
    if isinstance(error, RefusedError) and not isinstance(error, ScriptRefusedError):
        assert said == b"STOODDOWN\nOK\n"


def _check_nothing(parsed: Any, said: bytes) -> None:
    assert parsed is None
    assert said == b"OK\n", said


def _check_plain(said: bytes) -> None:
    assert all(_PLAIN.fullmatch(line) for line in said.split(b"\n")), said


def _check_probed(probed: c.Probed, said: bytes) -> None:
    _check_plain(said)
    assert said.count(b"\n") >= 8
    assert re.fullmatch("[0-9a-f]{64}", probed.script)
    assert 0 <= probed.fence < 10**10
    assert 0 <= probed.drain < 10**10
    assert 0 <= probed.free < 10**20
    assert math.isfinite(probed.clock)
    assert probed.clock >= 0
    for name in (*probed.activations, *probed.ahead, str(probed.current)):
        assert str(ActivationName.parse(name)) == name


def _check_surveyed(surveyed: Surveyed, said: bytes) -> None:
    assert said.count(b"\n") >= 10
    assert surveyed.fence is None or 0 <= surveyed.fence < 10**10
    assert math.isfinite(surveyed.clock)
    assert re.fullmatch("[0-9a-f]{64}|", surveyed.recipe)
    assert re.fullmatch("[ -~]{0,2000}", surveyed.options)
    for name in (*surveyed.activations, *surveyed.ahead, surveyed.current or str(NAME)):
        assert str(ActivationName.parse(name)) == name


def _check_restored(at: float | None, said: bytes) -> None:
    _check_flip(at, said)
    assert said.startswith(f"ACTIVE {NAME} ".encode())


def _check_hashes(missing: list[str], said: bytes) -> None:
    assert said == b"".join(f"missing {sha}\n".encode() for sha in missing) + b"OK\n"
    assert all(re.fullmatch("[0-9a-f]{64}", sha) for sha in missing)


def _check_trees(trees: Mapping[str, str], said: bytes) -> None:
    assert said.count(b"\n") == len(trees) + 1
    assert all(re.fullmatch("[0-9a-f]{64}", sha) for sha in trees.values())


def _check_listing(lines: list[str], said: bytes) -> None:
    assert said.count(b"\n") == len(lines) + 1
    shown = list(differing(_TREE, lines))
    # Where nothing of the tree differs, all of it was listed. A path that comes twice is no difference, but no success
    # either: the digests differ then.
    assert shown or set(_TREE.listing()) <= set(lines)
    for row in shown:
        assert all(text.isprintable() for text in row), row


def _check_inspected(inspected: Inspected, said: bytes) -> None:
    seen = [tree for tree in inspected.trees.values() if tree is not None]
    entries = [path for tree in seen for paths in (tree.files, tree.links, tree.others) for path in paths]
    assert said.count(b"\n") == len(inspected.trees) + len(entries) + 2
    assert tuple(inspected.trees) == COMMANDS["inspect"][0].trees
    assert not any(path.startswith("/") or ".." in path.split("/") for path in entries), entries
    hashes = {file.sha256 for tree in seen for file in tree.files.values()}
    assert all(re.fullmatch("[0-9a-f]{64}|", sha) for sha in hashes), hashes
    assert 0 <= inspected.hashed_files <= len(entries)


def _check_flip(at: float | None, said: bytes) -> None:
    assert at is None or (math.isfinite(at) and 0 < at < 10**12)
    found = re.fullmatch(rb"ACTIVE ([0-9]{1,10})-[0-9a-f]{16} [0-9.]{1,22}\nOK\n", said)
    assert found is not None
    assert int(found[1]) >= NAME.epoch


def _check_pruned(pruned: c.Pruned, said: bytes) -> None:
    _check_plain(said)
    assert said.count(b"\n") == 4
    assert min(pruned.activations, pruned.releases, pruned.objects) >= 0


_CHECKS: Mapping[str, Callable[[Any, bytes], None]] = {
    "probe": _check_probed,
    "survey": _check_surveyed,
    "restore": _check_restored,
    "spoiled": _check_hashes,
    "verify": _check_trees,
    "listing": _check_listing,
    "inspect": _check_inspected,
    "arm": _check_flip,
    "activate": _check_flip,
    "prune": _check_pruned,
}
