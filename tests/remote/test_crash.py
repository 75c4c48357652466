"""Killed between any two steps, a command leaves a tree that serves, and the next command puts it right."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.domain.layout import Tree
from tests.remote.frontend import Frontend, check_tree
from tests.remote.packs import FILES, Stage, activation_name, objects_pack, sha256
from tests.remote.shells import PATIENCE, Shell
from tests.remote.shims import killed, recorded, shims
from workers.distribution.packs import mending_pack

OLD, NEW = Stage(3, {**FILES, "old": b"old"}), Stage(5)
NEXT = Stage(6, {**FILES, "next": b"next"})
WHOLE_OLD = mending_pack(OLD.trees, OLD.by_hash)
#: One entry in each tree.
PART_OF_OLD = mending_pack(
    [Tree(OLD.trees[0].path, {}, OLD.trees[0].links), Tree(OLD.trees[1].path, {"old": sha256(b"old")}, {})], {}
)
RECIPE = ["recipe", "true", "--", "true"]

#: What the script starts; of the attendant, see tests/remote/test_attendant_crash.py.
OF_THE_SCRIPT = pytest.mark.parametrize("shell", ["dash", "busybox"], indirect=True)


@dataclass(frozen=True)
class Crash:
    """A command, what was done before it, and what must put its remains right."""

    words: list[str]
    before: Callable[[Frontend], None]
    heal: Callable[[Frontend], None]
    stdin: bytes = b""


def serving_old(frontend: Frontend) -> None:
    frontend.make()
    frontend.stage(OLD)
    assert frontend.run("activate", OLD.activation).verdict == "OK"


def objects_of_new(frontend: Frontend) -> None:
    serving_old(frontend)
    assert frontend.run("receive", NEW.activation, stdin=NEW.objects_pack()).verdict == "OK"


def staged_new(frontend: Frontend) -> None:
    """And somebody was armed in between, whose right to flip must be gone before the fence is above it."""
    objects_of_new(frontend)
    assert frontend.run("assemble", NEW.activation, stdin=NEW.links_pack()).verdict == "OK"
    (frontend.root / "state/fence").write_text("4\n")
    (frontend.root / f"state/armed-{activation_name(4)}").symlink_to(f"activations/{activation_name(4)}")


def serving_new(frontend: Frontend) -> None:
    staged_new(frontend)
    assert frontend.run("activate", NEW.activation).verdict == "OK"


def with_recipe(frontend: Frontend) -> None:
    frontend.make()
    assert frontend.run(*RECIPE, stdin=b"# good\n").verdict == "OK"


def drained_before(frontend: Frontend) -> None:
    frontend.make()
    (frontend.root / "state/drained").write_text("6\n")


def damaged_old(frontend: Frontend) -> None:
    """What is served has lost an object, a file and a link to its release; what is ahead is whole."""
    serving_old(frontend)
    assert frontend.run("receive", NEW.activation, stdin=NEW.objects_pack()).verdict == "OK"
    assert frontend.run("assemble", NEW.activation, stdin=NEW.links_pack()).verdict == "OK"
    release, activation = (
        frontend.root / path for path in (f"releases/{OLD.release}", f"activations/{OLD.activation}")
    )
    for directory in (release, activation):
        directory.chmod(0o755)
    (release / "old").unlink()
    (frontend.root / "objects" / sha256(b"old")).unlink()
    (frontend.root / "by-hash" / next(key for key, sha in OLD.by_hash.items() if sha == sha256(b"old"))).unlink()
    (activation / "ToDo").unlink()


def damaged_old_with_objects(frontend: Frontend) -> None:
    damaged_old(frontend)
    assert frontend.run("receive", OLD.activation, stdin=OLD.objects_pack()).verdict == "OK"


def serving_new_with_next(frontend: Frontend) -> None:
    serving_new(frontend)
    frontend.stage(NEXT)


def init_again(frontend: Frontend) -> None:
    assert frontend.run("init").verdict == "OK"
    assert frontend.standing() == (0, activation_name(0), {activation_name(0)}, set(), set())


def receive_again(frontend: Frontend) -> None:
    assert frontend.run("receive", NEW.activation, stdin=NEW.objects_pack()).verdict == "OK"
    assert frontend.missing(NEW.object_lines) == []


def assemble_again(frontend: Frontend) -> None:
    assert frontend.run("assemble", NEW.activation, stdin=NEW.links_pack()).verdict == "OK"
    assert frontend.current == OLD.activation
    assert frontend.names("ahead") == {NEW.activation}
    assert frontend.has(NEW)


def activate_again(frontend: Frontend) -> None:
    assert frontend.run("activate", NEW.activation).verdict == "OK"
    assert frontend.standing() == (5, NEW.activation, {activation_name(e) for e in (0, 3, 5)}, set(), set())


def disarm_again(frontend: Frontend) -> None:
    assert frontend.run("disarm", NEW.activation).verdict == "OK"
    assert frontend.standing() == (5, OLD.activation, {activation_name(e) for e in (0, 3)}, set(), set())


def discard_again(frontend: Frontend) -> None:
    assert frontend.run("discard", OLD.activation, OLD.release, stdin=OLD.object_lines).verdict == "OK"
    assert not (frontend.root / "releases" / OLD.release).exists()
    assert len(frontend.names("objects")) == len(NEW.contents)
    assert frontend.names("by-hash") == set(NEW.by_hash)


def drain_again(frontend: Frontend) -> None:
    """At every moment the mark was there, and held one number or the other."""
    assert frontend.drained in {"6\n", "7\n"}
    assert frontend.run("drain", activation_name(0), "7").verdict == "OK"
    assert frontend.drained == "7\n"


def readmit_again(frontend: Frontend) -> None:
    assert frontend.drained in {"6\n", None}
    assert frontend.run("readmit", activation_name(0), "6").verdict == "OK"
    assert frontend.drained is None


def repair_again(frontend: Frontend) -> None:
    """Whatever is put right, what is served stays what it is, and what is ahead stays ahead and whole."""
    assert frontend.current == OLD.activation
    assert frontend.names("ahead") == {NEW.activation}
    assert frontend.has(NEW)
    frontend.stage(OLD)
    assert frontend.has(OLD)
    assert frontend.has(NEW)
    assert frontend.standing() == (3, OLD.activation, {activation_name(e) for e in (0, 3, 5)}, {NEW.activation}, set())
    assert frontend.names("incoming") == set()


def heal_again(frontend: Frontend) -> None:
    """What is served is never away for longer than it takes to rename."""
    assert frontend.current == OLD.activation
    assert frontend.run("replace", OLD.activation, "3", stdin=objects_pack(b"old")).verdict == "OK"
    assert frontend.run("mend", OLD.activation, "3", stdin=WHOLE_OLD).verdict == "OK"
    assert frontend.has(OLD)
    assert frontend.has(NEW)
    assert frontend.names("ahead") == {NEW.activation}
    assert frontend.names("incoming") == set()


def restore_again(frontend: Frontend) -> None:
    assert frontend.run("restore", OLD.activation, "5").verdict == "OK"
    assert (frontend.fence, frontend.current, frontend.armed) == (5, OLD.activation, set())


def prune_again(frontend: Frontend) -> None:
    """What is served and what is staged was never touched; and an activation is whole or gone."""
    assert frontend.has(NEW)
    assert frontend.has(NEXT)
    if OLD.activation in frontend.names("activations"):
        assert frontend.has(OLD)
    assert frontend.run("prune", NEW.activation, "0", OLD.activation).verdict == "OK"
    assert frontend.names("activations") == {activation_name(0), NEW.activation, NEXT.activation}
    kept = {f"ToDo/{path.name}" for path in (frontend.root / "releases/ToDo").iterdir()}
    assert kept == {NEW.release, NEXT.release}
    assert len(frontend.names("objects")) == len({*NEW.contents, *NEXT.contents})
    assert frontend.names("by-hash") == {*NEW.by_hash, *NEXT.by_hash}
    assert frontend.names("incoming") == set()


def fail_with_a_recipe(frontend: Frontend) -> None:
    assert frontend.run("recipe", "false", stdin=b"# bad\n").verdict == "FAILED recipe"
    assert (frontend.root / "state/nginx.conf").read_bytes() in {b"# good\n", b"# better\n"}
    assert "nginx.conf.before" not in frontend.names("state")


CRASHES: Mapping[str, Crash] = {
    "init": Crash(["init"], lambda frontend: None, init_again),
    "receive": Crash(["receive", NEW.activation], serving_old, receive_again, NEW.objects_pack()),
    "assemble": Crash(["assemble", NEW.activation], objects_of_new, assemble_again, NEW.links_pack()),
    "repair: receive": Crash(["receive", OLD.activation], damaged_old, repair_again, OLD.objects_pack()),
    "repair: assemble": Crash(["assemble", OLD.activation], damaged_old_with_objects, repair_again, OLD.links_pack()),
    "mend": Crash(["mend", OLD.activation, "3"], damaged_old_with_objects, heal_again, PART_OF_OLD),
    "restore": Crash(["restore", OLD.activation, "5"], serving_new, restore_again),
    "activate": Crash(["activate", NEW.activation], staged_new, activate_again),
    "arm": Crash(["arm", NEW.activation], staged_new, activate_again, f"GO {NEW.activation}\n".encode()),
    "disarm": Crash(["disarm", NEW.activation], staged_new, disarm_again),
    "discard": Crash(["discard", OLD.activation, OLD.release], serving_new, discard_again, OLD.object_lines),
    "drain": Crash(["drain", activation_name(0), "7"], drained_before, drain_again),
    "readmit": Crash(["readmit", activation_name(0), "6"], drained_before, readmit_again),
    "prune": Crash(["prune", NEW.activation, "0", OLD.activation], serving_new_with_next, prune_again),
    "recipe": Crash(RECIPE, with_recipe, fail_with_a_recipe, b"# better\n"),
}


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.long)], ids=["some", "any"])
@pytest.mark.parametrize("name", CRASHES)
def test_killed_before_any_process_that_it_starts(
    all_shells: dict[str, Shell], ground: Path, name: str, step: int
) -> None:
    """Before each of them, or each fourth one: not the same of them under the same shell."""
    crash = CRASHES[name]
    shells = list(all_shells.values())
    paths = [shims(ground / f"{shell.name}-shims", shell) for shell in shells]
    template = Frontend(shells[0], ground / "template")
    crash.before(template)
    turn = 1
    while True:
        frontend = Frontend(shells[turn % 3], ground / f"root{turn}")
        if template.root.exists():
            subprocess.run(["cp", "-a", template.root, frontend.root], check=True)
        if not killed(frontend, paths[turn % 3], turn, *crash.words, stdin=crash.stdin):
            break
        turn += step
        if name != "init":
            # While what is served is replaced, it is away between two renames.
            check_tree(frontend.root, served=name != "repair: assemble")
        crash.heal(frontend)
        check_tree(frontend.root)
        if name in {"receive", "assemble"}:
            assert frontend.names("incoming") == set()
    # The counting was real.
    assert turn > 4


@OF_THE_SCRIPT
def test_what_a_killed_command_started_keeps_its_scratch_until_it_has_ended(frontend: Frontend) -> None:
    other = Stage(6)
    slow = frontend.start("receive", NEW.activation)
    slow.say(NEW.objects_pack()[:20])
    scratch = frontend.wait_for_scratch()
    slow.process.kill()
    slow.process.wait(PATIENCE)
    # What unpacks the stream still waits for the rest of it.
    assert frontend.run("receive", other.activation, stdin=other.objects_pack()).verdict == "OK"
    assert frontend.names("incoming") == {scratch.name}
    lock = os.open(scratch, os.O_RDONLY)
    slow.say_all(b"")
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.close(lock)
    assert slow.rest() == b""
    assert frontend.run("receive", other.activation, stdin=other.objects_pack()).verdict == "OK"
    assert frontend.names("incoming") == set()
    check_tree(frontend.root)


def in_order(started: list[str], *wanted: str) -> None:
    """Each of `wanted` was started, one after the other."""
    rest = iter(started)
    for command in wanted:
        assert command in rest, (command, started)


@OF_THE_SCRIPT
def test_a_fence_is_on_the_disk_before_anybody_is_armed(frontend: Frontend) -> None:
    frontend.place(4, 4, {4, 5})
    armed = f"ln -s activations/{NEW.activation} ROOT/state/armed-{NEW.activation}"
    new = "ROOT/state/fence.new"
    in_order(
        recorded(frontend, "arm", NEW.activation),
        *(f"sync {new}", f"mv -fT -- {new} ROOT/state/fence", "sync ROOT/state", armed),
    )


@OF_THE_SCRIPT
def test_a_drain_and_its_end_are_on_the_disk_before_the_answer(frontend: Frontend) -> None:
    new, drained = "ROOT/state/drained.new", "ROOT/state/drained"
    started = recorded(frontend, "drain", activation_name(0), "7")
    in_order(started, f"sync {new}", f"mv -fT -- {new} {drained}", "sync ROOT/state")
    # What was written may not have got there: another command was killed right after it.
    in_order(recorded(frontend, "drain", activation_name(0), "7"), "sync ROOT/state")
    in_order(recorded(frontend, "readmit", activation_name(0), "7"), f"rm -f -- {drained}", "sync ROOT/state")


@OF_THE_SCRIPT
def test_a_fence_that_was_raised_before_a_crash_is_made_sure_of(frontend: Frontend) -> None:
    frontend.place(5, 4, {4, 5})
    in_order(recorded(frontend, "disarm", NEW.activation), "sync ROOT/state", f"rm -f -- ROOT/ahead/{NEW.activation}")


@OF_THE_SCRIPT
def test_a_flip_is_on_the_disk_before_its_marker_goes_and_before_the_answer_ends(frontend: Frontend) -> None:
    frontend.place(4, 4, {4, 5})
    flip = "mv -fT -- ROOT/state/next ROOT/current"
    started = recorded(frontend, "activate", NEW.activation)
    in_order(started, flip, "sync ROOT", f"rm -f -- ROOT/ahead/{NEW.activation}")


@OF_THE_SCRIPT
def test_objects_are_on_the_disk_before_they_get_their_names_and_a_stage_before_its_answer(frontend: Frontend) -> None:
    content = f"ROOT/incoming/{NEW.activation}/objects"
    started = recorded(frontend, "receive", NEW.activation, stdin=NEW.objects_pack())
    moved = next(command for command in started if command.startswith("mv ") and command.endswith(" ROOT/objects/"))
    in_order(started, f"sync -f {content}", moved)
    started = recorded(frontend, "assemble", NEW.activation, stdin=NEW.links_pack())
    placed = f"mv -fT -- ROOT/incoming/{NEW.activation}/tree/activation ROOT/activations/{NEW.activation}"
    in_order(started, placed, "sync -f ROOT")
