"""Signed deliveries: HMAC-SHA-256 over a delivery's id, its time and its body. Pure; `now` is passed in.

The form is that of Standard Webhooks (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md): the
headers `webhook-id`, `webhook-timestamp` (whole seconds since 1970, UTC) and `webhook-signature`, one or several
signatures with a space between, each ``v1,`` and the base64 of the HMAC of ``id.timestamp.body``. Hooks in and hooks
out both use it (docs/hooks.md, "The signature").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence

from orchestrator.domain.errors import LockstepError, UnauthenticatedError

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

#: A delivery's id: printable ASCII without the dot, which ends it in what is signed, and without a space.
DELIVERY = re.compile(r"[!-\-/-~]{1,255}")
#: Whole seconds, as a computer writes them: no sign, no leading zero, and ASCII digits alone.
TIMESTAMP = re.compile(r"[1-9][0-9]{0,11}")
#: One signature: the scheme, and 32 bytes in base64.
SIGNATURE = re.compile(r"v1,[A-Za-z0-9+/]{43}=")
#: How many signatures are looked at in one header: a sender that turns its key over sends two.
MOST_SIGNATURES = 8

#: Keys may be shorter nowhere: 16 bytes are the least that can't be tried out, 24 what the standard asks for.
SHORTEST_KEY = 16
#: What the standard's generators put before a key in base64.
KEY_PREFIX = "whsec_"


class MalformedSignatureError(UnauthenticatedError):
    """A header is missing, or is not in its form."""


class StaleSignatureError(UnauthenticatedError):
    """The delivery's time is outside of the window."""


class WrongSignatureError(UnauthenticatedError):
    """No key made any of the signatures."""


def key_of(text: str) -> bytes:
    """A key from its text: base64 after ``whsec_``, else the text itself in UTF-8. `LockstepError` for one too short.

    The text is never part of the error.
    """
    key = text.encode()
    if text.startswith(KEY_PREFIX):
        try:
            key = base64.b64decode(text.removeprefix(KEY_PREFIX).encode(), validate=True)
        except binascii.Error:
            # What it says could be of the key.
            raise LockstepError("a key that can't be read", expected=f"base64 after {KEY_PREFIX}") from None
    if len(key) < SHORTEST_KEY:
        raise LockstepError(
            "a key that is too short",
            expected=f"at least {SHORTEST_KEY} bytes",
            found=f"{len(key)}",
            remedy="make one: openssl rand -hex 32",
        )
    return key


def sign(secret: bytes, timestamp: int, body: bytes, delivery: str) -> str:
    """The value of `SIGNATURE_HEADER`. `ValueError` where `delivery` can't be a delivery's id."""
    if DELIVERY.fullmatch(delivery) is None:
        raise ValueError("not the id of a delivery: printable ASCII without a dot or a space, at most 255")
    signed = b"%s.%d.%s" % (delivery.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def verify(
    secrets: Sequence[bytes],
    headers: tuple[str | None, str | None, str | None],
    body: bytes,
    now: float,
    tolerance: float,
) -> str:
    """The delivery's id, where one of the secrets made one of the signatures, not long ago.

    `headers` are the values of id, timestamp and signature as they came, None where one is missing; `now` and
    `tolerance` are in seconds. The time that it takes depends on no secret: every secret is tried on every signature.
    A time outside of the window is told to those alone who hold a secret.

    Raises:
        MalformedSignatureError: A header is missing, or is not in its form.
        WrongSignatureError: None of the signatures is by any of the secrets.
        StaleSignatureError: It is signed rightly, but too long ago or too far ahead.
    """
    delivery = _formed(ID_HEADER, headers[0], DELIVERY, "printable ASCII without a dot or a space, at most 255")
    timestamp = int(_formed(TIMESTAMP_HEADER, headers[1], TIMESTAMP, "whole seconds since 1970"))
    given = _signatures(headers[2])
    right = False
    for secret in secrets:
        made = sign(secret, timestamp, body, delivery)
        for signature in given:
            right |= hmac.compare_digest(made, signature)
    if not right:
        raise WrongSignatureError(
            "the signature is not right",
            expected="HMAC-SHA-256 of id.timestamp.body under the hook's key, over the bytes as they are sent",
        )
    if abs(now - timestamp) > tolerance:
        word = "too old" if timestamp < now else "ahead of time"
        raise StaleSignatureError(
            f"the signature is {word}",
            where=TIMESTAMP_HEADER,
            expected=f"at most {tolerance:g} s from the server's time, which is {now:.0f}",
            found=str(timestamp),
            remedy="sign again; if it stays so, see that both clocks are right",
        )
    return delivery


def _formed(name: str, value: str | None, form: re.Pattern[str], expected: str) -> str:
    if value is None or form.fullmatch(value) is None:
        # What came is not repeated: it may be anything.
        what = f"there is no header {name}" if value is None else "not in its form"
        raise MalformedSignatureError(what, where=name, expected=expected)
    return value


def _signatures(value: str | None) -> list[str]:
    """Those of the scheme `v1`; others may stand beside them."""
    given = [] if value is None else value.split(" ")
    known = [one for one in given if SIGNATURE.fullmatch(one) is not None]
    if not known or len(given) > MOST_SIGNATURES:
        raise MalformedSignatureError(
            f"there is no header {SIGNATURE_HEADER}" if value is None else "not in its form",
            where=SIGNATURE_HEADER,
            expected=f"v1, and 44 characters of base64; at most {MOST_SIGNATURES}, with one space between",
        )
    return known
