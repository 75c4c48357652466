"""A YAML document as a tree of values that know their place in the file. Knows nothing of what the values mean.

YAML 1.2 without directives, tags and merge keys. Aliases are allowed, within limits on size and depth.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from inventory.problem import Place, Report, quoted, shown

#: The largest inventory that is read, in bytes: some four thousand frontends.
MAX_SIZE = 1 << 20
#: How deep values may nest. The inventory itself needs eight levels.
MAX_DEPTH = 20
#: How many values a document may have once its aliases are followed.
MAX_VALUES = 100_000

_TOO_DEEP = ("is nested too deeply", f"at most {MAX_DEPTH} levels")
#: What the library says most often -> what is wrong, and what would be right.
_WORDS = {
    "'\\t'": ("has a tab", "spaces: YAML does not indent with tabs"),
    "maximum depth": _TOO_DEEP,
    "<block end>": (
        "is indented in a way that does not fit the lines above",
        "the same indentation for all of a mapping",
    ),
    "mapping values are not allowed": ("has a colon where no name can stand", "quotes around text with a colon in it"),
    "found another document": ("has a second document", "one document"),
}
_DIRECTIVE = re.compile(r"^%.*", re.MULTILINE)
#: A character that does not exist.
_ESCAPE = re.compile(r"\\U(?!0010|000)[0-9A-Fa-f]{8}")
_TAG = "tag:yaml.org,2002:"
#: What is not text. A date is: YAML 1.2's core schema has no dates.
_OTHER = {_TAG + "int", _TAG + "float", _TAG + "bool", _TAG + "null"}


@dataclass(frozen=True, slots=True)
class Node:
    """A value: text, a number, a truth value, nothing, a list, or a mapping by name.

    `field` is the path of names that leads to it (an item of a list has the list's). `place` is where a message about
    the value points to: at the value, or at its key where it is a mapping or empty. `key` is where its name stands.
    """

    content: str | int | float | bool | list[Node] | dict[str, Node] | None
    field: tuple[str, ...]
    place: Place
    key: Place

    def plain(self) -> Any:
        """The value without places, as JSON would hold it."""
        if isinstance(self.content, dict):
            return {name: node.plain() for name, node in self.content.items()}
        if isinstance(self.content, list):
            return [node.plain() for node in self.content]
        return self.content

    def found(self) -> str:
        """The value as a message repeats it."""
        match self.content:
            case None:
                return "nothing"
            case bool():
                return "true" if self.content else "false"
            case str():
                return quoted(self.content)
            case list():
                return f"a list of {len(self.content)}"
            case dict():
                return f"a mapping of {len(self.content)}"
            case _:
                return shown(str(self.content))


def decode(data: bytes, report: Report) -> str | None:
    """The file's text, or None and a problem where it is too large or not UTF-8. A byte order mark is left out."""
    if len(data) > MAX_SIZE:
        _refuse_size(report)
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        head, byte = error.object[: error.start], error.object[error.start]
        place = Place(head.count(b"\n") + 1, len(head) - head.rfind(b"\n"))
        report.add(place, (), "is not UTF-8", expected="a text file in UTF-8", found=f"the byte 0x{byte:02x}")
        return None


def read(text: str, report: Report) -> Node | None:
    """The document's root, or None and a problem where the text is not one YAML document."""
    if len(text) > MAX_SIZE:
        _refuse_size(report)
        return None
    lines = _Lines(text)
    directive = _DIRECTIVE.search(text)
    if directive is not None:
        found = quoted(directive.group())
        report.add(lines.place(directive.start()), (), "has a directive", expected="YAML 1.2, without %", found=found)
        return None
    yaml = YAML(typ="safe", pure=True)
    yaml.max_depth = MAX_DEPTH
    # An anchor may be used again for another value; the library would warn on standard error.
    yaml.composer.warn_double_anchors = False
    try:
        root = yaml.compose(text)
    except YAMLError as error:
        _explain(error, lines, report)
        return None
    except (ValueError, OverflowError):
        # The library turns escapes into characters without a look at their range.
        escape = _ESCAPE.search(text)
        place = lines.place(escape.start() if escape is not None else 0)
        report.add(place, (), "has an escape for no character", expected="at most \\U0010FFFF")
        return None
    if root is None:
        report.add(Place(1, 1), (), "is empty", expected="a mapping with apps and environments")
        return None
    return _Tree(yaml, lines, report).root(root)


def _refuse_size(report: Report) -> None:
    report.add(Place(1, 1), (), "is too large", expected=f"at most {MAX_SIZE:,} bytes")


def _explain(error: YAMLError, lines: _Lines, report: Report) -> None:
    """The library's error in the words of the other problems, at its place."""
    if isinstance(error, ReaderError):
        place = lines.place(error.position)
        report.add(place, (), "has a character that YAML forbids", found=shown(repr(chr(error.character))))
        return
    said, place = str(error), Place(1, 1)
    if isinstance(error, MarkedYAMLError):
        said = error.problem or error.context or said
        mark = error.problem_mark or error.context_mark
        place = lines.place(mark.index) if mark is not None else place
    words = (pair for fragment, pair in _WORDS.items() if fragment in said)
    what, expected = next(words, (f"is not YAML: {shown(said)}", "one YAML document"))
    report.add(place, (), what, expected=expected)


class _Lines:
    """Turns offsets into places. Only a line feed ends a line, as in editors and grep."""

    def __init__(self, text: str) -> None:
        self._end = len(text.rstrip("\n"))
        self._starts = [0, *(match.end() for match in re.finditer("\n", text[: self._end]))]

    def place(self, offset: int) -> Place:
        """The place of an offset; what lies behind the last line counts as that line's end."""
        inside = min(offset, self._end)
        line = bisect_right(self._starts, inside)
        return Place(line, inside - self._starts[line - 1] + 1)


class _Tree:
    """Turns the library's nodes into ours, each alias followed."""

    def __init__(self, yaml: YAML, lines: _Lines, report: Report) -> None:
        self._yaml = yaml
        self._lines = lines
        self._report = report
        self._values = 0

    def root(self, node: Any) -> Node | None:
        """The tree, or None where following the aliases makes it too large."""
        place = self._lines.place(node.start_mark.index)
        tree = self._value(node, (), place, 1)
        if self._values > MAX_VALUES:
            self._report.add(place, (), "has too many values", expected=f"at most {MAX_VALUES:,}, aliases followed")
            return None
        return tree

    def _value(self, node: Any, field: tuple[str, ...], key: Place, depth: int) -> Node:
        place = self._lines.place(node.start_mark.index)
        self._values += 1
        if depth > MAX_DEPTH:
            self._report.add(key, field, _TOO_DEEP[0], expected=_TOO_DEEP[1])
            return Node(None, field, key, key)
        if self._values > MAX_VALUES:
            return Node(None, field, key, key)
        match node:
            case MappingNode():
                self._refuse_tag(node, _TAG + "map", field, place)
                return Node(self._mapping(node, field, depth), field, key, key)
            case SequenceNode():
                self._refuse_tag(node, _TAG + "seq", field, place)
                items = [self._value(n, field, self._lines.place(n.start_mark.index), depth + 1) for n in node.value]
                return Node(items, field, place, key)
            case _:
                content = self._scalar(node, field, place)
                return Node(content, field, key if content is None else place, key)

    def _mapping(self, node: MappingNode, field: tuple[str, ...], depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for key_node, value_node in node.value:
            key = self._lines.place(key_node.start_mark.index)
            if not isinstance(key_node, ScalarNode) or not key_node.value.isprintable():
                self._report.add(key, field, "has a key that is not a name", expected="a name before the colon")
                continue
            name, path = key_node.value, (*field, key_node.value)
            if name in entries:
                first = entries[name].key
                self._report.add(key, path, "is there twice", expected=f"one: the first stands in line {first.line}")
                continue
            if key_node.tag == _TAG + "merge":
                expected = "the fields written out, or an alias of the whole mapping"
                self._report.add(key, path, "is a merge key, which YAML 1.2 does not have", expected=expected)
                continue
            entries[name] = self._value(value_node, path, key, depth + 1)
        return entries

    def _scalar(self, node: ScalarNode, field: tuple[str, ...], place: Place) -> str | int | float | bool | None:
        text: str = node.value
        plain = node.style is None
        tag = self._yaml.resolver.resolve(ScalarNode, text, (plain, not plain))
        self._refuse_tag(node, str(tag), field, place)
        if node.tag in _OTHER and node.tag == str(tag):
            try:
                value: int | float | bool | None = self._yaml.constructor.construct_object(node)
            except ValueError:
                return text  # looks like a number to the library, and is none: 0x_, or more digits than Python reads
            return value
        if not text.isprintable():
            self._report.add(place, field, "has characters that can't be printed", found=quoted(text))
            return shown(text)
        return text

    def _refuse_tag(self, node: Any, expected: str, field: tuple[str, ...], place: Place) -> None:
        if node.tag != expected:
            found = shown(str(node.tag).replace(_TAG, "!!"))
            self._report.add(place, field, "has a tag", expected="the value alone", found=found)
