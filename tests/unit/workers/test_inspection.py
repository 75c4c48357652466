"""Inspect on the wire, to the letter; and that nothing but an exact answer counts, whoever gives it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.errors import RefusedError, UnansweredError
from workers.frontend.answers import LONGEST_ANSWER, ScriptRefusedError
from workers.frontend.commands import shell_line
from workers.frontend.inspection import BY_HASH, MOST_TREES, Inspect, Inspected, InspectedFile, InspectedTree

ROOT = "/srv/lockstep"
ONE, TWO = "11" * 32, "22" * 32
ACTIVATION, RELEASE = "activations/7-00112233445566aa", f"releases/ToDo/{'ab' * 32}"
COMMAND = Inspect(ROOT, deep=True, trees=(ACTIVATION, RELEASE, "activations/6-00112233445566aa", BY_HASH))
LINES = (
    f"tree {ACTIVATION}",
    f"f 0444 {ONE} -/activation.json",
    "l ../../releases/ToDo/x y\tx y",
    f"tree {RELEASE}",
    "f 0000 - closed",
    f"f 4644 {ONE} a  b",
    f"f 4644 {TWO} caf\u00e9/'\"+%41",
    "o fifo here",
    "o name line\\end",
    "gone activations/6-00112233445566aa",
    "tree by-hash",
    f"l ../objects/{ONE}\tCAFEcafeCAFEcafeCAFE01",
    "o unreadable closed",
    "hashed 3 12345",
    "OK",
)
SEEN = Inspected(
    {
        ACTIVATION: InspectedTree(
            {"-/activation.json": InspectedFile(0o444, ONE)}, {"x y": "../../releases/ToDo/x y"}, {}
        ),
        RELEASE: InspectedTree(
            {
                "closed": InspectedFile(0, ""),
                "a  b": InspectedFile(0o4644, ONE),
                "caf\u00e9/'\"+%41": InspectedFile(0o4644, TWO),
            },
            {},
            {"here": "fifo", "line\\end": "name"},
        ),
        "activations/6-00112233445566aa": None,
        BY_HASH: InspectedTree({}, {"CAFEcafeCAFEcafeCAFE01": f"../objects/{ONE}"}, {"closed": "unreadable"}),
    },
    hashed_files=3,
    hashed_bytes=12345,
)


def said(*lines: str) -> bytes:
    """As the frontend writes them."""
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


def with_line(number: int, *lines: str) -> tuple[str, ...]:
    """The good answer with others in place of one line."""
    return (*LINES[:number], *lines, *LINES[number + 1 :])


def test_it_becomes_exactly_this_line() -> None:
    script = f"sh {ROOT}/state/lockstep-frontend {ROOT}"
    assert shell_line(Inspect(ROOT, deep=False, trees=(RELEASE, BY_HASH)).argv()) == (
        f"{script} inspect quick {RELEASE} by-hash"
    )
    assert shell_line(Inspect(ROOT, deep=True, trees=(ACTIVATION,)).argv()) == f"{script} inspect deep {ACTIVATION}"


def test_the_longest_line_fits_into_one_word_of_the_login_shell() -> None:
    trees = tuple(f"releases/{'a' * 63}/{number:064x}" for number in range(MOST_TREES // 2))
    trees += tuple(f"activations/9999999999-{number:016x}" for number in range(MOST_TREES // 2))
    assert len(shell_line(Inspect("/" + "r" * 200, deep=True, trees=trees).argv())) < 128 * 1024


@pytest.mark.parametrize(
    "trees",
    [
        *((), ("",), ("objects",), (f"{RELEASE}/",), (f"{RELEASE}\n",), ("releases/ToDo/..",), ("by-hash/x",), ("-x",)),
        *((BY_HASH, BY_HASH), tuple(f"activations/{number}-{'0' * 16}" for number in range(MOST_TREES + 1))),
    ],
)
def test_what_is_no_tree_is_never_sent(trees: tuple[str, ...]) -> None:
    with pytest.raises(RefusedError):
        Inspect(ROOT, deep=False, trees=trees)


def test_a_good_answer_is_read() -> None:
    assert COMMAND.parse(said(*LINES), 0) == SEEN


def test_paths_are_bytes_whatever_they_spell() -> None:
    answer = said(f"tree {RELEASE}", f"f 0444 {ONE} caf\udce9", f"f 0444 {ONE} x\x85\u2028y", "hashed 1 3", "OK")
    tree = Inspect(ROOT, deep=True, trees=(RELEASE,)).parse(answer, 0).trees[RELEASE]
    assert tree is not None
    assert set(tree.files) == {"caf\udce9", "x\x85\u2028y"}


BAD: dict[str, tuple[str, ...]] = {
    "nothing": ("OK",),
    "no counts": with_line(13),
    "counts twice": with_line(13, LINES[13], LINES[13]),
    "counts too early": (*LINES[:12], LINES[13], LINES[12], "OK"),
    "more read than there is": with_line(13, "hashed 6 12345"),
    "less read than a deep one reads": with_line(13, "hashed 1 12345"),
    "a count with zeros": with_line(13, "hashed 03 12345"),
    "a count too long": with_line(13, f"hashed 3 {'9' * 19}"),
    "a count in other digits": with_line(13, "hashed \u0663 12345"),
    "a tree missing": LINES[3:],
    "trees in another order": (*LINES[3:9], *LINES[:3], *LINES[9:]),
    "a tree twice": (*LINES[:3], *LINES),
    "a tree too many": with_line(13, "gone releases/x", LINES[13]),
    "a tree that was not asked": with_line(0, "tree activations/8-00112233445566aa"),
    "entries of a tree that is gone": with_line(9, LINES[9], LINES[1]),
    "an entry before its tree": (LINES[1], *LINES),
    "an entry twice": with_line(5, LINES[5], LINES[5]),
    "a path twice": with_line(8, "o fifo here", "o file here"),
    "a path twice, once as a link": with_line(8, "o fifo x", LINES[8], "o socket closed"),
    "entries in another order": (*LINES[:5], LINES[6], LINES[5], *LINES[7:]),
    "a short mode": with_line(4, "f 444 - closed"),
    "a mode that is none": with_line(4, "f 0844 - closed"),
    "a short hash": with_line(5, f"f 4644 {ONE[:-1]} a"),
    "a hash in capitals": with_line(5, f"f 4644 {'AB' * 32} a"),
    "a path that is none": with_line(5, f"f 4644 {ONE} "),
    "an absolute path": with_line(5, f"f 4644 {ONE} /etc/passwd"),
    "a path upwards": with_line(5, f"f 4644 {ONE} a/../../b"),
    "a path with a dot": with_line(5, f"f 4644 {ONE} ./b"),
    "a path with a tab": with_line(5, f"f 4644 {ONE} a\tb"),
    "a path with an escape": with_line(5, f"f 4644 {ONE} a\x1b[2J"),
    "a path with a return": with_line(5, f"f 4644 {ONE} a\r"),
    "a path with a backslash": with_line(5, f"f 4644 {ONE} a\\b"),
    "a path too long": with_line(5, f"f 4644 {ONE} {'a' * 4097}"),
    "an odd name that is not odd": with_line(8, "o name plain"),
    "a link without a path": with_line(2, "l ../../x"),
    "a link with two tabs": with_line(2, "l ../../x\ty\tz"),
    "a link that leads nowhere": with_line(2, "l \ty"),
    "a target too long": with_line(2, f"l {'a' * 4097}\ty"),
    "a file in the look-up": with_line(11, f"f 0444 {ONE} x", LINES[11]),
    "a type that is none": with_line(7, "o ship here"),
    "a letter that is none": with_line(7, "x fifo here"),
    "an empty line": with_line(7, ""),
}


@pytest.mark.parametrize("name", BAD)
def test_any_other_answer_is_none(name: str) -> None:
    assert BAD[name] != LINES
    with pytest.raises(UnansweredError):
        COMMAND.parse(said(*BAD[name]), 0)


@pytest.mark.parametrize("status", [None, 1, 10, 11, 255])
def test_a_good_answer_with_another_status_is_none(status: int | None) -> None:
    with pytest.raises(UnansweredError):
        COMMAND.parse(said(*LINES), status)


def test_an_answer_that_was_cut_off_is_none() -> None:
    whole = said(*LINES)
    for end in range(len(whole)):
        with pytest.raises(UnansweredError):
            COMMAND.parse(whole[:end], 0)


def test_bytes_of_no_file_are_none() -> None:
    quick = Inspect(ROOT, deep=False, trees=COMMAND.trees)
    assert quick.parse(said(*with_line(13, "hashed 0 0")), 0).hashed_files == 0
    with pytest.raises(UnansweredError):
        quick.parse(said(*with_line(13, "hashed 0 1")), 0)


def test_an_answer_that_is_too_long_is_none() -> None:
    command = Inspect(ROOT, deep=False, trees=(RELEASE,))
    one = said(LINES[3], f"f 0444 {ONE} a", "hashed 0 0", "OK")
    assert command.parse(one, 0).trees
    entries = (f"f 0444 {ONE} {number:06}{'a' * 4000}" for number in range(LONGEST_ANSWER // 4000))
    with pytest.raises(UnansweredError):
        command.parse(said(LINES[3], *entries, "hashed 0 0", "OK"), 0)


def test_a_refusal_is_told() -> None:
    with pytest.raises(ScriptRefusedError, match="no such command"):
        COMMAND.parse(b"REFUSED words no such command\n", 10)


@given(st.lists(st.one_of(st.sampled_from(LINES), st.text(max_size=20)), max_size=12))
def test_whatever_comes_is_read_or_refused(lines: list[str]) -> None:
    answer = "\n".join([LINES[0], *lines, "OK", ""]).encode("utf-8", "replace")
    try:
        told = Inspect(ROOT, deep=False, trees=(ACTIVATION,)).parse(answer, 0)
    except UnansweredError:
        return
    tree = told.trees[ACTIVATION]
    assert tree is not None
    assert len(tree.files) + len(tree.links) + len(tree.others) == answer.count(b"\n") - 3
