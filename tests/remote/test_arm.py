"""arm: one word flips, anything else stands down, and the link alone decides."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from tests.remote.frontend import Frontend, check_tree, wait_for
from tests.remote.packs import activation_name
from tests.remote.shells import PATIENCE
from workers.frontend.script import script

FOUR, FIVE, SIX = map(activation_name, (4, 5, 6))
GO = f"GO {FIVE}\n"
OF_THE_SCRIPT = pytest.mark.parametrize("shell", ["dash", "busybox"], indirect=True)
OF_THE_ATTENDANT = pytest.mark.parametrize("shell", ["attendant"], indirect=True)


@pytest.fixture(autouse=True)
def staged(frontend: Frontend) -> None:
    """Serving 4; 5 and 6 are staged."""
    frontend.place(fence=4, current=4, staged={4, 5, 6})


def check_stood_down(frontend: Frontend) -> None:
    assert frontend.standing() == (5, FOUR, {FOUR, FIVE, SIX}, {FIVE, SIX}, set())


def check_flipped(frontend: Frontend) -> None:
    assert frontend.standing() == (5, FIVE, {FOUR, FIVE, SIX}, {SIX}, set())


def test_armed_it_has_raised_the_fence_and_holds_no_lock(frontend: Frontend) -> None:
    armed = frontend.arm(5)
    assert frontend.standing()[:2] == (5, FOUR)
    assert frontend.armed == {FIVE}
    assert frontend.run("receive", SIX, stdin=b"").verdict == "FAILED pack"
    assert armed.finish().lines == [f"ARMED {FIVE}", "STOODDOWN", "OK"]
    check_stood_down(frontend)


def test_on_the_word_it_flips_and_tells_the_time(frontend: Frontend) -> None:
    before = float(frontend.run("probe").lines[6].split(" ")[1])
    answer = frontend.arm(5).finish(GO.encode())
    after = float(frontend.run("probe").lines[6].split(" ")[1])
    assert answer.lines[0::2] == [f"ARMED {FIVE}", "OK"]
    word, name, at = answer.lines[1].split(" ")
    assert (word, name) == ("ACTIVE", FIVE)
    assert before <= float(at) <= after
    check_flipped(frontend)


WRONG = [
    *("", "\n", GO.removesuffix("\n"), f"go {FIVE}\n", f" {GO}", f"GO  {FIVE}\n", f"GO {FIVE} \n", f"GO {FIVE}\r\n"),
    *(f"GO {SIX}\n", f"GO {FIVE[:-1]}\n", f"GO {FIVE}0\n", f"\n{GO}", f"STOP\n{GO}", f"{'GO ' * 100_000}\n", "GO *\n"),
    *("GO $act\n", f"GO {FIVE}\\\n\n", "CLOCK", "clock\n", "CLOCK \n", "CLOCK 0\n", f"CLOCKGO {FIVE}\n"),
    *(f"GO {FIVE} {late}\n" for late in ("0", "0 1 2", "-1 1", "1e9 1", "1  1", "1 12345", "1 1.5", "$R 1", "inf 1")),
]


def test_any_other_word_stands_down(frontend: Frontend) -> None:
    for word in WRONG:
        frontend.place(fence=4, current=4, staged={4, 5, 6})
        answer = frontend.run("arm", FIVE, stdin=word.encode())
        assert answer.lines == [f"ARMED {FIVE}", "STOODDOWN", "OK"], word
        check_stood_down(frontend)


@OF_THE_SCRIPT
def test_a_shell_tells_no_clock_and_flips_on_the_plain_word_alone(frontend: Frontend) -> None:
    armed = frontend.arm(5)
    for _ in range(3):
        armed.say(b"CLOCK\n")
        assert armed.line() == "CLOCK 0"
    began = time.time()
    answer = armed.finish(GO.encode())
    assert [line.split(" ")[0] for line in answer.lines] == ["ARMED", "CLOCK", "CLOCK", "CLOCK", "ACTIVE", "OK"]
    assert float(answer.lines[-2].split(" ")[2]) >= began - 1e-6
    check_flipped(frontend)
    frontend.place(fence=4, current=4, staged={4, 5, 6})
    assert frontend.arm(5).finish(f"GO {FIVE} {time.time():.6f} 20\n".encode()).lines[1:] == ["STOODDOWN", "OK"]
    check_stood_down(frontend)


@OF_THE_ATTENDANT
def test_an_attendant_tells_its_clock_and_flips(frontend: Frontend) -> None:
    armed = frontend.arm(5)
    for _ in range(3):
        began = time.time()
        armed.say(b"CLOCK\n")
        assert began - 1e-6 <= float(armed.line().removeprefix("CLOCK ")) <= time.time()
    answer = armed.finish(GO.encode())
    assert [line.split(" ")[0] for line in answer.lines] == ["ARMED", "CLOCK", "CLOCK", "CLOCK", "ACTIVE", "OK"]
    assert began <= float(answer.lines[-2].split(" ")[2]) <= time.time()
    check_flipped(frontend)


@OF_THE_ATTENDANT
@pytest.mark.parametrize("seconds", [-1000, 0, 0.3, 1000])
def test_it_does_not_flip_before_the_instant_unless_that_is_far_away(frontend: Frontend, seconds: float) -> None:
    instant = time.time() + seconds
    answer = frontend.arm(5).finish(f"GO {FIVE} {instant:.6f} 20\n".encode())
    assert answer.lines[0::2] == [f"ARMED {FIVE}", "OK"]
    at = float(answer.lines[1].split(" ")[2])
    assert at >= instant - 1e-5 if seconds < 1000 else at < instant - 900
    # It was silent for so long.
    assert time.time() >= at + 0.02
    check_flipped(frontend)


@OF_THE_ATTENDANT
@pytest.mark.parametrize("group", [False, True])
def test_no_signal_ends_it_between_the_word_and_the_instant(frontend: Frontend, group: bool) -> None:
    armed = frontend.arm(5)
    # Both at once: where it has answered the one, it has the other in its hands.
    armed.say(f"CLOCK\nGO {FIVE} {time.time() + 0.5:.6f} 100\n".encode())
    assert armed.line().startswith("CLOCK ")
    for sent in (signal.SIGHUP, signal.SIGTERM):
        (os.killpg if group else os.kill)(armed.process.pid, sent)
    _, _, *lines = armed.finish().lines
    # Only where the signal came sooner than that it could be switched off.
    if frontend.current == FOUR:
        assert lines == ["STOODDOWN", "OK"]
    else:
        assert lines[0].startswith(f"ACTIVE {FIVE} ")
        assert lines[1:] == ["OK"]
        check_flipped(frontend)


@OF_THE_ATTENDANT
def test_who_takes_the_right_away_before_the_instant_wins(frontend: Frontend) -> None:
    armed = frontend.arm(5)
    armed.say(f"GO {FIVE} {time.time() + 1.9:.6f} 0\n".encode())
    disarmed = frontend.run("disarm", FIVE).verdict
    flipped = frontend.current == FIVE
    assert disarmed == ("REFUSED current" if flipped else "OK")
    assert armed.finish().verdict == ("OK" if flipped else "REFUSED fenced")
    assert frontend.armed == set()


@OF_THE_SCRIPT
def test_without_a_standard_input_it_stands_down(frontend: Frontend) -> None:
    answer = frontend.run("arm", FIVE, prefix=["sh", "-c", 'exec "$@" <&-', "sh"])
    assert answer.lines == [f"ARMED {FIVE}", "STOODDOWN", "OK"]
    check_stood_down(frontend)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
@pytest.mark.parametrize("group", [False, True])
def test_a_signal_stands_down(frontend: Frontend, sent: signal.Signals, group: bool) -> None:
    armed = frontend.arm(5)
    (os.killpg if group else os.kill)(armed.process.pid, sent)
    # Its input is still open: it is the signal that ends the waiting.
    assert [armed.line(), armed.line()] == ["STOODDOWN", "OK"]
    assert armed.finish().lines == [f"ARMED {FIVE}", "STOODDOWN", "OK"]
    check_stood_down(frontend)


@pytest.mark.parametrize("limit", [["/usr/bin/timeout", "0.5"], ["/bin/busybox", "timeout", "1"]])
def test_when_its_time_is_over_it_stands_down_and_nothing_of_it_is_left(frontend: Frontend, limit: list[str]) -> None:
    armed = frontend.arm(5, prefix=limit)
    # Its input is still open.
    assert [armed.line(), armed.line()] == ["STOODDOWN", "OK"]
    if frontend.shell.attended:
        armed.say_all(b"")
    # All of its output, so all that could write to it has ended.
    assert armed.process.stdout is not None
    assert armed.process.stdout.read() == b""
    # The coreutils' timeout has its own exit code, busybox' has the script's.
    assert armed.process.wait(PATIENCE) == (0 if "busybox" in limit[0] else 124)
    check_stood_down(frontend)
    armed.rest()


@OF_THE_ATTENDANT
@pytest.mark.parametrize("word", [b"", b"GO", b"CLOCK\n"])
def test_when_the_seconds_of_its_line_are_over_it_stands_down(frontend: Frontend, word: bytes) -> None:
    began = time.monotonic()
    armed = frontend.arm(5, seconds=1)
    armed.say(word)
    if word.endswith(b"\n"):
        assert armed.line() != ""
    assert [armed.line(), armed.line()] == ["STOODDOWN", "OK"]
    assert time.monotonic() - began < PATIENCE / 2
    check_stood_down(frontend)
    armed.finish()


@OF_THE_ATTENDANT
def test_without_a_second_it_stands_down_at_once_and_with_one_the_word_counts(frontend: Frontend) -> None:
    armed = frontend.arm(5, seconds=0)
    assert [armed.line(), armed.line()] == ["STOODDOWN", "OK"]
    armed.finish()
    frontend.place(fence=4, current=4, staged={4, 5, 6})
    assert frontend.arm(5, seconds=999_999).finish(GO.encode()).verdict == "OK"
    check_flipped(frontend)


@pytest.mark.parametrize("limit", [["/usr/bin/timeout", "60"], ["/bin/busybox", "timeout", "60"]])
def test_under_a_time_limit_the_word_still_flips(frontend: Frontend, limit: list[str]) -> None:
    assert frontend.arm(5, prefix=limit).finish(GO.encode()).verdict == "OK"
    assert frontend.current == FIVE


@pytest.mark.parametrize("word_first", [False, True])
@pytest.mark.parametrize("group", [False, True])
def test_the_word_and_the_end_of_the_time_at_once_have_one_outcome(
    frontend: Frontend, word_first: bool, group: bool
) -> None:
    for _ in range(6):
        frontend.place(fence=4, current=4, staged={4, 5, 6})
        armed = frontend.arm(5)
        end = os.killpg if group else os.kill
        if word_first:
            armed.say(GO.encode())
            end(armed.process.pid, signal.SIGTERM)
        else:
            end(armed.process.pid, signal.SIGTERM)
            with suppress(BrokenPipeError):
                armed.say(GO.encode())
        lines = armed.finish().lines
        assert lines[-1] == "OK"
        if lines[-2] == "STOODDOWN":
            check_stood_down(frontend)
        else:
            assert lines[-2].startswith(f"ACTIVE {FIVE} ")
            check_flipped(frontend)


@OF_THE_SCRIPT
def test_killed_while_armed_it_can_still_be_told_but_only_until_another_takes_the_link(frontend: Frontend) -> None:
    for overtake in (False, True):
        frontend.place(fence=4, current=4, staged={4, 5, 6})
        armed = frontend.arm(5)
        armed.process.kill()
        armed.process.wait(PATIENCE)
        assert frontend.armed == {FIVE}
        check_tree(frontend.root)
        if overtake:
            assert frontend.run("disarm", FIVE).verdict == "OK"
        # The child that waits for the word is the last that holds the output: when that ends, it has ended. It may say
        # that it has flipped, but nobody says that this is the whole answer.
        armed.say(GO.encode())
        said = armed.rest()
        assert b"OK" not in said
        assert not overtake or not said
        assert frontend.current == activation_name(4 if overtake else 5)
        assert frontend.armed == set()


@OF_THE_ATTENDANT
def test_killed_while_armed_an_attendant_leaves_nobody_who_could_flip(frontend: Frontend) -> None:
    for command, verdict in (("disarm", "OK"), ("activate", "OK")):
        frontend.place(fence=4, current=4, staged={4, 5, 6})
        armed = frontend.arm(5)
        armed.process.kill()
        # All that could write to it has ended.
        assert armed.rest(killed=True) == b""
        assert armed.process.wait(PATIENCE) == -signal.SIGKILL
        assert frontend.armed == {FIVE}
        check_tree(frontend.root)
        assert frontend.run(command, FIVE).verdict == verdict
        assert frontend.current == (FIVE if command == "activate" else FOUR)
        assert frontend.armed == set()


def test_the_later_of_two_armed_epochs_takes_the_earlier_ones_right(frontend: Frontend) -> None:
    for words in ((5, 6), (6, 5)):
        frontend.place(fence=4, current=4, staged={4, 5, 6})
        armed = {5: frontend.arm(5), 6: frontend.arm(6)}
        assert frontend.armed == {SIX}
        verdicts = {e: armed[e].finish(f"GO {activation_name(e)}\n".encode()).verdict for e in words}
        assert verdicts == {5: "REFUSED fenced", 6: "OK"}
        assert frontend.standing()[:2] == (6, SIX)


@pytest.mark.parametrize(("command", "verdict"), [("activate", "OK"), ("disarm", "REFUSED fenced")])
def test_what_others_did_while_it_was_armed_is_what_it_reports(frontend: Frontend, command: str, verdict: str) -> None:
    armed = frontend.arm(5)
    assert frontend.run(command, FIVE).verdict == "OK"
    assert frontend.armed == set()
    answer = armed.finish(GO.encode())
    assert answer.verdict == verdict
    if command == "activate":
        assert answer.lines[-2] == f"ACTIVE {FIVE} 0"
    assert frontend.current == (FIVE if command == "activate" else FOUR)


@pytest.mark.parametrize("epoch", [4, 5, 6])
def test_a_refused_arm_takes_nobodys_right(frontend: Frontend, epoch: int) -> None:
    armed = frontend.arm(5)
    (frontend.root / "activations" / SIX).rmdir()
    assert frontend.run("arm", activation_name(epoch)).verdict.startswith("REFUSED")
    assert frontend.armed == {FIVE}
    assert armed.finish(GO.encode()).verdict == "OK"


def test_a_rename_that_fails_is_a_failure_not_a_standing_down(frontend: Frontend) -> None:
    armed = frontend.arm(5)
    (frontend.root / "current").unlink()
    (frontend.root / "current").mkdir()
    assert armed.finish(GO.encode()).verdict == "FAILED io"
    assert frontend.armed == set()


def test_an_output_that_nobody_reads_stands_down(frontend: Frontend) -> None:
    armed = frontend.start("arm", FIVE)
    assert armed.process.stdout is not None
    armed.process.stdout.close()
    # Its input is still open.
    wait_for(lambda: frontend.fence == 5 and not frontend.armed)
    armed.say_all(b"")
    assert armed.process.wait(PATIENCE) == 0
    assert armed.rest() == b""
    check_stood_down(frontend)


def test_the_script_may_be_replaced_while_it_runs(frontend: Frontend) -> None:
    installed = frontend.root / "state/lockstep-frontend"
    new = installed.with_name("lockstep-frontend.new")

    def install(text: bytes) -> None:
        new.write_bytes(text)
        new.rename(installed)

    def probe() -> bytes:
        command = [*frontend.shell.argv, str(installed), str(frontend.root), "probe"]
        return subprocess.run(command, capture_output=True, check=False, env=frontend.shell.environment).stdout

    install(script())
    armed = replace(frontend, shell=replace(frontend.shell, script=installed)).arm(5)
    install(b"echo replaced; exit 3\n" * 10_000)
    answer = armed.finish(GO.encode())
    assert [line.split(" ")[0] for line in answer.lines] == ["ARMED", "ACTIVE", "OK"]
    assert probe() == b"replaced\n"
