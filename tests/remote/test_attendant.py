"""The attendant: many commands in one process, each as if it were the only one; nothing but exact lines."""

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
<<<<<<< HEAD


# --- lines ---

NO_LINES = [
    *(b"", b"probe", b"0 probe", b"0 0", b"0 0 ", b"x 0 probe", b"0 x probe", b"00 0 probe", b"0 00 probe"),
    *(b"-1 0 probe", b"+1 0 probe", b"1e3 0 probe", b"1.0 0 probe", b"0x1 0 probe", b" 0 0 probe", b"0  0 probe"),
    *(b"0 0  probe", b"0 0 probe ", b"0 0 probe\r", b"0 0 pro\tbe", b"0 0 probe\0", b"0 0 prob\xc3\xa9", b"0\t0 probe"),
    *(b"1234567890123 0 probe", b"0 1234567 probe", b"01 0 probe", b"0 0 verify  " + FOUR.encode(), b"READY", b"OK"),
    f"GO {FIVE}".encode(),
]


@pytest.mark.parametrize("sent", NO_LINES)
def test_anything_else_than_a_line_ends_it(frontend: Frontend, sent: bytes) -> None:
    frontend.place(fence=4, current=4, staged={4, 5})
    before = snapshot(frontend.root)
    attendant = Attendant(frontend)
    # What follows is not looked at: nobody knows where it begins.
    attendant.say(sent + b"\n" + line(["arm", FIVE], 0) + f"GO {FIVE}\n".encode())
    assert attendant.answer().verdict == "REFUSED words"
    said, complaints, exit_ = attendant.end()
    assert (said, complaints, exit_) == (b"", b"", 10)
    assert snapshot(frontend.root) == before


def test_a_line_without_an_end_is_none_and_is_not_kept_for_ever(frontend: Frontend) -> None:
    attendant = Attendant(frontend)
    attendant.say(b"0 0 probe" + b" x" * 200_000)
    # Its input is still open.
    assert attendant.line() == ""
    assert attendant.process.wait(PATIENCE) is not None
    said, complaints, _ = attendant.end()
    assert (said, complaints) == (b"", b"")


def test_half_a_line_is_none(frontend: Frontend) -> None:
    for sent in (b"0 0 probe", f"0 9 arm {FIVE}".encode(), b"0", b" "):
        attendant = Attendant(frontend)
        attendant.say(sent)
        said, complaints, _ = attendant.end()
        assert (said, complaints) == (b"", b""), sent


def test_a_line_may_be_as_long_as_a_frontend_has_releases(frontend: Frontend) -> None:
    frontend.place(fence=4, current=4, staged={4})
    releases = [f"App{n}/{'a' * 64}" for n in range(2000)]
    with Attendant(frontend) as attendant:
        assert attendant.do("verify", FOUR, *releases).verdict == "REFUSED unstaged"
        for release in releases:
            (frontend.root / "releases" / release).mkdir(parents=True)
        answer = attendant.do("verify", FOUR, *releases[:300])
        assert (answer.verdict, len(answer.lines)) == ("OK", 302)


def test_commands_may_come_all_at_once_or_byte_by_byte(frontend: Frontend) -> None:
    sent = b"".join(
        line(words, len(body)) + body
        for words, body in (
            (["probe"], STAGE.object_lines),
            (["receive", FIVE], STAGE.objects_pack()),
            (["assemble", FIVE], STAGE.links_pack()),
            (["verify", FIVE, STAGE.release], b""),
            (["probe"], STAGE.object_lines),
        )
    )
    for step in (len(sent), 1):
        with Attendant(frontend) as attendant:
            for begin in range(0, len(sent), step):
                attendant.say(sent[begin : begin + step])
            answers = [attendant.answer() for _ in range(5)]
        assert [answer.verdict for answer in answers] == ["OK"] * 5
        assert not [each for each in answers[-1].lines if each.startswith("missing ")]


def test_with_too_few_bytes_announced_the_rest_is_no_line(frontend: Frontend) -> None:
    sent = STAGE.objects_pack()
    attendant = Attendant(frontend)
    attendant.say(line(["receive", FIVE], len(sent) - 9) + sent + b"\n")
    assert attendant.answer().verdict == "FAILED pack"
    assert attendant.answer().verdict == "REFUSED words"
    assert attendant.end() == (b"", b"", 10)
    assert frontend.names("objects") == set()


