"""The versions that templates make of a body, and all that is no template and no version."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.domain.errors import UsageError
from orchestrator.services.versions import check, document, versions

BODY = {
    "release": {"version": "1.2.0", "tag_name": "v1.2.0", "items": "4", "build": 17, "price": 1.10, "done": True},
    "commits": [{"id": "abc"}, {"id": "def"}],
    "empty": "",
    "none": None,
    "long": "x" * 65,
    "path": "../../etc/passwd",
    "line": "1.2.0\n",
    "arabic": "\u0661.\u0662",
    "lone": "\ud800",
    "{{": "1",
}


@pytest.mark.parametrize(
    ("template", "version"),
    [
        ("{{ body.release.version }}", "1.2.0"),
        ("{{ body['release']['version'] }}", "1.2.0"),
        ("{{ body.release.items }}", "4"),
        ("{{ body.release.build }}", "17"),
        ("1.0.{{ body.release.build }}+{{ body.commits[1].id }}", "1.0.17+def"),
        ("{{ body.release.tag_name | removeprefix('v') }}", "1.2.0"),
        ("{{ body.release.version | upper | lower | trim | removesuffix('.0') }}", "1.2"),
        ("{{ body.missing | default(body.release.version) }}", "1.2.0"),
        ("{{ body['{{'] }}", "1"),
        ("1.2.0", "1.2.0"),
        ("\n {{ body.release.version }}\n", "1.2.0"),
    ],
)
def test_a_template_makes_a_version(template: str, version: str) -> None:
    assert versions({"ToDo": template}, BODY) == {"ToDo": version}


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("{{ body.missing }}", "missing"),
        ("{{ body.release.version.more }}", "more"),
        ("{{ body.commits[2].id }}", "2"),
        ("{{ body.commits.id }}", "id"),
        ("{{ body.missing | upper }}", "missing"),
        ("{{ body.release.__class__ }}", "__class__"),
        ("{{ body.release.keys }}", "keys"),
        ("{{ body.empty }}", "''"),
        ("{{ body.none }}", "NoneType"),
        ("{{ body.release.price }}", "float"),
        ("{{ body.release.done }}", "bool"),
        ("{{ body.release }}", "dict"),
        ("{{ body.commits }}", "list"),
        ("{{ body.long }}", "64"),
        ("{{ body.release.version }}" * 20, "1.2.0"),
        ("{{ body.path }}", "etc"),
        ("{{ body.arabic }}", "\\u0661"),
        ("{{ body.lone }}", "\\ud800"),
        ("{{ body.release.build | upper }}", "int"),
        ("{{ body.release.version | removeprefix(3) }}", "int"),
        ("{{ body }}", "dict"),
    ],
)
def test_what_is_no_version_is_refused_with_what_was_expected(template: str, found: str) -> None:
    with pytest.raises(UsageError) as caught:
        versions({"ToDo": template}, BODY)
    assert found in caught.value.problem.found
    assert caught.value.problem.where == "app ToDo"
    assert template[:200] in caught.value.problem.expected
    json.dumps(caught.value.problem.as_dict(), ensure_ascii=False).encode()


def test_a_trailing_line_end_is_no_part_of_a_version() -> None:
    assert versions({"ToDo": "{{ body.line }}"}, BODY) == {"ToDo": "1.2.0"}


@pytest.mark.parametrize(
    "template",
    [
        "{{ body.release.version",
        "{% for x in body.commits %}{% endfor %}",
        "{% set x = 1 %}{{ x }}",
        "{% include 'x' %}",
        "{% macro x() %}{% endmacro %}",
        "{{ range(10) }}",
        "{{ body.release.version.format(1) }}",
        "{{ body() }}",
        "{{ 'x' * 1000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ body.a ~ body.b }}",
        "{{ body.a + body.b }}",
        "{{ body.a if body.b else body.c }}",
        "{{ body.a is defined }}",
        "{{ [1, 2] }}",
        "{{ {'a': 1} }}",
        "{{ body.path[1:] }}",
        "{{ other }}",
        "{{ self }}",
        "{{ body.a | center(1000000000) }}",
        "{{ body.a | replace('', 'x') }}",
        "{{ body.a | map('upper') }}",
        "{{ body.a | removeprefix }}",
        "{{ body.a | upper('x') }}",
        "{{ body.a | default(other='x') }}",
        "{{ body.a | default(*body.b) }}",
        "{{ body[" + "I" * 5000 + "] }}",
        "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    ],
)
def test_what_loops_calls_or_counts_is_no_template(template: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(template)
    assert "template" in caught.value.problem.what
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("body", [{"release": {}}, [], "text", 5, None, {}])
def test_a_body_of_another_shape_lacks_the_field(body: Any) -> None:
    with pytest.raises(UsageError, match="lacks a field"):
        versions({"ToDo": "{{ body.release.version }}"}, body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b"\xff",
        b"NaN",
        b"[Infinity]",
        b"[" * 100_000,
        b"1" * 5000,
        '{"a": "ü"}'.encode("utf-16"),
    ],
)
def test_what_is_not_json_is_refused_without_a_word_of_it(body: bytes) -> None:
    with pytest.raises(UsageError, match="not JSON") as caught:
        document(body)
    assert caught.value.__cause__ is None
