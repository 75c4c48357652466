"""What is wrong in an inventory: each problem with its place in the file, what would be right, and what was found."""

from __future__ import annotations

from dataclasses import dataclass

#: How much of a file's own text a message repeats, in characters.
SHOWN = 80


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line and a column of the file, both from 1. Line 0 stands for a file that could not be read at all."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class InventoryProblem:
    """One thing that is wrong. Whatever it repeats of the file is shortened, control characters escaped.

    `field` is the path of names to the value, with dots between: ``environments.Production.fleets.web.policy``; it is
    empty where the file as a whole is wrong. `expected` and `found` may be empty.
    """

    file: str
    line: int
    column: int
    field: str
    what: str
    expected: str = ""
    found: str = ""

    @property
    def where(self) -> str:
        """``file:line:column``, as compilers write it; the file alone where it could not be read."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file

    @property
    def headline(self) -> str:
        """The field and what is wrong with it."""
        return f"{self.field}: {self.what}" if self.field else self.what

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.headline}"]
        lines += [f"  {label}: {text}" for label, text in (("expected", self.expected), ("found", self.found)) if text]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, str | int]:
        """The problem as JSON carries it."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.column,
            "field": self.field,
            "what": self.what,
            "expected": self.expected,
            "found": self.found,
        }


class InventoryError(Exception):
    """An inventory that can't be used. `problems` holds every one of the file, by line; there is at least one."""

    def __init__(self, problems: tuple[InventoryProblem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class Report:
    """The problems of one file, as they are found. The first at a place and field hides those that follow from it."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: dict[tuple[Place, str], InventoryProblem] = {}

    def add(self, place: Place, field: tuple[str, ...], what: str, *, expected: str = "", found: str = "") -> None:
        """Note a problem."""
        path = ".".join(shown(name) for name in field)
        problem = InventoryProblem(self._file, place.line, place.column, path, what, expected, found)
        self._problems.setdefault((place, path), problem)

    def close(self) -> None:
        """Raises `InventoryError` where there is any problem."""
        if self._problems:
            raise InventoryError(tuple(self._problems[key] for key in sorted(self._problems)))


def shown(text: str, limit: int = SHOWN) -> str:
    """The text, at most `limit` characters of it, what can't be printed escaped."""
    escaped = "".join(char if char.isprintable() else repr(char)[1:-1] for char in text[: limit + 1])
    return escaped if len(escaped) <= limit else escaped[: limit - 1] + "…"


def quoted(text: str) -> str:
    """The text in quotes, at most `SHOWN` characters with them."""
    return f"'{shown(text, SHOWN - 2)}'"
