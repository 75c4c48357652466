"""Packs that lie: nothing outside the root, nothing that is served, and nothing but what a stage may bring."""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.remote.frontend import Frontend, check_tree, snapshot
from tests.remote.fuzz import FUZZ
from tests.remote.hostile import FORMS, GOOD, HASH, MEMBERS, NOT_LINKS, NOT_OBJECTS, OBJECT, PLACE, STAGE, TARGET
from tests.remote.packs import Member, activation_name, content_member, hard_link, pack, sha256, symlink, tar

#: What reads packs: GNU's tar under dash and bash, busybox' own, and the attendant itself.
EACH_TAR = pytest.mark.parametrize("shell", ["dash", "busybox", "attendant"], indirect=True)


def check_nothing_came(frontend: Frontend, command: str, sent: bytes, what: object = None) -> None:
    """The pack fails as a whole, and everything is as it was."""
    before = snapshot(frontend.root.parent)
    answer = frontend.run(command, STAGE.activation, stdin=sent)
    assert answer.verdict in {"FAILED pack", "FAILED hash", "FAILED io"}, (answer, what)
    assert snapshot(frontend.root.parent) == before, what


@EACH_TAR
def test_only_regular_files_named_by_their_hash_are_received(frontend: Frontend) -> None:
    for bad in NOT_OBJECTS:
        check_nothing_came(frontend, "receive", pack(GOOD, bad, form=tarfile.PAX_FORMAT), bad)


@EACH_TAR
def test_only_links_to_objects_and_releases_in_their_places_are_assembled(frontend: Frontend) -> None:
    frontend.run("receive", STAGE.activation, stdin=STAGE.objects_pack())
    good = STAGE.members()
    for bad in NOT_LINKS:
        check_nothing_came(frontend, "assemble", pack(*good, bad, form=tarfile.PAX_FORMAT), bad)


@EACH_TAR
def test_what_tar_puts_right_or_leaves_out_by_itself_stays_inside(frontend: Frontend) -> None:
    frontend.run("receive", STAGE.activation, stdin=STAGE.objects_pack())
    beside = snapshot(frontend.root.parent, ignored=["root"])
    label = Member(GOOD.name, b"V", time=GOOD.time)
    for bad in (label, *(Member(f"{up}{GOOD.name}", content=b"good", time=GOOD.time) for up in ("/", "../", "../../"))):
        assert frontend.run("receive", activation_name(8), stdin=pack(bad)).verdict in {"OK", "FAILED pack"}
    for bad in (
        label,
        hard_link("../tree/activation/x", OBJECT),
        hard_link("/tree/activation/x", OBJECT),
        Member(f"{PLACE}/x", tarfile.LNKTYPE, f"/objects/{OBJECT}"),
        Member(f"{PLACE}/x", tarfile.LNKTYPE, f"objects/../objects/{OBJECT}"),
        Member(f"{PLACE}/x", tarfile.LNKTYPE, f"../../objects/{OBJECT}"),
    ):
        sent = pack(*STAGE.members(), bad)
        assert frontend.run("assemble", activation_name(8), stdin=sent).verdict in {"OK", "FAILED pack", "FAILED io"}
    check_tree(frontend.root)
    assert snapshot(frontend.root.parent, ignored=["root"]) == beside


@EACH_TAR
def test_a_row_for_one_member_never_vouches_for_another(frontend: Frontend) -> None:
    frontend.run("receive", STAGE.activation, stdin=STAGE.objects_pack())
    lure = symlink("tree/activation/x", f"{TARGET}/x\n-rw-r--r-- a/b 0 d t {HASH} -> objects/{OBJECT}")
    for catch in (symlink(HASH, "/etc/passwd"), Member(HASH, content=b"x")):
        check_nothing_came(frontend, "assemble", pack(*STAGE.members(), lure, catch, form=tarfile.PAX_FORMAT))


