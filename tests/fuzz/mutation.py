"""How samples become inputs: pieces that break parsers, put where they hurt."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

#: What UTF-8 forbids: overlong `/`, `.` and NUL, surrogates, a byte that never occurs, a letter that is cut off.
NOT_UTF8 = (
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xc0\xae",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xff",
    b"\xc3",
)
#: Letters that look like others, fold to others, have no width, turn the direction, or end lines.
CONFUSABLES = (
    *("\u0430", "\u2024", "\u2215", "\uff0f", "\uff0e", "\u2026", "\u0131", "\u0130", "\u212a", "\u00df", "\ufb01"),
    *("e\u0301", "\u00e9", "\u0345", "\u200b", "\u200d", "\u202e", "\ufeff", "\u2028", "\u0085", "\u00a0", "\u3000"),
    *("\u0665", "\u00b2", "\u216b", "\U0001f600", "\U000e0041", "\U0010ffff", "\uffff", "\ufdfa"),
)
ODD_PATHS = (
    *("..", ".", "", "/", "//", "../..", "../x", "x/../y", "./x", "x/.", "/etc/passwd", "C:\\x", "c:x", "a\\b"),
    *("-", "--", "moduleservices/x", "Precache.Manifest", "-/activation.json", "~", "~root/x", "a" * 255, "a" * 256),
    *(
        "x/" * 600 + "x",
        "*",
        "$(id)",
        "`id`",
        "a -> b",
        "a link to b",
        "a\tb",
        "a\rb",
        "a\nb",
        "a\0b",
        "CON",
        " ",
        "a ",
    ),
    *("index.html", "INDEX.HTML", "index.html/x", "%2e%2e", "%2f", "%00", "a?b", "a#b", "a;b", "a&b", "'", '"'),
)
HUGE = (
    *(2**31 - 1, 2**31, 2**32, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64, 10**30, 10**400, -1, -(2**63), 0),
    *(float("nan"), float("inf"), float("-inf"), 1e308, 5e-324, -0.0, 0.1),
)
_NUMBERS = (
    b"0",
    b"-1",
    b"00",
    b"1e999",
    b"9" * 20,
    b"9" * 5000,
    b"NaN",
    b"Infinity",
    b"0x10",
    b"1_0",
    b"+1",
    b"\xd9\xa3",
)
BREAKS = (b"\0", b"\r\n", b"\n", b"\r", b"\t", b"\x1b[2J", b"\x7f", b"\xc2\x85", b"\xe2\x80\xa8", b"\xef\xbb\xbf")


def pick(random: Random, options: Sequence[T]) -> T:
    """One of them."""
    return options[int(random.random() * len(options))]


def odd_text(random: Random) -> str:
    """A piece of text that somebody may have forgotten to think of. May hold lone surrogates."""
    match random.randrange(7):
        case 0:
            return pick(random, CONFUSABLES)
        case 1:
            return pick(random, ODD_PATHS)
        case 2:
            return chr(random.randrange(0x110000))
        case 3:
            return "".join(pick(random, string.printable) for _ in range(random.randrange(12)))
        case 4:
            return pick(random, "\ud800\udfff\udc80\udcff")
        case 5:
            return pick(random, string.ascii_letters) * pick(random, (1, 2, 22, 63, 64, 65, 255, 256, 1024, 5000))
        case _:
            return str(pick(random, HUGE))


def odd_bytes(random: Random) -> bytes:
    """The same as bytes, which need not be text."""
    match random.randrange(5):
        case 0:
            return pick(random, NOT_UTF8)
        case 1:
            return pick(random, BREAKS)
        case 2:
            return pick(random, _NUMBERS)
        case 3:
            return random.randbytes(random.randrange(1, 9))
        case _:
            return odd_text(random).encode("utf-8", "surrogatepass")


def mutate_bytes(random: Random, data: bytes, more: Sequence[bytes] = (), most: int = 3) -> bytes:
    """`data` with one to `most` changes. `more` are pieces of the format, to be put in besides the odd ones."""
    for _ in range(random.randint(1, most)):
        data = pick(random, _CHANGES)(random, data, more)
    return data


def mutate_text(random: Random, text: str, more: Sequence[str] = ()) -> str:
    """The same for text, which may get lone surrogates, and nothing that is not UTF-8 otherwise."""
    start = random.randint(0, len(text))
    end = min(len(text), start + pick(random, (0, 0, 1, 2, 8)))
    piece = pick(random, more) if more and random.random() < 0.4 else odd_text(random)
    return text[:start] + piece + text[end:]


def _flip(random: Random, data: bytes, more: Sequence[bytes]) -> bytes:
    if not data:
        return odd_bytes(random)
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]


def _cut(random: Random, data: bytes, more: Sequence[bytes]) -> bytes:
    return data[: random.randint(0, len(data))]


def _remove(random: Random, data: bytes, more: Sequence[bytes]) -> bytes:
    start = random.randint(0, len(data))
    return data[:start] + data[start + random.randint(1, 40) :]


def _repeat(random: Random, data: bytes, more: Sequence[bytes]) -> bytes:
    start = random.randint(0, len(data))
    piece = data[start : start + random.randint(1, 80)]
    return data[:start] + piece * pick(random, (2, 2, 2, 3, 50)) + data[start + len(piece) :]


def _insert(random: Random, data: bytes, more: Sequence[bytes]) -> bytes:
    start = random.randint(0, len(data))
    piece = pick(random, more) if more and random.random() < 0.5 else odd_bytes(random)
    return data[:start] + piece + data[start + pick(random, (0, 0, len(piece))) :]


def _number(random: Random, data: bytes, more: Sequence[bytes]) -> bytes:
    """A run of digits becomes another number."""
    start = random.randint(0, len(data))
    while start < len(data) and not data[start : start + 1].isdigit():
        start += 1
    end = start
    while end < len(data) and data[end : end + 1].isdigit():
        end += 1
    return data[:start] + pick(random, _NUMBERS) + data[end:]


def _splice(random: Random, data: bytes, more: Sequence[bytes]) -> bytes:
    one, other = sorted((random.randint(0, len(data)), random.randint(0, len(data))))
    return data[:one] + data[other:] + data[one:other]


def _line(random: Random, data: bytes, more: Sequence[bytes]) -> bytes:
    """A line goes, comes twice, or goes elsewhere."""
    lines = data.split(b"\n")
    line = lines.pop(random.randrange(len(lines)))
    for _ in range(random.randrange(3)):
        lines.insert(random.randint(0, len(lines)), line)
    return b"\n".join(lines)


_Change = Callable[[Random, bytes, Sequence[bytes]], bytes]
_CHANGES: tuple[_Change, ...] = (_flip, _flip, _cut, _remove, _repeat, _insert, _insert, _number, _splice, _line)


def mutate_value(random: Random, value: Any) -> Any:
    """A value of JSON with something in it replaced, renamed, left out or there twice. The value given stays."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        return _mutate_mapping(random, value)
    if isinstance(value, list) and value and random.random() < 0.85:
        place = random.randrange(len(value))
        match random.randrange(4):
            case 0:
                return value[:place] + value[place + 1 :]
            case 1:
                return [*value, value[place]]
            case _:
                return [*value[:place], mutate_value(random, value[place]), *value[place + 1 :]]
    if isinstance(value, str) and random.random() < 0.6:
        return mutate_text(random, value)
    return junk(random)


