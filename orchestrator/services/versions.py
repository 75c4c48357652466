"""The version that a hook's template makes of a delivery's body (docs/hooks.md, "Templates").

Templates are Jinja2, of which only a part is let through: values of the body, and a few filters. Nothing loops, calls,
counts or multiplies, so the time and the memory that one takes are bounded by its length and the body's.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from jinja2 import StrictUndefined, Undefined, nodes
from jinja2.exceptions import TemplateError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orchestrator.domain.errors import UsageError
from orchestrator.domain.release import VERSION

#: What a template may be made of.
_PARTS = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Filter,
)
#: No value that is longer can be a part of a version.
LONGEST = 64


def document(body: bytes) -> Any:
    """The JSON of a body. `UsageError` for anything else; what came is not repeated."""
    try:
        return json.loads(body.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        where = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UsageError("the body is not JSON", where=where, expected="JSON in UTF-8") from None


def versions(templates: Mapping[str, str], body: Any) -> dict[str, str]:
    """Each app's version. `UsageError` where a template is none, the body lacks a field, or no version comes out."""
    return {app: _version(app, template, body) for app, template in templates.items()}


def check(template: str) -> None:
    """`UsageError` where it is no template, or holds more than is let through."""
    _compiled(template)


def _version(app: str, template: str, body: Any) -> str:
    expected = f"what {_printable(template)} needs, and a version of it"
    try:
        made: str = _compiled(template).render(body=body).strip()
    except UndefinedError as error:
        raise UsageError("the body lacks a field", where=f"app {app}", expected=expected, found=_shown(error)) from None
    except (TemplateError, _NoText) as error:
        raise UsageError(
            "the body has no version", where=f"app {app}", expected=expected, found=_shown(error)
        ) from None
    if VERSION.fullmatch(made) is None:
        raise UsageError(
            "the body has no version",
            where=f"app {app}",
            expected=f"{expected}: letters, digits, '.', '_', '+' and '-', at most {LONGEST}",
            found=ascii(made[:LONGEST]),
        )
    return made


class _NoText(Exception):  # noqa: N818
    """A value that can't be a part of a version."""


def _part(value: Any) -> str:
    """What a template puts out, in Jinja's own words "finalized"."""
    if isinstance(value, Undefined):
        # Raises, and names the field.
        return str(value)
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _NoText(f"{type(value).__name__} where text or a whole number was expected: quote it in the body")
    text = str(value) if isinstance(value, str) or abs(value) < 10**LONGEST else "9" * (LONGEST + 1)
    if len(text) > LONGEST:
        raise _NoText(f"more than {LONGEST} characters")
    return text


def _text(value: Any) -> str:
    """The text that a filter works on."""
    if isinstance(value, Undefined):
        return str(value)
    if not isinstance(value, str):
        raise _NoText(f"{type(value).__name__} where text was expected")
    return value


class _Environment(ImmutableSandboxedEnvironment):
    """Looks names up in the body alone: what Python's objects have besides is not there."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``value.name``: as ``value["name"]``."""
        return self.getitem(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``value["name"]`` or ``value[0]``."""
        if isinstance(obj, Mapping) and isinstance(argument, str) and argument in obj:
            return obj[argument]
        whole = isinstance(argument, int) and not isinstance(argument, bool)
        if isinstance(obj, list) and whole and 0 <= argument < len(obj):
            return obj[argument]
        return self.undefined(obj=obj, name=argument)


def _environment() -> _Environment:
    environment = _Environment(undefined=StrictUndefined, finalize=_part, autoescape=False)
    environment.filters = {
        "lower": lambda value: _text(value).lower(),
        "upper": lambda value: _text(value).upper(),
        "trim": lambda value: _text(value).strip(),
        "removeprefix": lambda value, prefix: _text(value).removeprefix(_text(prefix)),
        "removesuffix": lambda value, suffix: _text(value).removesuffix(_text(suffix)),
        "default": lambda value, other: other if isinstance(value, Undefined) else value,
    }
    environment.globals = {}
    environment.tests = {}
    return environment


@functools.lru_cache(maxsize=256)
def _compiled(template: str) -> Any:
    environment = _environment()
    try:
        tree = environment.parse(template)
        for node in (tree, *tree.find_all(nodes.Node)):
            if not isinstance(node, _PARTS):
                _refuse(template, f"{type(node).__name__} in line {node.lineno}")
            if isinstance(node, nodes.Name) and node.name != "body":
                _refuse(template, f"{node.name} in line {node.lineno}")
            if isinstance(node, nodes.Filter) and not _rightly_called(node):
                _refuse(template, f"{node.name} in line {node.lineno}, with other arguments than it has")
        return environment.from_string(template)
    except (TemplateError, RecursionError) as error:
        _refuse(template, str(error))


def _rightly_called(node: nodes.Filter) -> bool:
    if node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
        return False
    return len(node.args) == (1 if node.name in ("default", "removeprefix", "removesuffix") else 0)


def _refuse(template: str, found: str) -> NoReturn:
    raise UsageError(
        "not a template of a version",
        where=_printable(template),
        expected="text and {{ body.field }}, with the filters default, lower, upper, trim, removeprefix, removesuffix",
        found=_printable(found),
        remedy="correct it in hooks.yml; docs/hooks.md, Templates",
    )


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _shown(error: Exception) -> str:
    return _printable(str(error))


def _printable(text: str) -> str:
    """Short, on one line, and nothing but ASCII, whatever the body and the template are."""
    return ascii(text)[1:-1][:200]
