"""Names that come from outside, and pinned host keys: what is no name goes no further."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from random import Random

from pydantic import AnyHttpUrl

from inventory import hostkey
from inventory.model import Frontend
from inventory.names import is_app, is_mount, is_name
from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import LockstepError, RefusedError, ReleaseError, UsageError
from orchestrator.domain.paths import check_path
from orchestrator.ota.target import Target as Observed
from tests.fuzz.mutation import mutate_bytes, mutate_text, odd_text, pick
from tests.fuzz.target import Target
from tests.unit.inventory.documents import host_key
from workers.frontend.transport import pinned

#: Of what kind, and the text.
Name = tuple[str, str]

_HERE = AnyHttpUrl("http://10.0.0.1")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_SAMPLES: Mapping[str, tuple[str, ...]] = {
    "activation": ("7-00112233445566aa", f"0-{'0' * 16}", f"9999999999-{'f' * 16}"),
    "name": ("web-1", "Production", "10.0.0.1", "a" * 63),
    "app": ("ToDo", "a" * 63, "A_-9"),
    "mount": ("/", "/ToDo/", "/a.b_c-d/", f"/{'a' * 63}/"),
    "url": ("https://apps.example.org", "http://10.0.0.11:8080", "http://[::1]:80/", "http://a"),
    "path": ("index.html", "js/app.js", "img/\u00e9.png", "a/b/c/d"),
}
_PIECES = (
    "-",
    "/",
    ".",
    "..",
    "_",
    "0",
    "//",
    "@",
    ":",
    "[",
    "]",
    "?",
    "#",
    "\n",
    " ",
    "%2f",
    "\u0661",
    "\u212a",
    "\uff0d",
)


class Names(Target[Name]):
    """One name of any kind."""

    name = "names"
    short = 1500

    def make(self, random: Random) -> Name:
        kind = pick(random, (*_SAMPLES, "key", "key", "activation"))
        if kind == "key":
            return kind, _key(random)
        text = pick(random, _SAMPLES[kind])
        if random.random() < 0.3:
            return kind, pick(random, ("", "0", *_PIECES)) + text + pick(random, ("", "", *_PIECES))
        for _ in range(random.randrange(3)):
            text = mutate_text(random, text, _PIECES)
        return kind, text

    def check(self, made: Name) -> bool:
        kind, text = made
        return _CHECKS[kind](text)


def _key(random: Random) -> str:
    kind, _, encoded = host_key(random.randrange(9)).partition(" ")
    kind = pick(random, hostkey.TYPES) if random.random() < 0.4 else kind
    match random.randrange(8):
        case 0:
            return f"{kind} {mutate_text(random, encoded, ('=', '+', '/', ' comment'))}"
        case 1:
            return mutate_text(random, f"{kind} {encoded}")
        case 2:
            return odd_text(random)
        case 3:
            parts = [kind.encode(), *(random.randbytes(random.randrange(40)) for _ in range(random.randrange(4)))]
            blob = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        case 4 if kind in hostkey.POINTS:
            curve = kind.removeprefix("ecdsa-sha2-").encode()
            point = b"\4" + random.randbytes(hostkey.POINTS[kind] - 1)
            blob = b"".join(len(part).to_bytes(4, "big") + part for part in (kind.encode(), curve, point))
        case 4 if kind == "ssh-rsa":
            numbers = (b"\1\0\1", b"\0" + random.randbytes(pick(random, (127, 128, 256))))
            blob = b"".join(len(part).to_bytes(4, "big") + part for part in (kind.encode(), *numbers))
        case 4:
            blob = base64.b64decode(encoded)
        case _:
            blob = mutate_bytes(random, base64.b64decode(encoded), (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x20"))
    return f"{kind} {base64.b64encode(blob).decode()}"


def _is_activation(text: str) -> bool:
    """By hand, letter by letter."""
    epoch, dash, nonce = text.partition("-")
    number = 1 <= len(epoch) <= 10 and all(char in _DIGITS for char in epoch) and (epoch == "0" or epoch[0] != "0")
    return number and bool(dash) and len(nonce) == 16 and all(char in f"{_DIGITS}abcdef" for char in nonce)


def _activation(text: str) -> bool:
    try:
        parsed = ActivationName.parse(text)
    except LockstepError as error:
        assert not _is_activation(text)
        assert len(str(error)) < 300
        return False
    assert _is_activation(text)
    assert str(parsed) == text
    return True


def _made_of(text: str, first: str, rest: str) -> bool:
    return 1 <= len(text) <= 63 and text[0] in first and all(char in rest for char in text)


def _name(text: str) -> bool:
    assert is_name(text) == _made_of(text, _LETTERS + _DIGITS, f"{_LETTERS}{_DIGITS}._-")
    return is_name(text)


def _app(text: str) -> bool:
    assert is_app(text) == _made_of(text, _LETTERS, f"{_LETTERS}{_DIGITS}_-")
    return is_app(text)


def _mount(text: str) -> bool:
    inner = (
        len(text) > 2
        and text[0] == text[-1] == "/"
        and _made_of(text[1:-1], _LETTERS + _DIGITS, f"{_LETTERS}{_DIGITS}._-")
    )
    assert is_mount(text) == (text == "/" or inner)
    return is_mount(text)


def _path(text: str) -> bool:
    try:
        check_path(text)
    except ReleaseError as error:
        str(error).encode()
        assert all(line.isprintable() for line in str(error).split("\n")), str(error)
        return False
    assert text.encode()
    assert not {"", ".", ".."} & set(text.split("/"))
    assert all(" " <= char != "\\" and char not in "\x7f\x85\u2028\u2029" for char in text)
    return True


def _url(text: str) -> bool:
    try:
        made = Observed.of(text, "ToDo")
    except UsageError:
        return False
    assert made.base_url.isascii()
    assert made.base_url.isprintable()
    scheme, _, rest = made.base_url.partition("://")
    assert scheme in ("http", "https")
    assert rest
    assert not set(rest) & set("/?#@ \\"), made.base_url
    return True


def _host_key(text: str) -> bool:
    try:
        kind, blob = hostkey.parse(text)
    except ValueError as error:
        # Not one of its kinds that come from the readers below.
        assert type(error) is ValueError, type(error)
        assert not isinstance(error, binascii.Error)
        return False
    assert text == f"{kind} {base64.b64encode(blob).decode()}"
    size = int.from_bytes(blob[:4], "big")
    assert blob[4 : 4 + size] == kind.encode()
    assert hostkey.fingerprint(text).startswith("SHA256:")
    frontend = Frontend(name="f", address="10.0.0.1", user="d", root="/r", url=_HERE, host_key=text)
    try:
        assert pinned(frontend)[1].get_name() == kind
    except RefusedError as error:
        assert all(line.isprintable() for line in str(error).split("\n")), str(error)
        return False
    return True


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "activation": _activation,
    "name": _name,
    "app": _app,
    "mount": _mount,
    "path": _path,
    "url": _url,
    "key": _host_key,
}
