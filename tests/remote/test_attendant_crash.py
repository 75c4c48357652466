"""The attendant, killed or failing at any change: a tree that serves, and the next command puts it right."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.remote.attended import Attendant
from tests.remote.frontend import Frontend, check_tree
from tests.remote.packs import activation_name
from tests.remote.shells import PATIENCE, Shell, attendant, attended_answer
from tests.remote.test_crash import CRASHES, NEW, in_order, init_again
from tests.remote.traces import strace, struck, traced, turns

pytestmark = pytest.mark.skipif(strace() is None, reason="strace is not installed, or this account may not use it")

ATTENDED = ("receive", "assemble", "repair: receive", "repair: assemble", "arm")
#: Each fifth change, and where there is time each; how many there are at least.
STEPS = pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.long)], ids=["some", "any"])
FEW = 7


@pytest.fixture
def attended(all_shells: dict[str, Shell]) -> Shell:
    """One that ends where it finds the lock held: nobody else is there."""
    return replace(attendant(all_shells["dash"].script), more={"LOCKSTEP_LOCK_WAIT": "0"})


def copy(template: Frontend, root: Path, shell: Shell) -> Frontend:
    subprocess.run(["cp", "-a", template.root, root], check=True)
    return Frontend(shell, root)


def put_right(frontend: Frontend, name: str, by: Shell) -> None:
    crash = CRASHES[name]
    # While what is served is replaced, it is away between two renames.
    check_tree(frontend.root, served=name != "repair: assemble")
    crash.heal(replace(frontend, shell=by))
    check_tree(frontend.root)
    if name in {"receive", "assemble"}:
        assert frontend.names("incoming") == set()


@STEPS
@pytest.mark.parametrize("name", ATTENDED)
def test_killed_at_any_change(
    attended: Shell, all_shells: dict[str, Shell], ground: Path, name: str, step: int
) -> None:
    """The next command is the attendant's, or the script's."""
    crash = CRASHES[name]
    template = Frontend(attended, ground / "template")
    crash.before(template)
    made = traced(copy(template, ground / "counted", attended), *crash.words, stdin=crash.stdin)
    every, healers = turns(made, written=True), (attended, all_shells["dash"])
    assert len(every) > FEW
    for number, turn in enumerate(every[:: 1 if name == "arm" else step]):
        frontend = copy(template, ground / f"root{number}", attended)
        done = struck(frontend, turn, "signal=SIGKILL", *crash.words, stdin=crash.stdin)
        assert done.returncode == -signal.SIGKILL, (turn, done)
        assert b"\nOK\n" not in done.stdout
        put_right(frontend, name, healers[number % 2])


@pytest.mark.parametrize("how", ["signal=SIGKILL", "error=EIO"])
def test_a_tree_that_was_not_made_to_its_end_is_made_the_next_time(attended: Shell, ground: Path, how: str) -> None:
    def bare(name: str) -> Frontend:
        (ground / name).mkdir()
        return Frontend(attended, ground / name)

    every = turns(traced(bare("counted"), "init"), written=False)
    assert {"mkdir", "symlink", "rename", "chmod"} <= {name for name, _ in every}
    for number, turn in enumerate(every):
        frontend = bare(f"root{number}")
        done = struck(frontend, turn, how, "init", stdin=b"")
        assert b"\nOK\n" not in done.stdout, (turn, done)
        assert (b"\nFAILED io " in done.stdout or b"\nFAILED state " in done.stdout) is how.startswith("error"), done
        init_again(frontend)


@STEPS
@pytest.mark.parametrize("name", [*ATTENDED, "receive: full", "assemble: full"])
def test_any_change_that_fails_is_told_and_can_be_made_again(
    attended: Shell, ground: Path, name: str, step: int
) -> None:
    name, error = name.removesuffix(": full"), "ENOSPC" if name.endswith(": full") else "EIO"
    crash = CRASHES[name]
    template = Frontend(attended, ground / "template")
    crash.before(template)
    made = traced(copy(template, ground / "counted", attended), *crash.words, stdin=crash.stdin)
    every = turns(made, written=False)
    failures = 0
    for number, turn in enumerate(every[:: 1 if name == "arm" else step]):
        frontend = copy(template, ground / f"root{number}", attended)
        done = struck(frontend, turn, f"error={error}", *crash.words, stdin=crash.stdin)
        assert done.stderr == b""
        answer = attended_answer(done.returncode, done.stdout)
        # Else it was no change that counts (the cleaning up), or there was another way.
        if answer.exit:
            assert answer.exit == 11, answer
            assert (answer.verdict == "FAILED space") == (error == "ENOSPC"), answer
            failures += 1
        put_right(frontend, name, attended)
    assert failures > 1


def test_what_a_killed_one_left_goes_with_the_next_command(attended: Shell, ground: Path) -> None:
    frontend = Frontend(attended, ground / "root")
    frontend.make()
    slow = frontend.start("receive", NEW.activation, size=1000)
    slow.say(NEW.objects_pack()[:20])
    frontend.wait_for_scratch()
    slow.process.kill()
    assert slow.rest(killed=True) == b""
    slow.process.wait()
    assert len(frontend.names("incoming")) == 1
    with Attendant(frontend) as other:
        assert other.do("receive", activation_name(6), stdin=NEW.objects_pack()).verdict == "OK"
        assert frontend.names("incoming") == set()
    check_tree(frontend.root)


# --- the order in which things get to the disk ---


@pytest.fixture
def frontend(attended: Shell, ground: Path) -> Frontend:
    made = Frontend(attended, ground / "root")
    made.make()
    return made


def test_a_fence_is_on_the_disk_before_it_is_armed_and_a_flip_before_its_marker_goes(frontend: Frontend) -> None:
    frontend.place(4, 4, {4, 5})
    link, new = f"ROOT/state/armed-{NEW.activation}", "ROOT/state/fence.new"
    in_order(
        traced(frontend, "arm", NEW.activation, stdin=f"GO {NEW.activation}\n".encode()),
        *(f"fsync {new}", f"rename {new} ROOT/state/fence", "fsync ROOT/state"),
        *(f"symlink activations/{NEW.activation} {link}", f"rename {link} ROOT/current", "fsync ROOT"),
        f"unlink ROOT/ahead/{NEW.activation}",
    )


def test_who_was_armed_before_has_lost_the_right_before_the_fence_is_raised(frontend: Frontend) -> None:
    frontend.place(4, 3, {3, 4, 5}, armed={4})
    in_order(
        traced(frontend, "arm", NEW.activation),
        *(f"unlink ROOT/state/armed-{activation_name(4)}", "rename ROOT/state/fence.new ROOT/state/fence"),
    )


def test_objects_are_on_the_disk_before_they_get_their_names_and_a_stage_before_its_answer(frontend: Frontend) -> None:
    content = f"ROOT/incoming/{NEW.activation}/objects"
    made = traced(frontend, "receive", NEW.activation, stdin=NEW.objects_pack())
    moved = next(each for each in made if each.startswith(f"rename {content}/"))
    in_order(made, f"syncfs {content}", moved)
    made = traced(frontend, "assemble", NEW.activation, stdin=NEW.links_pack())
    placed = next(each for each in made if each.endswith(f" ROOT/activations/{NEW.activation}"))
    in_order(made, placed, "syncfs ROOT")
    # The look-up first, the activation last.
    first, last = (
        next(n for n, each in enumerate(made) if place in each.rpartition(" ")[2])
        for place in ("ROOT/by-hash/", f"ROOT/releases/{NEW.release}")
    )
    assert first < last < made.index(placed)


@pytest.mark.parametrize("error", ["ENOSYS", "EINVAL", "EIO"])
def test_where_the_system_can_not_do_it_sync_does_and_where_it_fails_nobody(frontend: Frontend, error: str) -> None:
    (frontend.root.parent / "bin").mkdir()
    sync, called = frontend.root.parent / "bin/sync", frontend.root.parent / "called"
    shell = replace(frontend.shell, path=f"{sync.parent}:{frontend.shell.path}")
    own = replace(frontend, shell=shell)
    verdicts = (b"FAILED io sync: Input/output error",) * 2 if error == "EIO" else (b"OK", b"FAILED io sync failed")
    for program, verdict in zip((f"echo x >>{called}", "exit 1"), verdicts, strict=True):
        sync.write_text(f"#!/bin/sh\n{program}\n")
        sync.chmod(0o755)
        done = subprocess.run(
            [str(strace()), "-qq", "-o", "/dev/null", "-e", f"inject=fsync,syncfs:error={error}",
             *own.shell.command(own.root, ["attend"])],
            input=b"%d 0 receive %s\n%b" % (len(NEW.objects_pack()), NEW.activation.encode(), NEW.objects_pack()),
            check=False, capture_output=True, env=own.shell.environment,
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == verdict
    assert called.exists() == (error != "EIO")


def test_without_a_clock_it_flips_at_once_and_does_not_linger(frontend: Frontend) -> None:
    frontend.place(4, 4, {4, 5})
    word = f"GO {NEW.activation} 1796077770.5 9999\n"
    done = subprocess.run(
        [str(strace()), "-qq", "-o", "/dev/null", "-e", "inject=clock_gettime:error=ENOSYS",
         *frontend.shell.command(frontend.root, ["attend"])],
        input=f"0 40 arm {NEW.activation}\nCLOCK\n{word}".encode(), check=False, capture_output=True,
        env=frontend.shell.environment, timeout=PATIENCE,
    )  # fmt: skip
    said = done.stdout.decode().splitlines()[1:]
    assert said == [f"ARMED {NEW.activation}", "CLOCK 0.000000", f"ACTIVE {NEW.activation} 0", "OK"]
    assert frontend.current == NEW.activation
