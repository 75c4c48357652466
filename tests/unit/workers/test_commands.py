"""What goes over the wire to the frontend's script, to the letter; and that nothing but its exact answers counts."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import RefusedError, UnansweredError
from workers.frontend.answers import ScriptRefusedError, interpret, printable
from workers.frontend.attendant import Attend
from workers.frontend.commands import (
    Activate,
    Arm,
    Assemble,
    Command,
    Disarm,
    Discard,
    Drain,
    Init,
    Listing,
    Probe,
    Prune,
    Pruned,
    Readmit,
    Receive,
    Recipe,
    Source,
    Spoiled,
    Verify,
    shell_line,
)
from workers.frontend.healing import Mend, Remove, Replace, Restore
from workers.frontend.survey import Survey

ROOT = "/srv/lockstep"
NAME = ActivationName(7, "00112233445566aa")
SHA = "ab" * 32
RELEASE = f"ToDo/{SHA}"
SCRIPT = f"sh {ROOT}/state/lockstep-frontend {ROOT}"

LINES: list[tuple[Command, str]] = [
    (Init(ROOT), f"{SCRIPT} init"),
    (Probe(ROOT), f"{SCRIPT} probe"),
    (Survey(ROOT, "0f" * 8), f"{SCRIPT} survey 0f0f0f0f0f0f0f0f"),
    (Spoiled(ROOT), f"{SCRIPT} spoiled"),
    (Replace(ROOT, NAME, 9), f"{SCRIPT} replace 7-00112233445566aa 9"),
    (Mend(ROOT, NAME, 9), f"{SCRIPT} mend 7-00112233445566aa 9"),
    (Remove(ROOT, NAME, 9), f"{SCRIPT} remove 7-00112233445566aa 9"),
    (Restore(ROOT, NAME, 9), f"{SCRIPT} restore 7-00112233445566aa 9"),
    (Receive(ROOT, NAME), f"{SCRIPT} receive 7-00112233445566aa tgz"),
    (Assemble(ROOT, NAME), f"{SCRIPT} assemble 7-00112233445566aa"),
    (Verify(ROOT, NAME, (RELEASE,)), f"{SCRIPT} verify 7-00112233445566aa {RELEASE}"),
    (Listing(ROOT, f"releases/{RELEASE}"), f"{SCRIPT} listing releases/{RELEASE}"),
    (Arm(ROOT, NAME, 40), f"timeout 40 {SCRIPT} arm 7-00112233445566aa"),
    (Activate(ROOT, NAME), f"{SCRIPT} activate 7-00112233445566aa"),
    (Disarm(ROOT, NAME), f"{SCRIPT} disarm 7-00112233445566aa"),
    (Discard(ROOT, NAME), f"{SCRIPT} discard 7-00112233445566aa"),
    (Discard(ROOT, NAME, (RELEASE,)), f"{SCRIPT} discard 7-00112233445566aa {RELEASE}"),
    (Drain(ROOT, NAME, 12), f"{SCRIPT} drain 7-00112233445566aa 12"),
    (Readmit(ROOT, NAME, 12), f"{SCRIPT} readmit 7-00112233445566aa 12"),
    (Prune(ROOT, NAME, 3600, ()), f"{SCRIPT} prune 7-00112233445566aa 3600"),
    (
        Prune(ROOT, NAME, 0, (ActivationName(5, "0" * 16), ActivationName(6, "1" * 16))),
        f"{SCRIPT} prune 7-00112233445566aa 0 5-{'0' * 16} 6-{'1' * 16}",
    ),
    (Recipe(ROOT, ("nginx", "-t"), ("nginx", "-s", "reload")), f"{SCRIPT} recipe nginx -t -- nginx -s reload"),
]


@pytest.mark.parametrize(("command", "line"), LINES, ids=[line.removeprefix(SCRIPT) for _, line in LINES])
def test_a_command_becomes_exactly_this_line(command: Command, line: str) -> None:
    assert shell_line(command.argv()) == line


SOURCE = Source(1000, 2000, "app.example.org", f"http://127.0.0.7:8080/-/lockstep/packs/{'0f' * 16}.tgz")
SAID: list[tuple[Command, bytes]] = [
    (Init(ROOT), b"60 0 init\n"),
    (Probe(ROOT), b"60 0 probe\n"),
    (Receive(ROOT, NAME, "tar"), b"60 0 receive 7-00112233445566aa tar\n"),
    (
        Receive(ROOT, NAME, f"{'0f' * 16}.tgz", SOURCE),
        f"60 0 receive 7-00112233445566aa {'0f' * 16}.tgz 1000 2000 app.example.org {SOURCE.url}\n".encode(),
    ),
    (Assemble(ROOT, NAME), b"60 0 assemble 7-00112233445566aa\n"),
    (Verify(ROOT, NAME, (RELEASE,)), f"60 0 verify 7-00112233445566aa {RELEASE}\n".encode()),
    (Arm(ROOT, NAME, 40), b"60 40 arm 7-00112233445566aa\n"),
]


@pytest.mark.parametrize(("command", "line"), SAID, ids=[command.name for command, _ in SAID])
def test_what_the_attendant_knows_is_said_to_it_in_exactly_this_line(command: Command, line: bytes) -> None:
    assert command.attended
    assert command.line(60) == line


def test_the_attendant_is_asked_for_nothing_else() -> None:
    known = {type(command) for command, _ in SAID}
    assert not [command for command, _ in LINES if command.attended and type(command) not in known]
    assert Attend(ROOT, SHA, 123).ready == f"READY {SHA}\n".encode()


@given(st.text(min_size=1))
def test_no_word_reaches_the_shell_unquoted(word: str) -> None:
    if "\0" not in word:
        assert shlex.split(shell_line(["sh", word])) == ["sh", word]


def test_the_bootstrap_takes_its_paths_as_arguments_and_never_in_the_program() -> None:
    kept, replaced = Attend(ROOT, SHA, 123).argv(), Attend(ROOT, SHA, 123, replaces=True).argv()
    assert kept[:3] == replaced[:3]
    assert kept[:2] == ("sh", "-c")
    assert ROOT not in kept[2]
    assert kept[3:] == ("lockstep-attend", ROOT, SHA, "123", "")
    assert replaced[3:] == ("lockstep-attend", ROOT, SHA, "123", "replace")


def test_ok_with_status_0_is_the_only_success() -> None:
    assert interpret("probe", b"a\nb\nOK\n", 0) == ["a", "b"]
    assert interpret("probe", b"OK\n", 0) == []


@pytest.mark.parametrize(
    ("stdout", "status"),
    [
        (b"", 0),
        (b"OK", 0),
        (b"OK\n", None),
        (b"OK\n", 1),
        (b"OK \n", 0),
        (b"OK then\n", 0),
        (b"OK\nmore\n", 0),
        (b"ok\n", 0),
        (b"REFUSED fenced text\n", 0),
        (b"REFUSED fenced text\n", 11),
        (b"FAILED io text\n", 10),
        (b"REFUSED  text\n", 10),
        (b"REFUSED Fenced text\n", 10),
        (b"\xff\xfe\n", 0),
    ],
)
def test_everything_else_is_an_unknown_outcome(stdout: bytes, status: int | None) -> None:
    with pytest.raises(UnansweredError):
        interpret("arm", stdout, status)


@pytest.mark.parametrize(("word", "status"), [("REFUSED", 10), ("FAILED", 11)])
def test_a_refusal_carries_its_code_and_a_text_that_is_safe_to_show(word: str, status: int) -> None:
    with pytest.raises(ScriptRefusedError) as caught:
        interpret("arm", f"{word} fenced epoch 3 is \x1b[31mbelow\x07\n".encode(), status)
    assert caught.value.code == "fenced"
    assert caught.value.problem.what == "arm: epoch 3 is  [31mbelow"
    assert caught.value.problem.remedy


PROBE = f"""script {SHA}
fence 6
current 6-{"0" * 16}
drained no
drain 0
free 123456
clock 1700000000.123456789
activation 6-{"0" * 16}
activation 7-{"1" * 16}
release {RELEASE}
ahead 7-{"1" * 16}
OK
"""


def test_a_probe_is_read_whole() -> None:
    probed = Probe(ROOT).parse(PROBE.encode(), 0)
    assert (probed.script, probed.fence, probed.free) == (SHA, 6, 123456)
    assert (probed.drained, probed.drain) == (False, 0)
    assert probed.current == ActivationName(6, "0" * 16)
    assert probed.clock == pytest.approx(1700000000.1234567)
    assert probed.activations == {f"6-{'0' * 16}", f"7-{'1' * 16}"}
    assert probed.releases == {RELEASE}
    assert probed.ahead == {f"7-{'1' * 16}"}


@pytest.mark.parametrize(
    "line", [line for line in PROBE.splitlines() if line.split()[0] in {"script", "fence", "drain", "free"}]
)
def test_a_probe_with_a_line_missing_or_twice_is_not_understood(line: str) -> None:
    for text in (PROBE.replace(f"{line}\n", ""), f"{line}\n{PROBE}"):
        with pytest.raises(UnansweredError):
            Probe(ROOT).parse(text.encode(), 0)


def test_a_drain_has_a_number_unless_somebody_made_it_by_hand() -> None:
    for drain in (0, 12):
        probed = Probe(ROOT).parse(PROBE.replace("drained no\ndrain 0", f"drained yes\ndrain {drain}").encode(), 0)
        assert (probed.drained, probed.drain) == (True, drain)
    for lines in ("drained no\ndrain 1", "drained yes\ndrain 01", "drained yes\ndrain -1", "drained yes\ndrain "):
        with pytest.raises(UnansweredError):
            Probe(ROOT).parse(PROBE.replace("drained no\ndrain 0", lines).encode(), 0)


PRUNED = ["pruned activations 2", "pruned releases 1", "pruned objects 1234"]


def test_a_pruning_tells_how_many_of_each_went() -> None:
    assert Prune(ROOT, NAME, 0, ()).parse("\n".join([*PRUNED, "OK\n"]).encode(), 0) == Pruned(2, 1, 1234)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        PRUNED[:2],
        PRUNED[::-1],
        [*PRUNED, PRUNED[0]],
        [*PRUNED, "something"],
        [*PRUNED[:2], "pruned objects"],
        [*PRUNED[:2], "pruned objects -1"],
        [*PRUNED[:2], "pruned objects 1 2"],
        [*PRUNED[:2], "pruned objects \u0661"],
        [*PRUNED[:2], "pruned objects 99999999999"],
    ],
)
def test_any_other_answer_to_a_pruning_is_an_unknown_outcome(lines: list[str]) -> None:
    with pytest.raises(UnansweredError):
        Prune(ROOT, NAME, 0, ()).parse("\n".join([*lines, "OK\n"]).encode(), 0)


@pytest.mark.parametrize("code", ["drained", "recent"])
def test_what_a_rotation_or_a_pruning_was_refused_for_has_a_remedy(code: str) -> None:
    with pytest.raises(ScriptRefusedError) as caught:
        Readmit(ROOT, NAME, 12).parse(f"REFUSED {code} text\n".encode(), 10)
    assert caught.value.problem.remedy


@given(st.integers(0, len(PROBE) - 4), st.sampled_from(" \n/.*;$a0\x00é"))
def test_a_probe_with_a_byte_changed_is_understood_or_an_unknown_outcome(at: int, byte: str) -> None:
    changed = PROBE[:at] + byte + PROBE[at + 1 :]
    try:
        probed = Probe(ROOT).parse(changed.encode(), 0)
    except UnansweredError:
        return
    assert all(ActivationName.parse(name) for name in probed.activations)


def test_missing_objects_are_hashes_and_nothing_else() -> None:
    assert Spoiled(ROOT).parse(f"missing {SHA}\nOK\n".encode(), 0) == [SHA]
    for line in ("missing ../etc", f"missed {SHA}", f"missing {SHA} x", f"missing {SHA.upper()}"):
        with pytest.raises(UnansweredError):
            Spoiled(ROOT).parse(f"{line}\nOK\n".encode(), 0)


def test_a_verified_tree_is_named_once_with_its_hash() -> None:
    verify = Verify(ROOT, NAME, (RELEASE,))
    line = f"tree activations/{NAME} {SHA} 12"
    assert verify.parse(f"{line}\nOK\n".encode(), 0) == {f"activations/{NAME}": SHA}
    for text in (f"{line}\n{line}\n", f"tree x {SHA}\n", f"tree  {SHA} 1\n"):
        with pytest.raises(UnansweredError):
            verify.parse(f"{text}OK\n".encode(), 0)


def test_a_listing_has_entries_of_three_kinds() -> None:
    listing = Listing(ROOT, f"releases/{RELEASE}")
    assert listing.parse(f"entry f {SHA} a b\nOK\n".encode(), 0) == [f"f {SHA} a b"]
    for line in ("entry", "entry x y", f"entry d {SHA} a", f"f {SHA} a"):
        with pytest.raises(UnansweredError):
            listing.parse(f"{line}\nOK\n".encode(), 0)


Flipping = Callable[[bytes, int | None], float | None]


@pytest.mark.parametrize("parse", [Arm(ROOT, NAME, 40).parse, Activate(ROOT, NAME).parse])
def test_a_flip_names_this_activation_or_a_later_one(parse: Flipping) -> None:
    assert parse(f"ACTIVE {NAME} 12.5\nOK\n".encode(), 0) == 12.5
    assert parse(f"ACTIVE 8-{'0' * 16} 0\nOK\n".encode(), 0) is None
    for text in (f"ACTIVE 6-{'0' * 16} 12.5\nOK\n", f"ACTIVE {NAME}\nOK\n", "OK\n", "STOODDOWN\n"):
        with pytest.raises(UnansweredError):
            parse(text.encode(), 0)


def test_what_is_restored_is_exactly_this_activation() -> None:
    restore = Restore(ROOT, NAME, 9)
    assert restore.parse(f"ACTIVE {NAME} 12.5\nOK\n".encode(), 0) == 12.5
    assert restore.parse(f"ACTIVE {NAME} 0\nOK\n".encode(), 0) is None
    for text in (f"ACTIVE 8-{'0' * 16} 12.5\nOK\n", f"ACTIVE {NAME}\nOK\n", f"ACTIVE {NAME} x\nOK\n", "OK\n"):
        with pytest.raises(UnansweredError):
            restore.parse(text.encode(), 0)


def test_a_survey_is_a_state_in_which_something_may_be_gone() -> None:
    damaged = PROBE.replace("fence 6", "fence -").replace(f"current 6-{'0' * 16}", "current -")
    good = damaged.replace("OK\n", "place -\nrecipe -\noptions -\nOK\n")
    seen = Survey(ROOT, "0f" * 8).parse(good.encode(), 0)
    assert (seen.fence, seen.current, seen.marked, seen.recipe, seen.options) == (None, "", False, "", "")
    for bad in (
        damaged,
        good.replace("place -", f"place {'f0' * 8}"),
        good.replace("recipe -", "recipe x"),
        good.replace("options -", "options \u00e9"),
    ):
        with pytest.raises(UnansweredError):
            Survey(ROOT, "0f" * 8).parse(bad.encode(), 0)


def test_the_word_names_the_activation() -> None:
    arm = Arm(ROOT, NAME, 40)
    assert (arm.armed, arm.go) == (b"ARMED 7-00112233445566aa\n", b"GO 7-00112233445566aa\n")
    assert arm.go_at(1796062475.25, 0.0694) == b"GO 7-00112233445566aa 1796062475.250000 69\n"


def test_an_armed_frontend_tells_its_clock() -> None:
    arm = Arm(ROOT, NAME, 40)
    assert arm.ask_clock == b"CLOCK\n"
    assert arm.parse_clock(b"CLOCK 12.5\n") == 12.5
    for line in (b"CLOCK 0\n", b"CLOCK\n", b"CLOCK -1\n", b"CLOCK 1e9\n", b"CLOCK 1 \n", b"STOODDOWN\n", b"", b"\xff"):
        assert arm.parse_clock(line) is None


def test_clocks_that_are_told_too_late_are_no_part_of_the_answer() -> None:
    arm = Arm(ROOT, NAME, 40)
    assert arm.parse(f"CLOCK 12.25\nCLOCK 0\nACTIVE {NAME} 12.5\nOK\n".encode(), 0) == 12.5
    with pytest.raises(RefusedError, match="stood down"):
        arm.parse(b"CLOCK 12.25\nSTOODDOWN\nOK\n", 0)
    for text in (f"ACTIVE {NAME} 12.5\nCLOCK 12.25\nOK\n", "CLOCK 12.25\nOK\n", "CLOCK x\nOK\n"):
        with pytest.raises(UnansweredError):
            arm.parse(text.encode(), 0)


@pytest.mark.parametrize("parse", [Arm(ROOT, NAME, 40).parse, Activate(ROOT, NAME).parse])
def test_a_frontend_that_stood_down_said_no(parse: Flipping) -> None:
    with pytest.raises(RefusedError, match="stood down"):
        parse(b"STOODDOWN\nOK\n", 0)


SILENT = [
    *(Init(ROOT), Receive(ROOT, NAME), Assemble(ROOT, NAME), Disarm(ROOT, NAME)),
    *(Drain(ROOT, NAME, 12), Readmit(ROOT, NAME, 12)),
    *(Replace(ROOT, NAME, 9), Mend(ROOT, NAME, 9), Remove(ROOT, NAME, 9)),
]


@pytest.mark.parametrize("command", SILENT)
def test_a_command_that_answers_nothing_else_must_not(command: Any) -> None:
    command.parse(b"OK\n", 0)
    with pytest.raises(UnansweredError):
        command.parse(b"something\nOK\n", 0)


@given(st.text())
def test_what_is_shown_of_foreign_text_is_one_short_line(text: str) -> None:
    shown = printable(text)
    assert len(shown) <= 300
    assert all(char.isprintable() for char in shown)
