"""A fleet's gates, from a document's values to the model's."""

from __future__ import annotations

from pydantic import TypeAdapter

from inventory.document import Node
from inventory.fields import fields, plain, validated
from inventory.model import Gate, Gates
from inventory.problem import Report

_GATE = TypeAdapter(Gate)
_COMMAND = "a list: the absolute path of a program, then its arguments, such as [/usr/local/bin/check, --fast]"
_NEEDS = {"command": _COMMAND}


def gates(node: Node | None, report: Report) -> Gates:
    """The gates of a fleet. One that is wrong is in the report, and nobody sees what stands in its place."""
    if node is None or node.content is None:
        return Gates()
    given = fields(node, tuple(Gates.model_fields), report)
    return Gates(**{name: _gate(entry, report) for name, entry in given.items()})


def _gate(node: Node, report: Report) -> Gate | None:
    if node.content is None:
        return None
    given = fields(node, tuple(Gate.model_fields), report, _NEEDS)
    command = given.get("command")
    if command is None:  # and so in the report
        return None
    if not isinstance(command.content, list):
        report.add(command.place, command.field, "is not a list", expected=_COMMAND, found=command.found())
        return None
    return validated(_GATE, plain(given), node, report, given=given)
