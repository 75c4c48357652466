"""What a worker is sent for and what it brings back: nothing counts but its exact form."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import Problem, UnansweredError, UsageError
from orchestrator.domain.layout import Tree
from orchestrator.ota.doctor import look as module
from orchestrator.ota.doctor.look import Errand, Look, Seen, Unseen, answer, differing, read_answer

SHA = "a" * 64
RELEASE = f"releases/ToDo/{SHA}"
NAME = ActivationName(3, "0123456789abcdef")
ERRAND = Errand("0" * 32, 7, "fe1", "ToDo", frozenset({SHA}), "scripts/ü.js", 30.0)
LOOK = Look(
    NAME, True, RELEASE, {RELEASE: Seen(SHA, (f"f {SHA} a b.js", "o ? odd")), f"activations/{NAME}": Seen("b" * 64)}
)
TREE = Tree(RELEASE, {"a.js": SHA, "b.js": "b" * 64}, {"link": "../../x"})


def test_an_errand_arrives_as_it_was_sent() -> None:
    assert Errand.read(json.loads(json.dumps(ERRAND.words()))) == ERRAND
    assert Errand.read(replace(ERRAND, file=None).words()) == replace(ERRAND, file=None)


@pytest.mark.parametrize(
    ("place", "word"),
    [
        (0, "0" * 31),
        (0, "../../etc/passwd"),
        (0, 7),
        (1, "7"),
        (1, True),
        (2, "fe1; reboot"),
        (2, None),
        (3, "To Do"),
        (4, ["short"]),
        (4, SHA),
        (5, 7),
        (6, 0),
        (6, "soon"),
        (6, float("nan")),
        (6, 1e9),
    ],
)
def test_a_message_that_is_no_errand_is_refused(place: int, word: Any) -> None:
    words = ERRAND.words()
    words[place] = word
    with pytest.raises(UsageError):
        Errand.read(words)


def test_a_message_of_another_length_is_refused() -> None:
    for words in ([], ERRAND.words()[:-1], [*ERRAND.words(), 1]):
        with pytest.raises(UsageError):
            Errand.read(words)


@pytest.mark.parametrize("seen", [LOOK, Unseen(Problem("no way", "fe1", "a", "b", "c"))])
def test_an_answer_arrives_as_it_was_sent(seen: Look | Unseen) -> None:
    assert read_answer(answer("fe1", seen)) == ("fe1", seen)


def test_a_path_that_is_not_utf_8_arrives_as_well() -> None:
    odd = replace(LOOK, trees={RELEASE: Seen(SHA, (f"f {SHA} \udcff\n.js",))})
    assert read_answer(answer("fe1", odd)) == ("fe1", odd)


def test_an_answer_that_would_be_too_long_comes_without_its_listings() -> None:
    line = f"f {SHA} {'x' * 1000}"
    long = replace(LOOK, trees={RELEASE: Seen("b" * 64, (line,) * (module.LONGEST_LOOK // 1000))})
    name, seen = read_answer(answer("fe1", long))
    assert isinstance(seen, Look)
    assert (name, seen.trees) == ("fe1", {RELEASE: Seen("b" * 64)})


def changed(**fields: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda document: {**document, **fields}


@pytest.mark.parametrize(
    "change",
    [
        lambda document: [],
        lambda document: None,
        lambda document: {key: value for key, value in document.items() if key != "current"},
        changed(frontend="fe 1"),
        changed(frontend=None),
        changed(current="3-xyz"),
        changed(current=3),
        changed(drained="yes"),
        changed(release="releases/../../etc"),
        changed(release=None),
        changed(trees=[]),
        changed(trees={"/etc": {"digest": SHA, "lines": None}}),
        changed(trees={RELEASE: {"digest": "A" * 64, "lines": None}}),
        changed(trees={RELEASE: {"digest": SHA, "lines": "f"}}),
        changed(trees={RELEASE: {"digest": SHA, "lines": ["x"]}}),
        changed(trees={RELEASE: {"digest": SHA, "lines": ["f \x1b[2J a.js"]}}),
        changed(trees={RELEASE: {"digest": SHA, "lines": [["f"]]}}),
        changed(trees={RELEASE: {"digest": SHA}}),
        changed(problem={}),
        changed(problem={"what": 1, "where": "", "expected": "", "found": "", "remedy": ""}),
    ],
)
def test_an_answer_of_another_form_counts_for_nothing(change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(answer("fe1", LOOK))
    with pytest.raises(UnansweredError):
        read_answer(json.dumps(change(document)).encode())


@given(st.binary(max_size=200))
def test_no_bytes_at_all_do_harm(body: bytes) -> None:
    with pytest.raises(UnansweredError):
        read_answer(body)


def test_an_answer_that_is_too_long_is_not_read() -> None:
    with pytest.raises(UnansweredError):
        read_answer(b" " * (module.LONGEST_LOOK + 1) + answer("fe1", LOOK))


def test_of_a_tree_that_is_right_only_its_hash_comes_back_and_of_another_every_line() -> None:
    errand = replace(ERRAND, known=frozenset({TREE.digest()}))
    assert Seen.of(TREE.listing(), errand, None) == Seen(TREE.digest())
    other = replace(TREE, files={"a.js": "c" * 64})
    assert Seen.of(other.listing(), errand, None) == Seen(other.digest(), tuple(other.listing()))


def test_where_one_file_is_asked_about_its_line_alone_comes_back() -> None:
    assert Seen.of(TREE.listing(), ERRAND, "b.js") == Seen(TREE.digest(), (f"f {'b' * 64} b.js",))
    assert Seen.of(TREE.listing(), ERRAND, "c.js") == Seen(TREE.digest(), ())


def test_what_differs_is_named_with_both_sides() -> None:
    listed = (f"f {SHA} a.js", f"f {'c' * 64} b.js", "o ? new")
    assert [(d.path, d.expected, d.found) for d in differing(TREE, listed)] == [
        ("b.js", f"a file of SHA-256 {'b' * 64}", f"a file of SHA-256 {'c' * 64}"),
        ("link", "a link to ../../x", "nothing"),
        ("new", "nothing", "neither a file nor a link"),
    ]
