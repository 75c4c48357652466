"""init, probe, receive, assemble: what a deployment brings lies beside what is served, whole or not at all."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.domain.layout import Layout
from tests.remote.frontend import Frontend, check_tree, snapshot
from tests.remote.packs import (
    FILES,
    Stage,
    activation_name,
    content_member,
    hard_link,
    object_time,
    objects_pack,
    pack,
    sha256,
    symlink,
)
from tests.remote.shells import Shell
from workers.distribution.packs import link_pack, mending_pack, write_objects

STAGE = Stage(1)


def test_init_makes_the_tree_and_changes_nothing_where_it_is(shell: Shell, ground: Path) -> None:
    made, expected = Frontend(shell, ground / "deep/root"), Frontend(shell, ground / "expected")
    expected.make()
    assert made.run("init").lines == ["OK"]
    assert snapshot(made.root).keys() == snapshot(expected.root).keys()
    assert made.standing() == expected.standing()
    assert stat.S_IMODE((made.root / "incoming").stat().st_mode) == 0o700
    assert stat.S_IMODE((made.root / "objects").stat().st_mode) == 0o755
    made.place(fence=7, current=5, staged={7})
    before = made.standing()
    assert made.run("init").lines == ["OK"]
    assert made.standing() == before


def test_init_never_brings_a_lost_fence_back_below_what_is_there(frontend: Frontend) -> None:
    for current, staged, fence in ((0, {3, 12, 9}, 12), (20, {3}, 20), (0, set[int](), 0)):
        frontend.place(0, current, staged)
        (frontend.root / "state/fence").unlink()
        (frontend.root / "activations" / frontend.current).rmdir()
        assert frontend.run("arm", activation_name(13)).verdict == "REFUSED uninitialised"
        assert frontend.run("init").verdict == "OK"
        assert frontend.fence == fence


def test_a_current_that_got_lost_is_made_anew_and_led_where_the_fence_allows(frontend: Frontend) -> None:
    frontend.place(fence=5, current=5, staged={4, 5})
    (frontend.root / "current").unlink()
    assert frontend.run("activate", activation_name(5)).verdict == "REFUSED uninitialised"
    assert frontend.run("init").verdict == "OK"
    assert frontend.run("activate", activation_name(4)).verdict == "REFUSED fenced"
    assert frontend.run("activate", activation_name(5)).verdict == "OK"
    assert frontend.standing()[:2] == (5, activation_name(5))


def test_init_leaves_a_current_that_is_no_link_alone(frontend: Frontend) -> None:
    (frontend.root / "current").unlink()
    (frontend.root / "current").mkdir()
    assert frontend.run("init").verdict == "FAILED state"
    assert (frontend.root / "current").is_dir()


@pytest.mark.parametrize("lost", ["awk", "flock", "tar", "timeout"])
def test_init_says_which_command_is_not_installed(
    all_shells: dict[str, Shell], busybox: Path, ground: Path, lost: str
) -> None:
    commands = shutil.copytree(busybox, ground / "bin", symlinks=True)
    (commands / lost).unlink()
    shell = replace(all_shells["busybox"], path=str(commands))
    answer = shell.run(ground / "root", "init")
    assert answer.verdict == "FAILED state"
    assert answer.lines[0].split(" ")[2] == lost
    assert not (ground / "root").exists()


@pytest.mark.parametrize("content", ["", "x", "-1", "01", "1 2", "99999999999"])
def test_a_damaged_fence_stops_everything(frontend: Frontend, content: str) -> None:
    frontend.place(0, 0, {1})
    (frontend.root / "state/fence").write_text(content)
    commands = ("probe", "arm", "activate", "disarm", "discard", "receive", "assemble", "drain 1", "prune 0")
    for command, *more in map(str.split, commands):
        words = [] if command == "probe" else [activation_name(1), *more]
        assert frontend.run(command, *words).verdict == "FAILED state", command
    assert frontend.current == activation_name(0)


def test_probe_tells_all_that_is_there(frontend: Frontend) -> None:
    frontend.stage(STAGE)
    for odd in ("activations/x", f"releases/ToDo/{'A' * 64}", "releases/.x/y"):
        (frontend.root / odd).mkdir(parents=True)
    (frontend.root / "ahead/x").touch()
    (frontend.root / "state/drained").touch()
    *lines, last = frontend.run("probe").lines
    assert last == "OK"
    told = dict(line.split(" ") for line in lines[:7])
    assert told.pop("script") == sha256(frontend.shell.script.read_bytes())
    assert told.pop("clock") > "1700000000.0"
    free = os.statvfs(frontend.root)
    assert 0 < int(told.pop("free")) <= free.f_blocks * free.f_frsize
    assert told == {"fence": "0", "current": activation_name(0), "drained": "yes", "drain": "0"}
    assert lines[7:] == [
        *sorted([f"activation {activation_name(0)}", f"activation {STAGE.activation}"]),
        f"release {STAGE.release}",
        f"ahead {STAGE.activation}",
    ]


def test_missing_names_what_is_not_there_and_what_a_crash_emptied(frontend: Frontend) -> None:
    assert frontend.missing(b"") == []
    assert frontend.missing(STAGE.object_lines) == STAGE.object_lines.decode().split()
    frontend.stage(STAGE)
    assert frontend.missing(STAGE.object_lines) == []
    emptied = frontend.root / "objects" / sha256(STAGE.document)
    emptied.unlink()
    emptied.touch()
    assert frontend.missing(STAGE.object_lines) == [emptied.name]
    assert frontend.run("receive", STAGE.activation, stdin=objects_pack(STAGE.document)).verdict == "OK"
    assert emptied.read_bytes() == STAGE.document


def test_objects_come_with_the_time_that_their_hash_makes_and_keep_it(frontend: Frontend) -> None:
    frontend.stage(STAGE)
    for content in STAGE.contents:
        for path in frontend.root.rglob(sha256(content)):
            found = path.stat()
            assert (found.st_mtime, stat.S_IMODE(found.st_mode)) == (object_time(path.name), 0o444)
    # The pack of links says 0 and 0777 of them all.
    again = [hard_link(m.name, m.target.removeprefix("objects/")) for m in STAGE.members() if m.kind == tarfile.LNKTYPE]
    rude = pack(*(type(m)(m.name.replace("ToDo", "Other"), m.kind, m.target, mode=0o777) for m in again))
    assert frontend.run("assemble", Stage(2).activation, stdin=rude).verdict == "OK"
    assert (frontend.root / f"releases/Other/{STAGE.release.split('/')[1]}/index.html").stat().st_nlink == 4
    check_tree(frontend.root)


@pytest.mark.parametrize("time", [0, 1, -1, 4, 2**31])
def test_an_object_with_another_time_is_not_taken(frontend: Frontend, time: int) -> None:
    good, bad = content_member(b"good"), content_member(b"bad")
    shifted = type(bad)(bad.name, content=b"bad", time=bad.time + time if abs(time) == 1 else time)
    answer = frontend.run("receive", STAGE.activation, stdin=pack(good, shifted))
    assert answer.verdict == "FAILED pack"
    assert bad.name in answer.lines[0]
    assert not frontend.names("objects")


@pytest.mark.parametrize("place", ["first", "last"])
def test_one_wrong_hash_and_no_object_is_taken(frontend: Frontend, place: str) -> None:
    good, bad = content_member(b"good"), content_member(b"bad")
    bad = type(bad)(bad.name, content=b"worse", time=bad.time)
    members = (bad, good) if place == "first" else (good, bad)
    answer = frontend.run("receive", STAGE.activation, stdin=pack(*members))
    assert answer.verdict == "FAILED hash"
    assert not frontend.names("objects")
    assert not frontend.names("incoming")


def test_an_object_that_is_there_keeps_its_inode(frontend: Frontend) -> None:
    frontend.stage(STAGE)
    inodes = {path.name: path.stat().st_ino for path in (frontend.root / "objects").iterdir()}
    assert frontend.run("receive", Stage(2).activation, stdin=objects_pack(*STAGE.contents, b"new")).verdict == "OK"
    for name, inode in inodes.items():
        assert (frontend.root / "objects" / name).stat().st_ino == inode
    assert sha256(b"new") in frontend.names("objects")


def test_staging_twice_is_staging_once(frontend: Frontend) -> None:
    frontend.stage(STAGE)
    before = snapshot(frontend.root, ignored=["ahead"])
    frontend.stage(STAGE)
    assert snapshot(frontend.root, ignored=["ahead"]) == before
    check_tree(frontend.root)


def test_a_second_deployment_shares_files_and_releases_with_the_first(frontend: Frontend) -> None:
    stages = [STAGE, Stage(2, {**FILES, "new.txt": b"new"}), Stage(3)]
    assert stages[2].release == STAGE.release
    for stage in stages:
        frontend.stage(stage)
    assert all(map(frontend.has, stages))
    check_tree(frontend.root)


def test_what_is_staged_is_read_only_and_ahead(frontend: Frontend) -> None:
    frontend.stage(STAGE)
    assert frontend.current == activation_name(0)
    assert frontend.names("ahead") == {STAGE.activation}
    for tree in STAGE.trees:
        for path in (frontend.root / tree.path, *(frontend.root / tree.path).rglob("*")):
            if not path.is_symlink():
                assert stat.S_IMODE(path.stat().st_mode) == (0o555 if path.is_dir() else 0o444), path
    for key, name in STAGE.by_hash.items():
        assert (frontend.root / "by-hash" / key).samefile(frontend.root / "objects" / name)
    check_tree(frontend.root)


def test_a_link_to_an_object_that_is_not_there_fails_and_leaves_nothing(frontend: Frontend) -> None:
    assert frontend.run("receive", STAGE.activation, stdin=objects_pack(*STAGE.contents[1:])).verdict == "OK"
    before = snapshot(frontend.root)
    assert frontend.run("assemble", STAGE.activation, stdin=STAGE.links_pack()).verdict == "FAILED io"
    assert snapshot(frontend.root) == before


def test_a_pack_without_an_activation_fails(frontend: Frontend) -> None:
    frontend.stage(STAGE)
    links = pack(*(member for member in STAGE.members() if "/activation/" not in member.name))
    assert frontend.run("assemble", Stage(2).activation, stdin=links).verdict == "FAILED pack"
    assert frontend.run("assemble", Stage(2).activation, stdin=pack()).verdict == "FAILED pack"


def test_entries_of_a_release_at_the_root_mount_are_linked_one_by_one(frontend: Frontend) -> None:
    frontend.stage(STAGE)
    target = f"../../releases/{STAGE.release}"
    entries = [symlink(f"tree/activation/{name}", f"{target}/{name}") for name in ("images", "a b ..c")]
    assert frontend.run("assemble", Stage(2).activation, stdin=pack(*entries)).verdict == "OK"
    assert (frontend.root / "activations" / Stage(2).activation / "images/again.svg").read_bytes() == b"<svg/>\n"


def test_the_packs_that_workers_build_are_taken(frontend: Frontend, tmp_path: Path) -> None:
    for content in STAGE.contents:
        (tmp_path / sha256(content)).write_bytes(content)
    activation, release = STAGE.trees
    layout = Layout(activation, (release,), STAGE.by_hash, {})
    with (tmp_path / "pack").open("wb") as target:
        write_objects(target, layout.objects(), lambda name: (tmp_path / name).open("rb"))
    assert frontend.run("receive", STAGE.activation, stdin=(tmp_path / "pack").read_bytes()).verdict == "OK"
    assert frontend.run("assemble", STAGE.activation, stdin=link_pack(layout)).verdict == "OK"
    assert frontend.has(STAGE)
    assert frontend.run("assemble", Stage(2).activation, stdin=link_pack(layout)).verdict == "OK"


def _change_file(release: Path) -> None:
    (release / "index.html").chmod(0o644)
    (release / "index.html").write_bytes(b"<!doctype html>?")


def _replace_file(release: Path) -> None:
    (release / "index.html").unlink()
    (release / "index.html").write_bytes(b"<!doctype html>\n")


def _link_file(release: Path) -> None:
    (release / "index.html").unlink()
    (release / "index.html").symlink_to("empty")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "changed": _change_file,
    "replaced": _replace_file,
    "linked": _link_file,
    "removed": lambda release: (release / "index.html").unlink(),
    "renamed": lambda release: (release / "index.html").rename(release / "index.htm"),
    "added": lambda release: (release / "more\nindex.html").write_bytes(b"more"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_release_that_somebody_changed_is_put_right_by_the_next_stage(frontend: Frontend, damage: str) -> None:
    frontend.stage(STAGE)
    assert frontend.run("activate", STAGE.activation).verdict == "OK"
    release = frontend.root / "releases" / STAGE.release
    for directory in (release, release / "scripts"):
        directory.chmod(0o755)
    DAMAGES[damage](release)
    again = Stage(2)
    # What a worker does when `verify` finds it: the objects that were changed with it go.
    assert frontend.run("discard", again.activation, stdin=again.object_lines).verdict == "OK"

    frontend.stage(again)

    assert frontend.has(again)
    assert list((frontend.root / "incoming").iterdir()) == []
    check_tree(frontend.root)


@pytest.mark.parametrize("shell", ["dash", "busybox"], indirect=True)
def test_the_script_alone_stages_without_perl(frontend: Frontend, tmp_path: Path) -> None:
    started = tmp_path / "started"
    (tmp_path / "perl").write_text(f"#!/bin/sh\ntouch {started}\nexit 1\n")
    (tmp_path / "perl").chmod(0o755)
    shell = replace(frontend.shell, path=f"{tmp_path}:{frontend.shell.path}")
    replace(frontend, shell=shell).serve(STAGE, Stage(2))
    assert frontend.has(Stage(2))
    assert not started.exists()
    check_tree(frontend.root)


def test_a_release_that_is_whole_stays_where_it_is(frontend: Frontend) -> None:
    frontend.stage(STAGE)
    before = (frontend.root / "releases" / STAGE.release).stat()
    frontend.stage(Stage(2))
    after = (frontend.root / "releases" / STAGE.release).stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account; anybody else tests it everywhere")
def test_an_account_without_rights_stages_flips_and_removes(shell: Shell, ground: Path) -> None:
    nobody = 65534
    root = ground / "root"
    root.mkdir()
    os.chown(root, nobody, nobody)

    def run(*words: str, stdin: bytes = b"") -> str:
        return shell.run(root, *words, stdin=stdin, user=nobody).verdict

    assert run("init") == "OK"
    for epoch in (1, 2):
        stage = Stage(epoch, {**FILES, "epoch": str(epoch).encode()})
        assert run("receive", stage.activation, stdin=stage.objects_pack()) == "OK"
        for again in range(epoch):
            assert run("assemble", stage.activation, stdin=stage.links_pack()) == "OK", again
        assert run("arm", stage.activation, stdin=f"GO {stage.activation}\n".encode()) == "OK"
    assert run("disarm", activation_name(2)) == "REFUSED current"
    second = Stage(2, {**FILES, "epoch": b"2"})
    shutil.rmtree(root / "releases" / second.release / "scripts")
    assert run("mend", second.activation, "2", stdin=mending_pack(second.trees, second.by_hash)) == "OK"
    assert (root / "releases" / second.release / "scripts/app.js").exists()
    first = Stage(1, {**FILES, "epoch": b"1"})
    assert run("discard", first.activation, first.release, stdin=first.object_lines) == "OK"
    assert not (root / "releases" / first.release).exists()
    third = Stage(3)
    assert run("assemble", third.activation, stdin=third.links_pack()) == "FAILED io"
    assert run("receive", third.activation, stdin=third.objects_pack()) == "OK"
    assert run("assemble", third.activation, stdin=third.links_pack()) == "OK"
    assert run("disarm", third.activation) == "OK"
    assert not list((root / "incoming").iterdir())
    check_tree(root)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another account")
def test_where_links_of_the_armed_can_not_be_seen_the_fence_is_not_raised(shell: Shell, ground: Path) -> None:
    """One that stayed could flip below it."""
    nobody = 65534
    frontend = Frontend(shell, ground / "root")
    frontend.make()
    frontend.place(fence=5, current=0, staged={5, 6}, armed={5})
    for path in (frontend.root, *frontend.root.rglob("*")):
        os.chown(path, nobody, nobody, follow_symlinks=False)
    (frontend.root / "state").chmod(0o311)
    for command in ("arm", "disarm"):
        answer = shell.run(frontend.root, command, activation_name(6), user=nobody)
        assert answer.verdict == "FAILED state", command
        assert (frontend.fence, frontend.armed) == (5, {activation_name(5)})
