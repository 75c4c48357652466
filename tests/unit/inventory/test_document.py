from __future__ import annotations

import pytest

from inventory import document
from inventory.problem import InventoryError, InventoryProblem, Report


def refused(text: str) -> InventoryProblem:
    report = Report("x.yml")
    document.read(text, report)
    with pytest.raises(InventoryError) as caught:
        report.close()
    return caught.value.problems[0]


def plain(text: str) -> object:
    report = Report("x.yml")
    root = document.read(text, report)
    report.close()
    assert root is not None
    return root.plain()


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", "1:1", "is empty"),
        ("# nothing\n", "1:1", "is empty"),
        ("a:\n\tb: 1\n", "2:1", "has a tab"),
        ("a:\n  b: 1\n c: 2\n", "3:2", "is indented in a way that does not fit the lines above"),
        ("a: b: c\n", "1:5", "has a colon where no name can stand"),
        ("a: 1\n---\nb: 2\n", "2:1", "has a second document"),
        ("%YAML 1.1\n---\na: yes\n", "1:1", "has a directive"),
        ("# x\n%YAML 1.22222222222\n---\na\n", "2:1", "has a directive"),
        ("a: 1\nb: \x07\n", "2:4", "has a character that YAML forbids"),
        ('a: 1\nb: "\\UFFFFFFFF"\n', "2:5", "has an escape for no character"),
        ("a: 'x\n", "1:6", "is not YAML: found unexpected end of stream"),
        ("a: *b\n", "1:4", "is not YAML: found undefined alias 'b'"),
        ("a: 1\nb: 2\na: 3\n", "3:1", "is there twice"),
        ("a: !!python/name:os.system {}\n", "1:4", "has a tag"),
        ("a: !!str 7\n", "1:4", "has a tag"),
        ("a: !!int 7x\n", "1:4", "has a tag"),
        ("a: !!set {b}\n", "1:4", "has a tag"),
        ("? [a]\n: 1\n", "1:3", "has a key that is not a name"),
        ('"\\e[1m": 1\n', "1:1", "has a key that is not a name"),
        ('a: "\\ud800"\n', "1:4", "has characters that can't be printed"),
        ("a: " + "[" * 30 + "]" * 30, "1:23", "is nested too deeply"),
        ("a: " + "[" * 100_000, "1:23", "is nested too deeply"),
        ("a: &a [*a]", "1:4", "is nested too deeply"),
        ("x" * (document.MAX_SIZE + 1), "1:1", "is too large"),
        # A line separator of Unicode's ends no line for an editor.
        ("a: '\u2028\u0085'\nb: *c\n", "2:4", "is not YAML: found undefined alias 'c'"),
    ],
    ids=lambda value: repr(value[:24]),
)
def test_what_is_not_one_plain_yaml_document_is_refused_at_its_place(text: str, where: str, what: str) -> None:
    problem = refused(text)
    assert (problem.where, problem.what) == (f"x.yml:{where}", what)


def test_aliases_can_not_multiply_without_end() -> None:
    lines = ["a0: &a0 [" + ", ".join("x" * 10) + "]"]
    lines += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 15)]
    assert refused("\n".join(lines)).what == "has too many values"


def test_a_key_that_is_there_twice_says_where_it_was_first() -> None:
    assert refused("a: 1\nb: 2\na: 3\n").expected == "one: the first stands in line 1"


def test_values_are_those_of_yaml_1_2() -> None:
    text = "{a: yes, b: true, c: 0o17, d: 1.5, e: ~, f: 2001-01-01, g: '1', h: 1e3, i: [x], j: {k: }, 1: '2'}"
    assert plain(text) == {
        "a": "yes",
        "b": True,
        "c": 15,
        "d": 1.5,
        "e": None,
        "f": "2001-01-01",
        "g": "1",
        "h": 1000.0,
        "i": ["x"],
        "j": {"k": None},
        "1": "2",
    }


@pytest.mark.parametrize("text", ["0x_", "0b_", "9" * 5000])
def test_what_only_looks_like_a_number_is_text(text: str) -> None:
    assert plain(f"a: {text}") == {"a": text}


def test_an_anchor_may_be_used_again() -> None:
    assert plain("a: &x 1\nb: &x 2\nc: *x\n") == {"a": 1, "b": 2, "c": 2}


def test_a_value_points_at_itself_and_a_mapping_at_its_key() -> None:
    root = document.read("top:\n  one: 1\n  list:\n    - x\n  inner:\n    two: 2\n  none:\n", Report("x"))
    assert root is not None
    assert isinstance(root.content, dict)
    top = root.content["top"]
    assert isinstance(top.content, dict)
    places = {name: (node.place.line, node.place.column) for name, node in top.content.items()}
    assert places == {"one": (2, 8), "list": (4, 5), "inner": (5, 3), "none": (7, 3)}
    assert (top.place.line, top.place.column) == (1, 1)
