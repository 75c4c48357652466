"""A file in which a release says something of itself: strict JSON of a fixed name at the top of its tree."""

from __future__ import annotations

import json
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.domain.errors import ReleaseError

#: More than any declaration needs, and little enough to be read whole.
MOST_BYTES = 1 << 20


class Part(BaseModel):
    """Immutable, and refuses fields that it does not know: a misspelt one would be a change that nobody sees."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Declaration(Part):
    """The file as a whole."""

    #: Its path in the release, and what an operator may read about it.
    PATH: ClassVar[str]
    MANUAL: ClassVar[str] = "docs/ota.md describes the fields"

    format: int = Field(ge=1, le=1)

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the file's bytes: JSON in UTF-8, at most `MOST_BYTES`. Raises `ReleaseError`, with the field."""
        if len(raw) > MOST_BYTES:
            raise cls._refusal("it is too large", f"at most {MOST_BYTES} bytes", f"{len(raw)} bytes")
        try:
            document = json.loads(raw.decode(), object_pairs_hook=_each_once, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise cls._refusal("it is not JSON", "a JSON object in UTF-8", str(error)) from error
        try:
            return cls.model_validate(document)
        except (ValidationError, RecursionError) as error:
            raise cls._refusal(*_first(error)) from error

    @classmethod
    def _refusal(cls, what: str, expected: str, found: str) -> ReleaseError:
        return ReleaseError(
            f"{cls.PATH} can't be read: {what}", where=cls.PATH, expected=expected, found=found[:200], remedy=cls.MANUAL
        )


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name[:80]!a} twice in one object")
        found[name] = value
    return found


def _no_number(text: str) -> object:
    raise ValueError(f"{text} is not JSON")


def _first(error: ValidationError | RecursionError) -> tuple[str, str, str]:
    """What is wrong, what was expected, what was found: of the first thing that is wrong."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply", "a plain object", "more levels than can be read"
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part)[:60] for part in first["loc"])
    return (f"at {place}" if place else "as a whole"), first["msg"], ascii(first["input"])
