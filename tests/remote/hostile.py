"""Members that no pack may hold, and a supply of more."""

from __future__ import annotations

import tarfile

from hypothesis import strategies as st

from tests.remote.packs import Member, Stage, content_member, hard_link, object_time, sha256, symlink

STAGE = Stage(1)
GOOD = content_member(b"good")
OBJECT = sha256(STAGE.document)
PLACE = f"tree/releases/ToDo/{'a' * 64}"
TARGET = f"../../releases/ToDo/{'a' * 64}"
HASH = f"tree/by-hash/{'a' * 22}"
#: Links, devices, a directory, a pipe, a continued file, a dump's directory, and a type that there is not.
KINDS = [
    *(tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE),
    *(b"M", b"D", b"Z"),
]
SPOOFED_OWNER = f"a 1 b c {PLACE}/x link to objects/{OBJECT}\nhrw-r--r-- a"

_NOT_NAMES = [
    *(f"./{GOOD.name}", f"x/{GOOD.name}", f"{GOOD.name}/x", f"{GOOD.name}\n", f"{GOOD.name} ", f"{GOOD.name}0"),
    *(GOOD.name[:-1], GOOD.name.upper(), "..", "/etc/passwd", "../../../beside/mine", "a" * 300, f"{'d/' * 400}x"),
    *("x\ny", "x\\y", "\udcff\udcfe"),
    f"{GOOD.name}\n-rw-r--r-- a/../../../../beside/x 1 d t {GOOD.name}",
]
NOT_OBJECTS = [
    *(Member(GOOD.name, kind, "/etc/passwd", time=GOOD.time) for kind in KINDS),
    *(Member(name, content=b"good", time=GOOD.time) for name in _NOT_NAMES),
    Member(GOOD.name, content=b"good", time=GOOD.time, owner=f"root 0 1970 00:00 {GOOD.name}\n-rw-r--r-- a"),
    Member(GOOD.name, content=b"evil", time=GOOD.time),
]

_NOT_TARGETS = [
    *("", "objects", "objects/", f"objects/{OBJECT[:-1]}", f"objects/{OBJECT}0", f"objects/{OBJECT.upper()}"),
    *(f"./objects/{OBJECT}", f"x/objects/{OBJECT}", f"objects/{OBJECT}\n", f"y link to objects/{OBJECT}"),
    *(f"y -> objects/{OBJECT}", "../../current", "../../state/fence", "/etc/passwd"),
]
_NOT_PLACES = [
    *("x", "/tree/activation/x/", "tree/x", "tree/releases/x", "tree/releases/ToDo/x", "tree/activation/../../../x"),
    *(PLACE, f"tree/releases/To.Do/{'a' * 64}/x", f"tree/releases/ToDo/{'a' * 63}/x", "tree/activation/.."),
    *(f"{PLACE}/../x", f"{PLACE}/./x", f"{PLACE}//x", f"{PLACE}/x/..", f"{PLACE}/x/.", f"{PLACE}/q -> ../../../y"),
    *("tree/by-hash/x", f"{HASH}a", f"tree/by-hash/{'a' * 20}/b", f"tree/by-hash/{'-' * 22}"),
    *("objects/x", f"objects/{OBJECT}", "pack.tar"),
    *(f"{PLACE}/x{odd}" for odd in ("\ny", "\n", "\n\n", "\ty", "\x7fy", "\\y", "\\n", "\x1b[2J")),
    f"{PLACE}/x -> objects/{OBJECT}\n-rw-r--r-- a/b 0 d t {PLACE}/y",
]
_NOT_RELEASES = [
    *("/etc", "../../../beside", "../../releases", f"../../releases/../ToDo/{'a' * 64}"),
    *(f"{TARGET}{odd}" for odd in ("/..", "/.", "/", "/x/y", "/x\ny", "\n", "/x\\y")),
    # Two rows for one member, so that the second passes for that of the next one.
    f"{TARGET}\n-rw-r--r-- a/b 0 d t {HASH} -> objects/{OBJECT}",
]
_NOT_ENTRIES = [
    *("tree/activation/x/y", "tree/activation/..", "tree/activation", "tree/activation/x -> ../../releases/y"),
    *(f"{PLACE}/x", HASH, "tree/releases"),
]
NOT_LINKS = [
    *(Member(f"{PLACE}/x", kind, "/etc/passwd") for kind in (tarfile.REGTYPE, *KINDS)),
    *(Member(name, content=b"content of its own") for name in (HASH, "tree/activation/x", f"{PLACE}/x")),
    *(Member(f"{PLACE}/x", tarfile.LNKTYPE, target) for target in _NOT_TARGETS),
    *(hard_link(name, OBJECT) for name in _NOT_PLACES),
    *(symlink("tree/activation/x", target) for target in _NOT_RELEASES),
    *(symlink(name, TARGET) for name in _NOT_ENTRIES),
    Member(f"{PLACE}/x", tarfile.SYMTYPE, "/etc/passwd", owner=SPOOFED_OWNER),
    Member(HASH, tarfile.SYMTYPE, "/etc", owner=f"a 0 d t {HASH} link to objects/{OBJECT}\nl"),
]

_PIECES = st.sampled_from(
    [
        *(
            "tree",
            "activation",
            "releases",
            "ToDo",
            "a" * 64,
            OBJECT,
            "by-hash",
            "a" * 22,
            "objects",
            "..",
            ".",
            "",
            "-",
        ),
        *("x", "\n", "\\", " -> ", " link to ", f"objects/{OBJECT}", "current", "state", "incoming", "beside", "mine"),
        *("\u00e9", "\udcff", "\x7f", "*", "'", f"\n-rw-r--r-- a/b 0 d t {HASH} -> objects/{OBJECT}"),
        f"\nhrw-r--r-- a/b 0 d t {PLACE}/x link to objects/{OBJECT}",
    ]
)
_PATHS = st.one_of(
    st.lists(_PIECES, min_size=1, max_size=5).map("/".join),
    st.lists(_PIECES, min_size=1, max_size=4).map("".join),
    st.sampled_from([f"{PLACE}/x", "tree/activation/x", HASH, OBJECT, GOOD.name, TARGET]),
)
MEMBERS = st.builds(
    Member,
    name=_PATHS,
    kind=st.sampled_from([tarfile.REGTYPE, b"V", *KINDS]),
    target=st.one_of(_PATHS, st.just(f"objects/{OBJECT}"), st.just("/etc/passwd")),
    content=st.sampled_from([b"", b"good", STAGE.document]),
    mode=st.sampled_from([0, 0o444, 0o777, 0o7777]),
    time=st.sampled_from([0, GOOD.time, object_time(OBJECT), -1, 2**33]),
    owner=st.one_of(st.just(""), st.text("ab /\n-", max_size=12), st.just(SPOOFED_OWNER)),
)
FORMS = st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
