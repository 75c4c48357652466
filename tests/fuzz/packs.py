"""Packs for the real script's `receive` and `assemble`: nothing but objects and links to them, in their places."""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

from tests.fuzz.mutation import mutate_bytes, odd_text, pick
from tests.fuzz.scripts import SHELLS, Scripts
from tests.remote.frontend import check_tree, remove
from tests.remote.hostile import GOOD, HASH, KINDS, NOT_LINKS, NOT_OBJECTS, OBJECT, PLACE, SPOOFED_OWNER, STAGE, TARGET
from tests.remote.packs import Member, Stage, activation_name, content_member, object_time, tar
from tests.unit.releases.archives import BLOCK, checksums_set_right

#: Shell, command, the archive, and whether it is compressed (or was once, or never).
Pack = tuple[str, str, bytes, bool]

#: What is brought is for this epoch; that of `STAGE` is there, and served by nobody.
EPOCH = 2
_SECOND = Stage(EPOCH, {"index.html": b"second", "scripts/app.js": b"start()\n"})
_PIECES = (
    *("tree", "activation", "releases", "ToDo", "a" * 64, OBJECT, "by-hash", "a" * 22, "objects", "..", ".", "", "-"),
    *("x", "\n", "\\", " -> ", " link to ", f"objects/{OBJECT}", "current", "state", "incoming", "beside", "mine"),
    *(
        "\u00e9",
        "\udcff",
        "\x7f",
        "*",
        "'",
        f"\n-rw-r--r-- a/b 0 d t {HASH} -> objects/{OBJECT}",
        "state/fence",
        "root",
    ),
    f"\nhrw-r--r-- a/b 0 d t {PLACE}/x link to objects/{OBJECT}",
)
_PLACES = (f"{PLACE}/x", f"{PLACE}/y", "tree/activation/x", "tree/activation/x/y", HASH, OBJECT, GOOD.name, TARGET)
_TYPES = (tarfile.REGTYPE, tarfile.REGTYPE, b"V", b"S", b"L", b"K", b"x", b"g", b"N", b"7", b"\0", *KINDS)
_GOOD = {
    "receive": (GOOD, *map(content_member, (*STAGE.contents, *_SECOND.contents))),
    "assemble": tuple(_SECOND.members()),
}
_BAD = {"receive": tuple(NOT_OBJECTS), "assemble": tuple(NOT_LINKS)}
_PAX = ("path", "linkpath", "size", "mtime", "uname", "hdrcharset", "GNU.sparse.name", "GNU.sparse.map", "comment")
#: Fields of a header: where they begin and how long they are.
_FIELDS = ((0, 100), (100, 8), (124, 12), (136, 12), (156, 1), (157, 100), (257, 8), (265, 32), (345, 155), (386, 96))


