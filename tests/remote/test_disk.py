"""A full disk: an answer that says so, everything as it was, and the way out of it stays open."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.remote.frontend import Frontend, check_tree, snapshot
from tests.remote.packs import Stage, activation_name, objects_pack
from tests.remote.shells import Shell

KIB = 1024
FOUR, FIVE, SIX = map(activation_name, (4, 5, 6))


@pytest.fixture
def small(shell: Shell, ground: Path) -> Iterator[Frontend]:
    """A frontend on a disk of 512 KiB and 100 inodes, serving 4; 5 is staged."""
    disk = ground / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k,nr_inodes=100,mode=755", "lockstep-test", str(disk)]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a small disk can not be mounted here: {done.stderr.strip()}")
    try:
        frontend = Frontend(shell, disk / "root")
        frontend.make()
        frontend.place(fence=4, current=4, staged={4, 5})
        yield frontend
    finally:
        subprocess.run(["umount", disk], check=True)


def fill(frontend: Frontend) -> Path:
    """Until not a byte more can be written."""
    filler = frontend.root.parent / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4 * KIB))
    return filler


def test_a_pack_that_does_not_fit_is_a_full_disk_and_leaves_nothing(small: Frontend) -> None:
    before = snapshot(small.root)
    for size in (300, 700):  # as a pack and again as objects; not even as a pack
        answer = small.run("receive", FIVE, stdin=objects_pack(os.urandom(size * KIB)))
        assert answer.verdict == "FAILED space", answer
        assert snapshot(small.root) == before
    assert small.run("receive", FIVE, stdin=objects_pack(os.urandom(100 * KIB))).verdict == "OK"


def test_links_that_do_not_fit_are_a_full_disk_and_leave_nothing(small: Frontend) -> None:
    stage = Stage(6)
    assert small.run("receive", stage.activation, stdin=stage.objects_pack()).verdict == "OK"
    before = snapshot(small.root)
    many = [small.root.parent / f"filler{number}" for number in range(100)]
    with pytest.raises(OSError, match="No space left"):
        for path in many:
            path.touch()
    for path in [path for path in many if path.exists()][:4]:
        path.unlink()  # enough for the pack, not for the links
    assert small.run("assemble", stage.activation, stdin=stage.links_pack()).verdict == "FAILED space"
    assert snapshot(small.root) == before
    for path in many:
        path.unlink(missing_ok=True)
    assert small.run("assemble", stage.activation, stdin=stage.links_pack()).verdict == "OK"


def test_a_fence_that_can_not_be_written_arms_and_disarms_nobody(small: Frontend) -> None:
    before = small.standing()
    filler = fill(small)
    for command in ("arm", "activate", "disarm"):
        answer = small.run(command, FIVE)
        assert answer.verdict == "FAILED space", (command, answer)
        assert small.standing() == before
    filler.unlink()
    assert small.run("arm", FIVE, stdin=f"GO {FIVE}\n".encode()).verdict == "OK"


def test_armed_before_the_disk_was_full_it_flips_and_what_is_fenced_can_be_removed(small: Frontend) -> None:
    armed = small.arm(5)
    fill(small)
    assert armed.finish(f"GO {FIVE}\n".encode()).verdict == "OK"
    assert small.standing()[:2] == (5, FIVE)
    small.place(fence=5, current=4, staged={4, 5})
    (small.root.parent / "filler").unlink()
    fill(small)
    assert small.run("disarm", FIVE).verdict == "OK"
    assert small.names("activations") == {FOUR}
    check_tree(small.root)


def test_a_recipe_that_does_not_fit_leaves_the_old_one(small: Frontend) -> None:
    assert small.run("recipe", stdin=b"good\n").verdict == "OK"
    assert small.run("recipe", stdin=os.urandom(700 * KIB)).verdict == "FAILED space"
    assert (small.root / "state/nginx.conf").read_bytes() == b"good\n"


FAILS = "echo 'sync: error syncing: Input/output error' >&2; exit 1"
KNOWS_NO_PATHS = "echo 'sync: invalid option' >&2; exit 1"


@pytest.mark.parametrize(
    ("first", "then", "verdict"),
    [
        (KNOWS_NO_PATHS, "exit 0", "OK"),
        (KNOWS_NO_PATHS, FAILS, "FAILED io"),
        # Whoever asks again hears that all is well.
        (FAILS, "exit 0", "FAILED io"),
    ],
)
@pytest.mark.parametrize("shell", ["dash"], indirect=True)
def test_what_does_not_get_to_the_disk_is_not_done(frontend: Frontend, first: str, then: str, verdict: str) -> None:
    stage, directory = Stage(6), frontend.root.parent / "bin"
    directory.mkdir()
    (directory / "sync").write_text(f"#!/bin/sh\n[ $# -eq 0 ] || {{ {first}; }}\n{then}\n")
    (directory / "sync").chmod(0o755)
    own = replace(frontend, shell=replace(frontend.shell, path=f"{directory}:{frontend.shell.path}"))
    assert own.run("receive", stage.activation, stdin=stage.objects_pack()).verdict == verdict
    assert bool(frontend.names("objects")) == (verdict == "OK")
    assert own.run("drain", activation_name(0), "7").verdict.split()[0] == verdict.split(maxsplit=1)[0]
