"""Whatever becomes of an inventory, it loads or is refused with problems that lie within the file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from inventory import loader
from inventory.model import Fleet
from inventory.problem import InventoryError
from tests.unit.inventory.documents import VALID

Path = tuple[str | int, ...]

JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["/", "web", "all"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
#: What YAML gives a meaning to.
SIGNS = st.text(alphabet="&*!%[]{}:-?|>'\"\\\t\n\r #,=<@`~_.+ab01exUN\x00\x85\u2028\ufeff", max_size=12)


def document() -> Any:
    return YAML(typ="safe", pure=True).load(VALID)


def paths(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from paths(item, (*path, key))


PATHS = sorted(paths(document()), key=str)
MAPPINGS = sorted({path[:-1] for path in PATHS if isinstance(path[-1], str)}, key=str)


def at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def spelled(value: Any) -> str:
    """As JSON over many lines, which YAML 1.2 contains."""
    return json.dumps(value, indent=1)


def check(text: str) -> None:
    try:
        inventory = loader.parse(text, "inventory.yml")
    except InventoryError as error:
        lines = text.split("\n")
        assert error.problems
        for problem in error.problems:
            assert 1 <= problem.line <= len(lines)
            assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
            assert len(problem.found) <= 80
            assert all(line.isprintable() for line in str(problem).split("\n"))
            assert "example.yml" not in problem.expected  # a refusal of the model that has no words of ours
        return
    for fleet in inventory.fleets:
        assert Fleet.model_validate(fleet.model_dump(mode="json")) == fleet


def test_the_document_itself_loads_in_both_spellings() -> None:
    assert loader.parse(spelled(document()), "x") == loader.parse(VALID, "x")


@settings(deadline=None)
@given(st.sampled_from(PATHS))
def test_a_document_that_misses_a_value_loads_or_is_refused_at_a_line(path: Path) -> None:
    changed = document()
    del at(changed, path[:-1])[path[-1]]
    check(spelled(changed))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PATHS), JUNK), min_size=1, max_size=3, unique_by=lambda pair: pair[0]))
def test_a_document_with_junk_for_values_loads_or_is_refused_at_a_line(changes: list[tuple[Path, Any]]) -> None:
    changed = document()
    for path, junk in sorted(changes, key=lambda pair: -len(pair[0])):
        at(changed, path[:-1])[path[-1]] = junk
    check(spelled(changed))


@settings(deadline=None)
@given(st.sampled_from(MAPPINGS), st.text(max_size=12) | st.sampled_from(["name", "apps", "<<", "policy"]), JUNK)
def test_a_document_with_one_field_more_loads_or_is_refused_at_a_line(path: Path, name: str, junk: Any) -> None:
    changed = document()
    at(changed, path)[name] = junk
    check(spelled(changed))


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(VALID)), st.integers(0, 40), SIGNS)
def test_a_text_with_a_piece_replaced_loads_or_is_refused_at_a_line(start: int, length: int, piece: str) -> None:
    check(VALID[:start] + piece + VALID[start + length :])


@settings(deadline=None, max_examples=500)
@given(SIGNS | st.text())
def test_any_text_loads_or_is_refused_at_a_line(text: str) -> None:
    check(text)


@settings(deadline=None)
@given(data=st.binary() | SIGNS.map(str.encode))
def test_any_bytes_loads_or_is_refused_at_a_line(data: bytes, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "inventory.yml"
    path.write_bytes(data)
    try:
        loader.load(path)
    except InventoryError as error:
        for problem in error.problems:
            assert 1 <= problem.line <= data.count(b"\n") + 1