class Packs(Scripts[Pack]):
    """One pack to a frontend that holds one staged release, and the objects of another."""

    name = "packs"
    batch = 50
    short = 150

    def make(self, random: Random) -> Pack:
        shell, command = pick(random, SHELLS), pick(random, ("receive", "assemble"))
        members = list(_GOOD[command])
        if random.random() < 0.3:
            del members[random.randint(0, len(members) - 1) :]
        for _ in range(0 if random.random() < 0.03 else pick(random, (1, 1, 1, 1, 1, 2, 2, 3, 4))):
            new = pick(random, _BAD[command]) if random.random() < 0.4 else _member(random)
            members.insert(random.randint(0, len(members)), new)
        raw = tar(members, pick(random, (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)))
        match random.randrange(10):
            case 0 | 1 | 2:
                raw = _with_odd_field(random, raw)
            case 3:
                raw = checksums_set_right(mutate_bytes(random, raw.rstrip(b"\0"), most=2) + bytes(1024))
            case 4:
                raw = raw[: BLOCK * random.randint(1, len(raw) // BLOCK)]
        if random.random() < 0.05:
            sent = gzip.compress(raw, 1, mtime=0)
            sent = pick(random, (mutate_bytes(random, sent), sent + sent, sent + b"x", raw[:5000], b""))
            return shell, command, sent, True
        return shell, command, raw, False

    def make_root(self) -> None:
        """A copy, because staging takes many times as long."""
        kept = self.ground.top / "kept"
        if not kept.exists():
            frontend = self.ground.frontend
            frontend.make()
            frontend.stage(STAGE)
            assert frontend.run("receive", _SECOND.activation, stdin=_SECOND.objects_pack()).verdict == "OK"
            self.ground.root.rename(kept)
        _copy(kept, self.ground.root)

    def restore(self) -> None:
        """All anew."""
        remove(self.ground.root)
        self.make_root()

    def check(self, made: Pack) -> bool:
        shell, command, data, compressed = made
        words = (command.encode(), activation_name(EPOCH).encode())
        # Most fail where the script looks them over. So that is done alone first, and all of it where they pass. An
        # attendant looks them over while it takes them.
        if self.ground.vets(shell) and not compressed and not self.ground.passes(shell, words, data):
            return False
        before = self._names()
        sent = data if compressed else gzip.compress(data, 1, mtime=0)
        answer = self.ground.run(shell, None, words, sent)
        assert self.ground.frontend.current == activation_name(0)
        assert (self.ground.root / "state/fence").read_bytes() == b"0\n"
        assert not self.ground.frontend.names("incoming")
        if answer.exit == 0:
            check_tree(self.ground.root)
            _check_names(self.ground.root)
            self.ground.check_around()
            if self._names() != before:
                self.restore()
            return True
        assert answer.verdict in {"FAILED pack", "FAILED hash", "FAILED io"}, answer
        assert self._names() == before, answer
        return False

    def _names(self) -> Sequence[object]:
        """What is in the directories whose entries come by a rename."""
        root = self.ground.root
        tops = ("objects", "by-hash", "activations", "ahead", "releases", "state", "")
        return [sorted(path.name for path in (root / top).iterdir()) for top in tops]


def _check_names(root: Path) -> None:
    """No name in a tree can pass for another path, or for another line of a listing."""
    for top in ("releases", "activations"):
        for _, directories, files in os.walk(root / top):
            for name in (*directories, *files):
                assert name.isprintable() or not name.isascii(), name
                assert "\\" not in name, name


def _copy(source: Path, to: Path) -> None:
    """A tree whose files share their inodes as those of `source` do."""
    links: dict[int, Path] = {}
    for directory, directories, files in os.walk(source):
        there = to / Path(directory).relative_to(source)
        there.mkdir()
        for name in (*directories, *files):
            path, copy = Path(directory, name), there / name
            if path.is_symlink():
                copy.symlink_to(path.readlink())
            elif path.is_file():
                inode = path.stat().st_ino
                if inode in links:
                    copy.hardlink_to(links[inode])
                else:
                    links[inode] = Path(shutil.copy2(path, copy))
    for directory, _, _ in os.walk(source, topdown=False):
        (to / Path(directory).relative_to(source)).chmod(Path(directory).stat().st_mode)


def _path(random: Random) -> str:
    match random.randrange(6):
        case 0 | 1:
            return "/".join(pick(random, _PIECES) for _ in range(random.randint(1, 5)))
        case 2:
            return "".join(pick(random, _PIECES) for _ in range(random.randint(1, 4)))
        case 3:
            return pick(random, _PLACES) + pick(random, ("", "", "/", "/..", "/x", "\n", " ", odd_text(random)))
        case _:
            return pick(random, _PLACES)


def _member(random: Random) -> Member:
    headers = {pick(random, _PAX): pick(random, (_path(random), odd_text(random), "0", "9" * 20))}
    return Member(
        name=_plain(_path(random)),
        kind=pick(random, _TYPES),
        target=_plain(pick(random, (_path(random), f"objects/{OBJECT}", "/etc/passwd", TARGET))),
        content=pick(random, (b"", b"good", STAGE.document, b"x" * 600)),
        mode=pick(random, (0, 0o444, 0o777, 0o7777)),
        time=pick(random, (0, GOOD.time, object_time(OBJECT), -1, 2**33)),
        owner=pick(random, ("", "", "root", SPOOFED_OWNER, _plain(_path(random)))),
        headers={key: _plain(value) for key, value in headers.items()} if random.random() < 0.2 else {},
    )


def _plain(text: str) -> str:
    """Without what no archive can hold: lone surrogates that stand for no byte."""
    return "".join(char for char in text if not "\ud800" <= char < "\udc80" and not "\udcff" < char <= "\udfff")


def _with_odd_field(random: Random, raw: bytes) -> bytes:
    """One field of one header is something else, its checksum right."""
    out = bytearray(raw)
    headers = [place for place in range(0, len(out), BLOCK) if out[place + 257 : place + 262] == b"ustar"]
    if not headers:
        return raw
    place, (offset, size) = pick(random, headers), pick(random, _FIELDS)
    other = pick(random, headers)
    field = pick(
        random,
        (
            out[other + offset : other + offset + size],
            _path(random).encode("utf-8", "surrogatepass")[:size].ljust(size, b"\0"),
            random.randbytes(size),
            bytes(size),
            b"\xff" * size,
            (b"7" * (size - 1)) + b"\0",
            b"\x80".ljust(size, b"\xff"),
            pick(random, _TYPES) * size,
        ),
    )
    out[place + offset : place + offset + size] = field[:size]
    return checksums_set_right(bytes(out))
