"""Words from outside are hostile until their pattern matches; whatever they are, nothing comes of it but an answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.remote.frontend import Frontend, snapshot
from tests.remote.fuzz import FUZZ
from tests.remote.packs import activation_name, sha256
from tests.remote.shells import Shell

NAME = activation_name(5)
RELEASE = f"ToDo/{sha256(b'')}"
DIGEST = sha256(b"")
BAD_ACTIVATIONS: list[str | bytes] = [
    *("", "5", "-", "5-", f"-{'a' * 16}", f"05-{'a' * 16}", f"5-{'a' * 15}", f"5-{'a' * 17}", f"5-{'A' * 16}"),
    *(f"5-{'g' * 16}", f"+5-{'a' * 16}", f" 5-{'a' * 16}", f"5 -{'a' * 16}", f"5-{'a' * 16}\n", f"5-{'a' * 16}/"),
    *(f"../{NAME}", f"5-{'a' * 14}..", f"12345678901-{'a' * 16}", f"5\n-{'a' * 16}", f"5-{'a' * 8}\n{'a' * 7}"),
    *(f"5-{'[a-f]' * 3}a", "*", "?-*", "$(id)", "`id`", "5-${HOME}", "--", "-x", "5" * 100_000, f"5-{'a' * 100_000}"),
    *(f"\u0665-{'a' * 16}", b"5-\xff\xfe", f"5-{'a' * 16}".encode() + b"\xc3"),
]
BAD_RELEASES = [
    *("", "/", "ToDo", f"/{DIGEST}", f"ToDo/{DIGEST[:-1]}", f"ToDo/{DIGEST}0", f"ToDo//{DIGEST}", f"../{DIGEST}"),
    *(f"To.Do/{DIGEST}", f"1ToDo/{DIGEST}", f"{'a' * 64}/{DIGEST}", f"ToDo/{DIGEST.upper()}", f"ToDo/{DIGEST}/.."),
    *(f"ToDo/{DIGEST}\n", f"To\nDo/{DIGEST}", f"*/{'*' * 64}"),
]
BAD_ROOTS = [
    *("", "/", "relative", "./relative", "//tmp", "/tmp//x", "/tmp/./x", "/tmp/../tmp", "/tmp/..", "/tmp/", "/tmp/a b"),
    *("/tmp/$(id)", "/tmp/*", "/tmp/x\n", "/tmp/\u00e9", "-rf"),
]
BAD_TREES = [
    *("", "objects", "activations", "activations/", "activations/x", f"activations/../{NAME}", f"activations/{NAME}/x"),
    *(f"releases/{RELEASE}/x", "releases/ToDo", f"x/activations/{NAME}", "current", "/etc", "activations/*"),
]
BAD_COMMANDS = ["", "ARM", "ok", "fail", "do_arm", "arm\n", "lock", "finish", "rm -rf /", "*", "$(id)"]
BAD_LINES = [
    "x",
    f"{'a' * 63}\0",
    f"{'a' * 64}\0",
    "a" * 63,
    "A" * 64,
    f"{'a' * 64} {'b' * 64}",
    f"{'a' * 64}\r\n",
    "*",
    "../x",
]
BAD_COUNTS = [
    *(["init", "x"], ["probe", "x"], ["listing"], ["verify"], ["discard"], ["arm"], ["receive"]),
    *(["drain", NAME], ["drain", NAME, "1", "1"], ["readmit", NAME], ["readmit", NAME, "1", "1"], ["prune"]),
    *(["survey"], ["survey", "a" * 16, "x"], ["spoiled", "x"], ["mend", NAME], ["restore", NAME, "9", "x"]),
    *(["prune", NAME], ["arm", NAME, NAME], ["activate"], ["disarm", NAME, "x"], ["assemble", NAME, ""]),
    ["listing", f"activations/{NAME}", ""],
]
BAD_NUMBERS: list[str | bytes] = [
    *("", "01", "-1", "+1", " 1", "1 ", "1\n", "1.0", "1e3", "0x1", "12345678901", "one", "*", "$(id)", "--", "\u0661"),
    *("5" * 100_000, b"1\xff"),
]
OF_ACTIVATION = ["receive", "assemble", "verify", "arm", "activate", "disarm", "discard"]
OF_HEALING = ("replace", "mend", "remove", "restore")
OF_MORE = {"drain": ["1"], "readmit": ["1"], "prune": ["0"], **{command: ["9"] for command in OF_HEALING}}


def start_at_four(frontend: Frontend) -> None:
    frontend.place(fence=4, current=4, staged={5})


@pytest.mark.parametrize("command", [*OF_ACTIVATION, *OF_MORE])
def test_only_the_exact_form_of_an_activation_is_accepted(frontend: Frontend, command: str) -> None:
    start_at_four(frontend)
    before = snapshot(frontend.root.parent)
    few = BAD_ACTIVATIONS if command == "activate" else BAD_ACTIVATIONS[::7]
    for word in few:
        assert frontend.run(command, word, *OF_MORE.get(command, [])).verdict == "REFUSED words", word
    assert snapshot(frontend.root.parent) == before


@pytest.mark.parametrize("command", OF_MORE)
def test_only_the_exact_form_of_a_number_is_accepted(frontend: Frontend, command: str) -> None:
    start_at_four(frontend)
    before = snapshot(frontend.root.parent)
    for word in [*BAD_NUMBERS, *(["0"] if command != "prune" else [])]:
        assert frontend.run(command, activation_name(4), word).verdict == "REFUSED words", word
    assert snapshot(frontend.root.parent) == before


def test_only_the_exact_form_of_an_activation_is_pruned(frontend: Frontend) -> None:
    start_at_four(frontend)
    before = snapshot(frontend.root.parent)
    for word in BAD_ACTIVATIONS[::2]:
        answer = frontend.run("prune", activation_name(4), "0", activation_name(0), word)
        assert answer.verdict == "REFUSED words", word
    assert snapshot(frontend.root.parent) == before


@pytest.mark.parametrize("command", ["verify", "discard"])
def test_only_the_exact_form_of_a_release_is_accepted(frontend: Frontend, command: str) -> None:
    start_at_four(frontend)
    before = snapshot(frontend.root.parent)
    for word in BAD_RELEASES:
        assert frontend.run(command, NAME, word).verdict == "REFUSED words", word
    assert snapshot(frontend.root.parent) == before


@pytest.mark.parametrize("tree", BAD_TREES)
def test_only_an_activation_and_a_release_are_listed(frontend: Frontend, tree: str) -> None:
    assert frontend.run("listing", tree).verdict == "REFUSED words"


@pytest.mark.parametrize("words", BAD_COUNTS)
def test_too_few_and_too_many_words_are_refused(frontend: Frontend, words: list[str]) -> None:
    assert frontend.run(*words).verdict == "REFUSED words"


@pytest.mark.parametrize("command", BAD_COMMANDS)
def test_no_other_word_is_a_command(frontend: Frontend, command: str) -> None:
    assert frontend.run(command, NAME).verdict == "REFUSED words"


@pytest.mark.parametrize("root", BAD_ROOTS)
def test_only_a_plain_absolute_path_is_a_root(shell: Shell, root: str) -> None:
    assert shell.run(root, "probe").verdict == "REFUSED words"


def test_a_root_without_a_command_is_refused(shell: Shell) -> None:
    assert shell.run("/srv/lockstep").verdict == "REFUSED words"


@pytest.mark.parametrize("lines", BAD_LINES)
@pytest.mark.parametrize("words", [("probe",), ("spoiled",), ("discard", NAME)])
def test_only_lines_of_hashes_are_objects(frontend: Frontend, words: tuple[str, ...], lines: str) -> None:
    start_at_four(frontend)
    before = snapshot(frontend.root)
    assert frontend.run(*words, stdin=f"{'0' * 64}\n{lines}\n".encode()).verdict == "REFUSED words"
    assert snapshot(frontend.root) == before


def test_nothing_but_init_works_where_there_is_no_tree(shell: Shell, ground: Path) -> None:
    before = snapshot(ground)
    for command in ("probe", "spoiled", "listing", "recipe", *OF_ACTIVATION, *OF_MORE):
        assert shell.run(ground / "root", command, NAME).verdict == "REFUSED uninitialised"
    assert shell.run(ground / "root", "survey", "a" * 16).verdict == "REFUSED uninitialised"
    assert shell.run(ground / "root", "inspect", "quick", "by-hash").verdict == "REFUSED uninitialised"
    assert snapshot(ground) == before


TEXTS = st.one_of(
    st.sampled_from([NAME, RELEASE, f"activations/{NAME}", "5-", "-", "*", "..", "/", "\n", "'", '"', "\\", "$R"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
)
WORDS = st.one_of(
    st.lists(TEXTS, max_size=4).map("".join).map(str.encode),
    st.binary(max_size=30).map(lambda raw: raw.replace(b"\0", b"")),
)


@FUZZ
@given(
    command=st.sampled_from(["init", "probe", "listing", "inspect", *OF_ACTIVATION, *OF_MORE]),
    words=st.lists(WORDS, max_size=4),
    stdin=st.one_of(st.just(b""), st.binary(max_size=100), st.just(f"GO {activation_name(6)}\n".encode())),
)
def test_whatever_the_words_are_there_is_an_answer_and_the_same_activation(
    frontend: Frontend, command: str, words: list[bytes], stdin: bytes
) -> None:
    start_at_four(frontend)
    assume((command, words) != ("activate", [NAME.encode()]))
    beside = snapshot(frontend.root.parent, ignored=["root"])
    frontend.run(command, *words, stdin=stdin)
    assert frontend.current == activation_name(4)
    assert snapshot(frontend.root.parent, ignored=["root"]) == beside
