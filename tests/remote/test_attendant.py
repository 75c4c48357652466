"""The attendant: many commands in one process, each as if it were the only one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.remote.attended import Attendant
from tests.remote.frontend import Frontend, check_tree, snapshot
from tests.remote.hostile import GOOD
from tests.remote.packs import FILES, Member, Stage, activation_name, content_member, objects_pack, pack, sha256, tar
from tests.remote.shells import PATIENCE, line

pytestmark = pytest.mark.parametrize("shell", ["attendant"], indirect=True)

THREE, FOUR, FIVE, SIX = map(activation_name, (3, 4, 5, 6))
STAGE, NEXT = Stage(5), Stage(6, {**FILES, "next": b"next", "scripts/app.js": b"start(2)\n"})
NAME = "0123456789abcdef" * 2


def expect_alive(attendant: Attendant, frontend: Frontend) -> None:
    """It takes the next line for what it is."""
    answer = attendant.do("probe")
    assert answer.verdict == "OK"
    assert f"fence {frontend.fence}" in answer.lines


def stage(attendant: Attendant, brought: Stage) -> None:
    assert attendant.do("receive", brought.activation, stdin=brought.objects_pack()).lines == ["OK"]
    assert attendant.do("assemble", brought.activation, stdin=brought.links_pack()).lines == ["OK"]
    *told, last = attendant.do("verify", brought.activation, brought.release).lines
    assert last == "OK"
    assert [each.rpartition(" ")[0] for each in told] == [f"tree {tree.path} {tree.digest()}" for tree in brought.trees]


def goes_on(attendant: Attendant) -> bool:
    """Whether it is there for another command: it may end after `arm`."""
    try:
        return attendant.do("probe").verdict == "OK"
    except EOFError:
        return False


# --- one after the other ---


def test_deployments_one_after_the_other(frontend: Frontend) -> None:
    for brought in (STAGE, NEXT):
        with Attendant(frontend) as attendant:
            assert attendant.do("probe", stdin=brought.object_lines).lines.count("OK") == 1
            stage(attendant, brought)
            assert attendant.do("probe", stdin=brought.object_lines).lines[-2] == f"ahead {brought.activation}"
            answer = attendant.do("arm", brought.activation, stdin=f"GO {brought.activation}\n".encode())
            assert [each.split(" ")[0] for each in answer.lines] == ["ARMED", "ACTIVE", "OK"]
        assert frontend.standing()[:2] == (brought.epoch, brought.activation)
        check_tree(frontend.root)
    assert frontend.has(STAGE)
    assert frontend.has(NEXT)


def test_two_stagings_in_one_process_leave_what_two_processes_leave(frontend: Frontend) -> None:
    with Attendant(frontend) as attendant:
        for brought in (STAGE, NEXT, STAGE):
            stage(attendant, brought)
    other = Frontend(frontend.shell, frontend.root.parent / "other")
    other.make()
    for brought in (STAGE, NEXT, STAGE):
        other.stage(brought)
    ignored = ["state", *(f"ahead/{brought.activation}" for brought in (STAGE, NEXT))]
    assert snapshot(frontend.root, ignored) == snapshot(other.root, ignored)


HALF = NEXT.objects_pack()[:-20]
#: What is refused or fails, with what is sent along. Some of it is never looked at.
IN_VAIN: Mapping[str, tuple[list[str | bytes], bytes, str]] = {
    "a pack for a fenced epoch": (["receive", THREE], os.urandom(1 << 20), "REFUSED fenced"),
    "links for a fenced epoch": (["assemble", THREE], b"0 0 probe\n" * 100, "REFUSED fenced"),
    "half a pack": (["receive", SIX], HALF, "FAILED pack"),
    "no pack": (["receive", SIX, "tar"], b"0 0 probe\n" * 3000, "FAILED pack"),
    "a pack that ends early, and more": (["receive", SIX, "tar"], tar([GOOD])[:700], "FAILED pack"),
    "a pack with another content": (
        ["receive", SIX, f"{NAME}.tar"],
        tar([GOOD, Member(sha256(b"x"), content=b"y", time=content_member(b"x").time)]) + bytes(1 << 20),
        "FAILED hash",
    ),
    "a pack in which a member is wrong": (["receive", SIX], pack(Member("x")) + bytes(1 << 20), "FAILED pack"),
    "links that are none": (["assemble", SIX], b"x" * 300_000, "FAILED pack"),
    "links to nothing": (["assemble", SIX], NEXT.links_pack(), "FAILED io"),
    "no words": (["receive"], b"0 0 probe\n", "REFUSED words"),
    "bad words": (["receive", SIX, "zip"], b"0 0 probe\n", "REFUSED words"),
    "nobody to fetch from": (["receive", SIX, "tar", "9", "9", "-", "http://127.0.0.1:1/x"], b"", "FAILED peer"),
    "lines that are no hashes": (["probe"], b"x\n" * 100_000, "REFUSED words"),
    "nothing to verify": (["verify", SIX], b"0 0 probe\n", "REFUSED unstaged"),
    "a release that is none": (["verify", FOUR, "x"], b"", "REFUSED words"),
    "no such command": (["activate", FIVE], b"0 0 probe\n" * 30_000, "REFUSED words"),
    "another word for a command": (["do_arm", FIVE], b"\0\xff", "REFUSED words"),
    "nothing to arm": (["arm", SIX], b"", "REFUSED unstaged"),
    "fenced": (["arm", FOUR], b"", "REFUSED fenced"),
}


@pytest.mark.parametrize("vain", IN_VAIN)
def test_what_was_in_vain_leaves_no_trace_and_no_byte_behind(frontend: Frontend, vain: str) -> None:
    words, sent, verdict = IN_VAIN[vain]
    frontend.place(fence=4, current=4, staged={4})
    before = snapshot(frontend.root)
    with Attendant(frontend) as attendant:
        for _ in range(1 if words[0] == "arm" else 2):
            answer = attendant.do(*words, stdin=sent)
            assert answer.verdict == verdict, answer
            assert snapshot(frontend.root) == before
        if words[0] == "arm" and not goes_on(attendant):
            return
        expect_alive(attendant, frontend)
        stage(attendant, STAGE)
    assert frontend.names("packs") == set()
    assert frontend.names("incoming") == set()


def test_of_one_command_nothing_is_left_for_the_next(frontend: Frontend) -> None:
    frontend.place(fence=4, current=4, staged={4})
    with Attendant(frontend) as attendant:
        stage(attendant, STAGE)
        # Its files and links, its activation, and that there is one at all.
        releases_alone = pack(*(each for each in NEXT.members() if "/activation/" not in each.name))
        assert attendant.do("receive", SIX, stdin=NEXT.objects_pack()).verdict == "OK"
        assert attendant.do("assemble", SIX, stdin=releases_alone).verdict == "FAILED pack"
        assert attendant.do("assemble", SIX, stdin=pack()).verdict == "FAILED pack"
        assert attendant.do("assemble", SIX, stdin=NEXT.links_pack()).verdict == "OK"
        activation = frontend.root / "activations" / SIX
        assert {path.name for path in activation.iterdir()} == {"-", "ToDo"}
        # How much was announced, and where it came from.
        attendant.do("receive", SIX, "tar", "9", "9", "-", "http://127.0.0.1:1/x")
        much = tar([content_member(os.urandom(300_000))])
        assert attendant.do("receive", SIX, "tar", stdin=much).verdict == "OK"
        assert attendant.do("receive", SIX, f"{NAME}.tar", stdin=much).verdict == "OK"
        assert frontend.names("packs") == {f"{NAME}.tar"}
        assert attendant.do("receive", SIX, stdin=objects_pack(b"more")).verdict == "OK"
        assert frontend.names("packs") == {f"{NAME}.tar"}
        # Whom it was for.
        assert attendant.do("verify", "x").verdict == "REFUSED words"
        assert attendant.do("verify").verdict == "REFUSED words"
        # What it had hashed.
        (frontend.root / "activations" / FIVE / "-").chmod(0o755)
        document = frontend.root / "activations" / FIVE / "-/activation.json"
        told = attendant.do("verify", FIVE).lines
        content = document.read_bytes()
        document.chmod(0o644)
        document.write_bytes(content[::-1])
        changed = attendant.do("verify", FIVE).lines
        assert changed != told
        assert attendant.do("verify", FIVE).lines == changed


def test_the_lock_is_held_by_commands_alone(frontend: Frontend) -> None:
    frontend.place(fence=4, current=4, staged={4, 5, 6})
    with Attendant(frontend) as attendant:
        with frontend.locked():
            pass
        for words, sent in ((["receive", SIX], NEXT.objects_pack()), (["assemble", SIX], NEXT.links_pack())):
            assert attendant.do(*words, stdin=sent).verdict == "OK"
            with frontend.locked():
                pass
        assert attendant.do("receive", SIX, stdin=HALF).verdict == "FAILED pack"
        assert attendant.do("receive", FOUR + "0").verdict == "REFUSED words"
        with frontend.locked():
            assert attendant.do("probe").verdict == "OK"
            assert attendant.do("verify", FOUR).verdict == "OK"
        attendant.say(line(["arm", SIX], 0))
        assert attendant.line() == f"ARMED {SIX}"
        with frontend.locked():
            attendant.say(f"GO {SIX}\n".encode())
            assert attendant.answer().verdict == "OK"
        with frontend.locked():
            pass


def test_a_lock_that_another_holds_is_told_and_waited_for(frontend: Frontend) -> None:
    frontend.place(fence=4, current=4, staged={4, 5})
    impatient = replace(frontend, shell=replace(frontend.shell, more={"LOCKSTEP_LOCK_WAIT": "0"}))
    with Attendant(impatient) as attendant:
        before = snapshot(frontend.root)
        with frontend.locked():
            for command, sent in (("receive", STAGE.objects_pack()), ("assemble", STAGE.links_pack())):
                assert attendant.do(command, FIVE, stdin=sent).verdict == "REFUSED busy"
                assert snapshot(frontend.root) == before
            assert attendant.do("probe").verdict == "OK"
        stage(attendant, STAGE)
    patient = replace(frontend, shell=replace(frontend.shell, more={"LOCKSTEP_LOCK_WAIT": f"{PATIENCE}"}))
    with Attendant(patient) as attendant:
        with frontend.locked():
            attendant.say(line(["receive", FIVE], len(STAGE.objects_pack())) + STAGE.objects_pack())
        assert attendant.answer().verdict == "OK"
