"""The model's refusals in the inventory's own words: pydantic's error types never reach the reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic_core import ErrorDetails

_KIND = "is of the wrong kind"
_RANGE = "is out of range"
_CHOICE = "is not one of the choices"
_URL = "is not a usable URL"

#: Error type of pydantic -> what is wrong, and from its context: what would be right.
_WORDS: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], str]]] = {
    "string_type": (_KIND, lambda _: "text; in quotes where it looks like something else"),
    "int_type": (_KIND, lambda _: "a whole number"),
    "int_from_float": (_KIND, lambda _: "a whole number"),
    "int_parsing_size": (_RANGE, lambda _: "a whole number of a few digits"),
    "float_type": (_KIND, lambda _: "a number"),
    "finite_number": (_RANGE, lambda _: "a finite number"),
    "greater_than": (_RANGE, lambda context: f"more than {_number(context['gt'])}"),
    "greater_than_equal": (_RANGE, lambda context: f"at least {_number(context['ge'])}"),
    "less_than_equal": (_RANGE, lambda context: f"at most {_number(context['le'])}"),
    "enum": (_CHOICE, lambda context: str(context["expected"])),
    "literal_error": (_CHOICE, lambda context: str(context["expected"])),
    "url_type": (_KIND, lambda _: "a URL such as http://10.0.0.11:8080"),
    "url_parsing": (_URL, lambda _: "a URL such as http://10.0.0.11:8080"),
    "url_syntax_violation": (_URL, lambda _: "a URL such as http://10.0.0.11:8080"),
    "url_scheme": (_URL, lambda _: "a URL that begins with http:// or https://"),
    "url_too_long": (_URL, lambda context: f"at most {context['max_length']} characters"),
    "missing": ("is missing", lambda _: ""),
}


def explain(errors: Sequence[ErrorDetails]) -> tuple[str, str]:
    """What is wrong with one field, and what would be right (may be empty).

    A field that takes one of several kinds (`verify`) has an error for each: what would be right names them all.
    """
    pairs = [_explained(error) for error in errors]
    return pairs[-1][0], " or ".join(dict.fromkeys(expected for _, expected in pairs if expected))


def _explained(error: ErrorDetails) -> tuple[str, str]:
    if error["type"] == "value_error":
        # Our own validators: those of a field say "expected …", those of a whole record say what is wrong.
        text = str(error["ctx"]["error"])
        return ("does not fit", text.removeprefix("expected ")) if text.startswith("expected ") else (text, "")
    what, expected = _WORDS.get(error["type"], ("does not fit", lambda _: "what inventory/example.yml says of it"))
    return what, expected(error.get("ctx", {}))


def _number(value: float) -> str:
    return f"{value:g}" if value < 10_000 else f"{value:,.0f}"