def _mutate_mapping(random: Random, value: dict[str, Any]) -> dict[str, Any]:
    name = pick(random, list(value))
    match random.randrange(8):
        case 0:
            return {key: inner for key, inner in value.items() if key != name}
        case 1:
            return {(mutate_text(random, key) if key == name else key): inner for key, inner in value.items()}
        case 2:
            return {**value, odd_text(random): junk(random)}
        case 3:
            return {**value, name: value[pick(random, list(value))]}
        case _:
            return {**value, name: mutate_value(random, value[name])}


def junk(random: Random) -> Any:
    """Any value of JSON, and some that JSON does not have."""
    match random.randrange(8):
        case 0:
            return None
        case 1:
            return pick(random, (True, False))
        case 2 | 3:
            return pick(random, HUGE)
        case 4:
            return pick(random, ([], {}, [[]], [None], {"": ""}, [{}]))
        case 5:
            return nested(pick(random, (3, 3, 3, 3, 3, 30, 500)))
        case _:
            return odd_text(random)


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


#: Deeper than any parser may follow.
ABYSSES = (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 990 + b"]" * 990, b"[" * 20_000 + b"]" * 20_000)


def spelled(random: Random, value: Any) -> bytes:
    """JSON, perhaps with white space, perhaps escaped. Lone surrogates stay, as Python would write them."""
    text = json.dumps(
        value,
        ensure_ascii=random.random() < 0.5,
        separators=pick(random, ((",", ":"), (", ", ": "))),
        indent=pick(random, (None, None, 1)),
    )
    return text.encode("utf-8", "surrogatepass")