@pytest.mark.parametrize("more", [1, 1 << 30, 999_999_999_999])
@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (["receive", FIVE], STAGE.objects_pack()),
        (["receive", FIVE], STAGE.objects_pack()[:50]),
        (["receive", FIVE, "tar"], tar(map(content_member, STAGE.contents))),
        (["receive", FIVE, "tar"], tar(map(content_member, STAGE.contents))[:1500]),
        (["receive", FIVE, f"{NAME}.tgz"], STAGE.objects_pack()),
        (["receive", FIVE, f"{NAME}.tar"], b""),
        (["assemble", FIVE], STAGE.links_pack()),
        (["probe"], STAGE.object_lines),
    ],
)
def test_where_the_input_ends_before_it_should_nothing_has_come(
    frontend: Frontend, words: list[str], sent: bytes, more: int
) -> None:
    if words[0] == "assemble":
        assert frontend.run("receive", FIVE, stdin=STAGE.objects_pack()).verdict == "OK"
    before = snapshot(frontend.root)
    attendant = Attendant(frontend)
    attendant.say(line(words, len(sent) + more if len(sent) + more < 10**12 else 10**12 - 1) + sent)
    said, complaints, exit_ = attendant.end()
    # No answer is better than one to half of it.
    assert (said, complaints) == (b"", b"")
    assert exit_ not in {0, 10, 11}
    assert snapshot(frontend.root) == before


def test_at_the_end_of_its_input_it_ends(frontend: Frontend) -> None:
    attendant = Attendant(frontend)
    assert attendant.end() == (b"", b"", 0)


# --- who it is ---


def test_it_says_which_script_it_is_and_stays_that(frontend: Frontend) -> None:
    installed, new = frontend.root / "state/lockstep-frontend", frontend.root / "state/new"
    shutil.copy(frontend.shell.script, installed)
    own = replace(frontend, shell=replace(frontend.shell, script=installed))
    old = sha256(installed.read_bytes())
    with Attendant(own) as attendant:
        assert attendant.ready == f"READY {old}"
        new.write_bytes(b"echo replaced; exit 3\n" * 10_000)
        new.rename(installed)
        # It is what answers that is told, not what lies there.
        assert f"script {old}" in attendant.do("probe").lines
        stage(attendant, STAGE)
        assert f"script {old}" in attendant.do("probe").lines


def test_replaced_just_when_it_starts_it_says_what_it_has_become(frontend: Frontend) -> None:
    """The shell has begun to read the old one when perl opens the new one."""
    installed, directory = frontend.root / "state/lockstep-frontend", frontend.root.parent / "bin"
    shutil.copy(frontend.shell.script, installed)
    new = installed.with_name("new")
    new.write_bytes(frontend.shell.script.read_bytes().replace(b"__DATA__", b"# another\n__DATA__"))
    expected = sha256(new.read_bytes())
    _perl(directory, f'mv {new} {installed}\nexec {shutil.which("perl")} "$@"')
    shell = replace(frontend.shell, script=installed, path=f"{directory}:{frontend.shell.path}")
    with Attendant(replace(frontend, shell=shell)) as attendant:
        assert attendant.ready == f"READY {expected}"
        assert f"script {expected}" in attendant.do("probe").lines


def _perl(directory: Path, program: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / "perl").write_text(f"#!/bin/sh\n{program}\n")
    (directory / "perl").chmod(0o755)


@pytest.mark.parametrize("broken", ["exit 0", "exit 1", "exit 2", "exit 255", "kill -9 $$", "exec >&-; cat"])
def test_a_perl_that_does_not_work_says_nothing(frontend: Frontend, broken: str) -> None:
    _perl(frontend.root.parent / "bin", broken)
    shell = replace(frontend.shell, path=f"{frontend.root.parent}/bin:{frontend.shell.path}")
    attendant = Attendant(replace(frontend, shell=shell))
    assert attendant.ready == ""
    assert attendant.end()[0] == b""


def test_where_there_is_no_perl_that_is_said(frontend: Frontend) -> None:
    directory = frontend.root.parent / "bin"
    directory.mkdir()
    for name in ("sh", "tr", "cut", "printf"):
        found = shutil.which(name)
        if found is not None:
            (directory / name).symlink_to(found)
    plain = replace(frontend.shell, path=str(directory), attended=False)
    assert plain.run(frontend.root, "attend").verdict == "REFUSED noperl"


