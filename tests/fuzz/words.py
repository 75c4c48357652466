"""The words of the real script's command lines, and the lines of its input: only what has its exact form counts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from random import Random

from tests.fuzz.mutation import mutate_bytes, pick
from tests.fuzz.scripts import SHELLS, Scripts
from tests.remote.packs import activation_name, sha256
from tests.remote.test_words import BAD_ACTIVATIONS, BAD_COMMANDS, BAD_LINES, BAD_RELEASES, BAD_TREES

#: Shell, root ({top} and {root} are the ground's; None for the root itself), command, words, standard input.
Line = tuple[str, bytes | None, bytes, tuple[bytes, ...], bytes]

NAME = activation_name(5).encode()
_DIGEST = sha256(b"x").encode()
_RELEASE = b"ToDo/" + _DIGEST

_EPOCH = rb"(?:0|[1-9][0-9]{0,9})"
_ACTIVATION = _EPOCH + rb"-[0-9a-f]{16}"
_OF_APP = rb"[A-Za-z][A-Za-z0-9_-]{0,62}/[0-9a-f]{64}"
#: What may follow each command, every word behind a zero byte. Written without a look at how the script does it.
FORMS: Mapping[bytes, re.Pattern[bytes]] = {
    name: re.compile(form)
    for name, form in {
        **dict.fromkeys((b"init", b"probe"), b""),
        **dict.fromkeys((b"assemble", b"arm", b"activate", b"disarm"), rb"\0" + _ACTIVATION),
        **dict.fromkeys((b"verify", b"discard"), rb"\0" + _ACTIVATION + rb"(?:\0" + _OF_APP + rb")*"),
        **dict.fromkeys((b"drain", b"readmit"), rb"\0" + _ACTIVATION + rb"\0[1-9][0-9]{0,9}"),
        b"receive": rb"\0" + _ACTIVATION + rb"(?:\0(?:[0-9a-f]{32}\.)?(?:tar|tgz))?",
        b"listing": rb"\0(?:activations/" + _ACTIVATION + rb"|releases/" + _OF_APP + rb")",
        b"prune": rb"\0" + _ACTIVATION + rb"\0" + _EPOCH + rb"(?:\0" + _ACTIVATION + rb")*",
        b"recipe": rb"(?:\0[A-Za-z0-9@%_+=:,./-]+)*",
    }.items()
}
_ROOT = re.compile(rb"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+")
_WANTED = re.compile(
    rb"(?:(?:LINE)(?:\n(?:LINE))*)?\n*".replace(b"LINE", rb"[0-9a-f]{64}|" + _OF_APP + rb" [0-9]{1,9}")
)
_HASHES = re.compile(rb"(?:[0-9a-f]{64}(?:\n[0-9a-f]{64})*)?\n*")

_GOOD: Mapping[bytes, Sequence[bytes]] = {
    **dict.fromkeys(FORMS, (NAME,)),
    **dict.fromkeys((b"init", b"probe"), ()),
    **dict.fromkeys((b"verify", b"discard"), (NAME, _RELEASE)),
    **dict.fromkeys((b"drain", b"readmit"), (NAME, b"17")),
    b"listing": (b"activations/" + NAME,),
    b"prune": (NAME, b"0", activation_name(3).encode()),
    # Whatever comes of the words behind it, what is run is `true`.
    b"recipe": (b"true", b"-t", b"--", b"true", b"-s"),
}
_WITH_WORDS = tuple(command for command, words in _GOOD.items() if words)
_BAD = tuple(
    word if isinstance(word, bytes) else word.encode("utf-8", "surrogateescape")
    for word in (*BAD_ACTIVATIONS, *BAD_RELEASES, *BAD_TREES, *BAD_COMMANDS)
    if len(word) < 10_000
)
_ROOTS = (
    *(b"", b"/", b"//", b".", b"relative", b"-rf", b"{root}/", b"/{root}", b"{root}/.", b"{root}/..", b"{root}\n"),
    *(b"{top}/beside", b"{top}/beside/root", b"{top}/./root", b"{top}//root", b"{top}/beside/../root", b"{root} "),
    *(b"{root}*", b"{top}/$(id)", b"{top}/work/link", b"/srv/lockstep", b"{top}/roo?", b"{top}/ro[o]t"),
)


class Words(Scripts[Line]):
    """One command line of the script."""

    name = "words"
    batch = 100
    short = 500

    def make(self, random: Random) -> Line:
        shell = "bash" if random.random() < 0.02 else pick(random, SHELLS)
        command = pick(random, tuple(FORMS) if random.random() < 0.2 else _WITH_WORDS)
        words, stdin, root = list(_GOOD[command]), b"", None
        match random.randrange(16):
            case 0:
                root = pick(random, _ROOTS) if random.random() < 0.7 else mutate_bytes(random, b"/srv/lockstep")
                root = root.replace(b"\0", b"")
                # An `init` of another root would rightly make one there.
                command = b"probe" if command == b"init" else command
            case 1:
                command = pick(random, _BAD) if random.random() < 0.5 else mutate_bytes(random, command)
            case 2:
                del words[random.randrange(len(words) + 1) :]
            case 3:
                words.insert(random.randint(1, len(words)) if words else 0, pick(random, (*_BAD, b"", NAME, b"--")))
            case 4 if words and command != b"recipe":
                words[random.randrange(len(words)) :] = [pick(random, _BAD)]
            case 5 if random.random() < 0.3:
                pass
            case 6 | 7:
                command, words = (b"probe", []) if random.random() < 0.5 else (b"discard", [NAME])
                stdin = _lines(random)
            case _ if words:
                place = random.randint(1, len(words) - 1) if command == b"recipe" else random.randrange(len(words))
                words[place] = mutate_bytes(random, words[place], _BAD)
        # No command line holds a zero byte.
        return shell, root, command.replace(b"\0", b""), tuple(word.replace(b"\0", b"") for word in words), stdin

    def check(self, made: Line) -> bool:
        shell, root, command, words, stdin = made
        if root is not None:
            here = str(self.ground.root).encode()
            root = root.replace(b"{root}", here).replace(b"{top}", here.rpartition(b"/")[0])
        before = self.standing()
        answer = self.ground.run(shell, root, (command, *words), stdin)
        refused = answer.verdict == "REFUSED words"
        assert refused != _has_its_form(root, command, words, stdin), answer
        if answer.exit == 10:
            assert self.standing() == before, answer
        else:
            self.restore()
        return not refused


def _lines(random: Random) -> bytes:
    hashes = [sha256(bytes([random.randrange(4)])).encode() for _ in range(random.randrange(4))]
    good = b"".join(line + b"\n" for line in hashes)
    match random.randrange(4):
        case 0:
            return good + pick(random, BAD_LINES).encode() + b"\n"
        case 1:
            return good
        case _:
            return mutate_bytes(random, good)


def _has_its_form(root: bytes | None, command: bytes, words: Sequence[bytes], stdin: bytes) -> bool:
    if root is not None and not _ROOT.fullmatch(root):
        return False
    if command not in FORMS or not FORMS[command].fullmatch(b"".join(b"\0" + word for word in words)):
        # Where there is no tree, nothing is said of the words yet.
        return command in FORMS and root is not None
    lines = {b"probe": _WANTED, b"discard": _HASHES}.get(command)
    return root is not None or lines is None or lines.fullmatch(stdin) is not None
