"""Records and their fields, from a document's values to the model's: what can't be one is reported where it stands."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from inventory.document import Node
from inventory.problem import Report, quoted, shown
from inventory.wording import explain

T = TypeVar("T")


def entries(node: Node | None, report: Report) -> dict[str, Node]:
    """The entries of a mapping whose names are free; none, and a problem, where it is something else."""
    if node is None:
        return {}
    if isinstance(node.content, dict):
        return node.content
    report.add(node.place, node.field, "is not a mapping", expected="names, each with a value", found=node.found())
    return {}


def fields(
    node: Node | None, known: Collection[str], report: Report, required: Mapping[str, str] | None = None
) -> dict[str, Node]:
    """The entries of a record that are `known`. Others are problems, and so are `required` ones that are not there.

    `required` says what such a field takes.
    """
    given = entries(node, report)
    for name, entry in given.items():
        if name not in known:
            report.add(entry.key, entry.field, "is not a field", expected=one_of(name, known))
    if node is not None and isinstance(node.content, dict):
        for name, takes in (required or {}).items():
            if name not in given:
                report.add(node.place, (*node.field, name), "is missing", expected=takes)
    return {name: entry for name, entry in given.items() if name in known}


def one_of(name: str, known: Collection[str]) -> str:
    """The nearest of the known names, else all of them, as a message says it."""
    folded = {other.lower(): other for other in known}
    near = get_close_matches(name.lower(), folded, 1)
    return f"{quoted(folded[near[0]])}, perhaps" if near else shown(f"one of {', '.join(known)}", 300)


def plain(given: Mapping[str, Node]) -> dict[str, Any]:
    """The fields without their places."""
    return {name: node.plain() for name, node in given.items()}


def validated(
    kind: TypeAdapter[T],
    value: Any,
    node: Node,
    report: Report,
    *,
    given: Mapping[str, Node] | None = None,
    missing: Mapping[str, str] | None = None,
    partial: bool = False,
) -> T | None:
    """The value as the model has it, or None and its problems; the other arguments are those of `refuse`.

    Of a `partial` record only the fields that are given can be problems.

    Strict, and as JSON: there a list may become a tuple, but no text a number and no truth value an integer.
    """
    try:
        return kind.validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        errors = error.errors()
        if partial:
            errors = [one for one in errors if one["loc"] and one["loc"][0] in (given or {})]
        refuse(errors, node, report, given=given, missing=missing)
        return None


def refuse(
    errors: Sequence[ErrorDetails],
    node: Node,
    report: Report,
    *,
    given: Mapping[str, Node] | None = None,
    missing: Mapping[str, str] | None = None,
) -> None:
    """Report the model's refusals of `node`, one for each field, at the field's place in `given`.

    What is wrong with the whole stands at the node; so does a field that is not there, with what it takes according to
    `missing`; and so does `name`, which is the node's key in the file.
    """
    by_field: defaultdict[str | None, list[ErrorDetails]] = defaultdict(list)
    for error in errors:
        by_field[str(error["loc"][0]) if error["loc"] else None].append(error)
    for name, refusals in by_field.items():
        what, expected = explain(refusals)
        at = node if name is None else (given or {}).get(name)
        if at is not None:
            found = "" if isinstance(at.content, dict) and name is None else at.found()
            report.add(at.place, at.field, what, expected=expected, found=found)
        elif name == "name":
            report.add(node.key, node.field, what, expected=expected, found=quoted(node.field[-1]))
        elif name is not None and isinstance(node.content, dict):  # else it is in the report that this is no record
            expected = (missing or {}).get(name, expected)
            report.add(node.place, (*node.field, name), what, expected=expected)
