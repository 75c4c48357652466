"""Pinned host keys: the public key that a frontend's sshd must show, as ssh-keyscan and known_hosts spell it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Annotated

from pydantic import AfterValidator

TYPES = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


def parse(text: str) -> tuple[str, bytes]:
    """The key's type and its blob. Raises `ValueError` where `text` is not ``<type> <base64>``."""
    kind, _, encoded = text.partition(" ")
    if kind not in TYPES or not encoded:
        raise ValueError(f"expected a public host key such as 'ssh-ed25519 AAAA…' ({', '.join(TYPES)})")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise ValueError("expected base64 after the key's type") from error
    # RFC 4253, section 6.6: the blob begins with the length and the name of its own type.
    if blob[:4] != len(kind).to_bytes(4, "big") or blob[4 : 4 + len(kind)] != kind.encode():
        raise ValueError(f"expected a blob of type {kind}")
    return kind, blob


def fingerprint(text: str) -> str:
    """``SHA256:…``, as OpenSSH prints it."""
    digest = hashlib.sha256(parse(text)[1]).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _checked(text: str) -> str:
    parse(text)
    return text


HostKey = Annotated[str, AfterValidator(_checked)]