@EACH_TAR
def test_members_that_are_there_twice_or_in_each_others_way_never_touch_an_object(frontend: Frontend) -> None:
    frontend.run("receive", STAGE.activation, stdin=pack(content_member(b"x"), *map(content_member, STAGE.contents)))
    good, twice = STAGE.members(), hard_link(f"{PLACE}/x", OBJECT)
    for epoch, more in enumerate(
        (
            (twice, twice),
            (twice, hard_link(f"{PLACE}/x", sha256(b"x"))),
            (twice, hard_link(f"{PLACE}/x/y", OBJECT)),
            (hard_link(f"{PLACE}/x/y", OBJECT), twice),
            (symlink("tree/activation/x", TARGET), hard_link("tree/activation/x/y", OBJECT)),
            (symlink("tree/activation/x", TARGET), hard_link("tree/activation/x", OBJECT)),
            (hard_link("tree/activation/x", OBJECT), symlink("tree/activation/x", TARGET)),
            (hard_link("tree/activation/x/y", OBJECT), symlink("tree/activation/x", TARGET)),
            (symlink("tree/activation/-", TARGET), hard_link("tree/activation/-/y", OBJECT)),
        ),
        start=1,
    ):
        beside = snapshot(frontend.root.parent, ignored=["root"])
        assert frontend.run("assemble", activation_name(epoch), stdin=pack(*good, *more)).verdict in {
            "OK",
            "FAILED io",
            "FAILED pack",
        }
        assert snapshot(frontend.root.parent, ignored=["root"]) == beside
        check_tree(frontend.root)
        assert frontend.names("incoming") == set()


@pytest.mark.parametrize("command", ["receive", "assemble"])
def test_what_is_no_pack_at_all_fails(frontend: Frontend, command: str) -> None:
    good = {"receive": pack(GOOD), "assemble": STAGE.links_pack()}[command]
    frontend.run("receive", STAGE.activation, stdin=STAGE.objects_pack())
    plain = gzip.decompress(good)
    for sent in (
        *(b"", b"\0", b"hello\n", os.urandom(2000), plain, good[:-1], good[:-9], good[: len(good) // 2]),
        *map(gzip.compress, (b"", b"not a tar " * 100, plain[:300], b"\xff" * 10240)),
        good[:10] + b"\xff" * 20 + good[30:],
    ):
        check_nothing_came(frontend, command, sent)


def test_a_pack_of_nothing_brings_nothing(frontend: Frontend) -> None:
    before = snapshot(frontend.root)
    assert frontend.run("receive", STAGE.activation, stdin=pack()).verdict == "OK"
    assert snapshot(frontend.root) == before


def test_modes_of_a_pack_count_for_nothing(frontend: Frontend) -> None:
    for mode in (0, 0o777, 0o7777, 0o4755):
        sent = Member(GOOD.name, content=b"good", time=GOOD.time, mode=mode)
        assert frontend.run("receive", STAGE.activation, stdin=pack(sent)).verdict == "OK"
        check_tree(frontend.root)
        (frontend.root / "objects" / GOOD.name).unlink()


@FUZZ
@given(
    command=st.sampled_from(["receive", "assemble"]),
    members=st.lists(st.one_of(MEMBERS, st.sampled_from([*STAGE.members(), GOOD])), max_size=6),
    form=FORMS,
    flips=st.one_of(st.just([]), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4)),
)
def test_whatever_is_in_a_pack_there_is_an_answer_and_nothing_else_changes(
    frontend: Frontend, command: str, members: Sequence[Member], form: int, flips: Sequence[tuple[int, int]]
) -> None:
    if not frontend.names("objects"):
        assert frontend.run("receive", STAGE.activation, stdin=STAGE.objects_pack()).verdict == "OK"
    beside = snapshot(frontend.root.parent, ignored=["root"])
    state = snapshot(frontend.root / "state")
    raw = bytearray(tar(members, form))
    for place, value in flips:
        raw[place % len(raw)] = value
    frontend.run(command, STAGE.activation, stdin=gzip.compress(bytes(raw), 1))
    check_tree(frontend.root)
    assert frontend.current == activation_name(0)
    assert frontend.names("incoming") == set()
    assert snapshot(frontend.root / "state") == state
    assert snapshot(frontend.root.parent, ignored=["root"]) == beside
