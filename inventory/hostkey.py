"""Pinned host keys: the public key that a frontend's sshd must show, as ssh-keyscan and known_hosts spell it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Annotated

from pydantic import AfterValidator

TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")
#: OpenSSH takes no modulus of less than 1024 bits.
RSA_BYTES = 128
#: The length of a point of each curve: one byte, and two coordinates.
POINTS = {"ecdsa-sha2-nistp256": 65, "ecdsa-sha2-nistp384": 97, "ecdsa-sha2-nistp521": 133}
_CUT = "expected a whole key: this one is cut short, or runs on"


def parse(text: str) -> tuple[str, bytes]:
    """The key's type and its blob. Raises `ValueError` where `text` is not ``<type> <base64>`` of a whole key."""
    kind, _, encoded = text.partition(" ")
    if kind not in TYPES or not encoded:
        raise ValueError(f"expected a public host key such as 'ssh-ed25519 AAAA…' ({', '.join(TYPES)})")
    try:
        blob = base64.b64decode(encoded.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("expected base64 alone after the key's type, with no comment behind it") from error
    # Python reads on behind the end that the padding marks.
    if base64.b64encode(blob).decode() != encoded:
        raise ValueError(_CUT)
    first, *rest = _parts(blob)
    if first != kind.encode():
        raise ValueError(f"expected a key of type {kind}, as its first word says")
    if len(rest) != (1 if kind == "ssh-ed25519" else 2) or not _whole(kind, rest):
        raise ValueError(_CUT)
    return kind, blob


def _whole(kind: str, parts: list[bytes]) -> bool:
    """Whether the parts behind the type are as long as they must be: RFC 8709, 5656 and 4253."""
    if kind == "ssh-ed25519":
        return len(parts[0]) == 32
    if kind == "ssh-rsa":
        return min(int.from_bytes(part, signed=True) for part in parts) > 0 and len(parts[1]) >= RSA_BYTES
    curve, point = parts
    return curve.decode("ascii", "replace") == kind.removeprefix("ecdsa-sha2-") and len(point) == POINTS[kind]


def _parts(blob: bytes) -> list[bytes]:
    """The strings that a key consists of, each behind its length (RFC 4251, section 5; RFC 4253, section 6.6).

    The first is the type; then comes one for Ed25519, two for the others.
    """
    parts = []
    at = 0
    while at < len(blob):
        end = at + 4 + int.from_bytes(blob[at : at + 4])
        if end > len(blob):
            raise ValueError(_CUT)
        parts.append(blob[at + 4 : end])
        at = end
    return parts


def fingerprint(text: str) -> str:
    """``SHA256:…``, as OpenSSH prints it."""
    digest = hashlib.sha256(parse(text)[1]).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _checked(text: str) -> str:
    parse(text)
    return text


HostKey = Annotated[str, AfterValidator(_checked)]