def test_what_would_make_perl_load_something_else_does_not_count(frontend: Frontend) -> None:
    hostile = {
        "PERL5OPT": "-Mnothing::there", "PERL5LIB": "/nowhere", "PERLLIB": "/nowhere",
        "PERL5DB": "die", "PERL5DB_THREADED": "1",
    }
    with Attendant(replace(frontend, shell=replace(frontend.shell, more=hostile))) as attendant:
        assert attendant.ready.startswith("READY ")
        expect_alive(attendant, frontend)
    frontend.place(fence=4, current=4, staged={4, 5})


def test_without_a_module_for_it_it_asks_the_system_for_the_time(frontend: Frontend) -> None:
    """Debian's smallest perl has no Time::HiRes."""
    directory = frontend.root.parent / "bin"
    _perl(directory, f'exec {shutil.which("perl")} -I{directory} -MNone "$@"')
    (directory / "None.pm").write_text("unshift @INC, sub { die if $_[1] =~ /HiRes/; undef }; 1\n")
    shell = replace(frontend.shell, path=f"{directory}:{frontend.shell.path}")
    frontend.place(fence=4, current=4, staged={4, 5})
    began = time.time()
    with Attendant(replace(frontend, shell=shell)) as attendant:
        told = next(each for each in attendant.do("probe").lines if each.startswith("clock "))
        at = float(told.removeprefix("clock "))
        assert began - 1e-6 <= at <= time.time() or (at == 0 and os.uname().machine not in {"x86_64", "aarch64"})


@pytest.mark.parametrize("broken", ["exit 1", "exit 0", "echo; echo x", f"echo {'0' * 64} *./x", "exec cat"])
def test_an_openssl_that_does_not_work_is_none(frontend: Frontend, broken: str) -> None:
    directory = frontend.root.parent / "bin"
    directory.mkdir()
    (directory / "openssl").write_text(f"#!/bin/sh\n{broken}\n")
    (directory / "openssl").chmod(0o755)
    shell = replace(frontend.shell, path=f"{directory}:{frontend.shell.path}")
    with Attendant(replace(frontend, shell=shell)) as attendant:
        stage(attendant, STAGE)
    assert frontend.has(STAGE)


def test_without_sha256sum_it_is_not_ready(frontend: Frontend) -> None:
    directory = frontend.root.parent / "bin"
    directory.mkdir()
    (directory / "perl").symlink_to(str(shutil.which("perl")))
    attendant = Attendant(replace(frontend, shell=replace(frontend.shell, path=str(directory))))
    assert attendant.ready == ""
    said, _, exit_ = attendant.end()
    assert said == b""
    assert exit_ != 0


# --- where it is ---


@pytest.mark.parametrize("root", ["relative", "/tmp/../tmp", "/tmp//x", "/tmp/", "/tmp/$(id)", "/tmp/x\n", "/", ""])
def test_only_a_plain_absolute_path_is_a_root(frontend: Frontend, root: str) -> None:
    shell = replace(frontend.shell, attended=False)
    assert shell.run(root, "attend").verdict == "REFUSED words"


def test_a_tree_that_comes_and_goes(frontend: Frontend) -> None:
    aside = frontend.root.with_name("aside")
    frontend.root.rename(aside)
    with Attendant(frontend) as attendant:
        for command in ATTENDED - {"arm"}:
            assert attendant.do(command, FIVE, stdin=b"0 0 probe\n").verdict == "REFUSED uninitialised"
        assert not frontend.root.exists()
        aside.rename(frontend.root)
        stage(attendant, STAGE)


def test_the_answer_to_a_command_of_its_own_is_that_of_the_only_one(frontend: Frontend) -> None:
    """At the end of its input, the exit code is that of a command or none."""
    frontend.place(fence=4, current=4, staged={4})
    attendant = Attendant(frontend)
    answer = attendant.do("verify", SIX)
    assert answer == Answer(10, [f"REFUSED unstaged activations/{SIX} is not there"])
    assert attendant.end()[2] in {0, 10}
    script = replace(frontend.shell, attended=False)
    assert script.run(frontend.root, "verify", SIX) == answer_of(10, f"{answer.lines[0]}\n".encode())
=======
>>>>>>> s7-remote
