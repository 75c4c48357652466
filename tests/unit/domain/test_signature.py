"""Signed deliveries: what is taken, and what is wrong with all that is not."""

from __future__ import annotations

import base64

import pytest

from orchestrator.domain.errors import LockstepError
from orchestrator.domain.signature import (
    MalformedSignatureError,
    StaleSignatureError,
    WrongSignatureError,
    key_of,
    sign,
    verify,
)

NOW = 1_777_636_800
KEY, OLD, OTHER = b"k" * 32, b"o" * 32, b"x" * 32
BODY = b'{"release": {"version": "1.2.0"}}'
RIGHT = sign(KEY, NOW, BODY, "msg_1")


def test_the_form_is_that_of_the_standard() -> None:
    # The example of the standard's own libraries, github.com/standard-webhooks/standard-webhooks.
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    made = sign(key, 1614265330, b'{"test": 2432232314}', "msg_p5jXN8AQM9LWM0D4loKWxJek")
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(RIGHT, id="alone"),
        pytest.param(sign(OLD, NOW, BODY, "msg_1"), id="by the older key"),
        pytest.param(f"{sign(OTHER, NOW, BODY, 'msg_1')} {RIGHT}", id="after a wrong one"),
        pytest.param(f"v1a,c29tZXRoaW5n {RIGHT}", id="beside another scheme"),
    ],
)
def test_a_right_signature_gives_the_delivery(signature: str) -> None:
    assert verify([KEY, OLD], ("msg_1", str(NOW), signature), BODY, NOW, 300) == "msg_1"


@pytest.mark.parametrize(
    ("now", "taken"), [(NOW - 300, True), (NOW + 300, True), (NOW - 300.5, False), (NOW + 300.5, False)]
)
def test_the_window_is_as_wide_before_as_after(now: float, taken: bool) -> None:
    if taken:
        assert verify([KEY], ("msg_1", str(NOW), RIGHT), BODY, now, 300) == "msg_1"
        return
    with pytest.raises(StaleSignatureError) as caught:
        verify([KEY], ("msg_1", str(NOW), RIGHT), BODY, now, 300)
    assert caught.value.problem.where == "webhook-timestamp"


@pytest.mark.parametrize(
    ("keys", "delivery", "timestamp", "body"),
    [
        pytest.param([OTHER], "msg_1", NOW, BODY, id="another key"),
        pytest.param([], "msg_1", NOW, BODY, id="no key"),
        pytest.param([KEY], "msg_2", NOW, BODY, id="another delivery"),
        pytest.param([KEY], "msg_1", NOW + 1, BODY, id="another time"),
        pytest.param([KEY], "msg_1", NOW - 1000, BODY, id="another time, out of the window"),
        pytest.param([KEY], "msg_1", NOW, BODY + b" ", id="a longer body"),
        pytest.param([KEY], "msg_1", NOW, BODY.replace(b"1.2.0", b"1.2.1"), id="another body"),
        pytest.param([KEY], "msg_1", NOW, b"", id="no body"),
    ],
)
def test_what_was_not_signed_so_is_refused(keys: list[bytes], delivery: str, timestamp: int, body: bytes) -> None:
    with pytest.raises(WrongSignatureError):
        verify(keys, (delivery, str(timestamp), RIGHT), body, NOW, 300)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("webhook-id", None),
        ("webhook-id", ""),
        ("webhook-id", "msg 1"),
        ("webhook-id", "msg.1"),
        ("webhook-id", "msg_1\n"),
        ("webhook-id", "msg_\u00e9"),
        ("webhook-id", "m" * 256),
        ("webhook-timestamp", None),
        ("webhook-timestamp", ""),
        ("webhook-timestamp", "\u0661\u0667\u0667\u0667"),
        ("webhook-timestamp", "\uff11777636800"),
        ("webhook-timestamp", f"+{NOW}"),
        ("webhook-timestamp", f"0{NOW}"),
        ("webhook-timestamp", f" {NOW}"),
        ("webhook-timestamp", f"{NOW}\n"),
        ("webhook-timestamp", f"{NOW}.0"),
        ("webhook-timestamp", "1_777_636_800"),
        ("webhook-timestamp", "1e9"),
        ("webhook-timestamp", "nan"),
        ("webhook-timestamp", "-1"),
        ("webhook-timestamp", "9" * 5000),
        ("webhook-signature", None),
        ("webhook-signature", ""),
        ("webhook-signature", RIGHT.removeprefix("v1,")),
        ("webhook-signature", RIGHT.replace("v1,", "v2,")),
        ("webhook-signature", RIGHT.replace("v1,", "V1,")),
        ("webhook-signature", RIGHT.rstrip("=")),
        ("webhook-signature", RIGHT + "\n"),
        ("webhook-signature", RIGHT.replace("v1,", "v1=")),
        ("webhook-signature", "v1," + "\u00e9" * 43 + "="),
        ("webhook-signature", " ".join([RIGHT] * 9)),
        ("webhook-signature", "v1,"),
    ],
)
def test_a_header_that_is_not_in_its_form_is_named(header: str, value: str | None) -> None:
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(NOW), "webhook-signature": RIGHT, header: value}
    with pytest.raises(MalformedSignatureError) as caught:
        verify([KEY], tuple(headers.values()), BODY, NOW, 300)  # type: ignore[arg-type]
    assert caught.value.problem.where == header


def test_what_is_signed_can_t_be_cut_elsewhere() -> None:
    # Without a form for the id, "a" + "." + "1.1" would be signed as "a.1" + "." + "1" is.
    with pytest.raises(ValueError, match="delivery"):
        sign(KEY, NOW, BODY, "msg.1")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("0123456789abcdef", b"0123456789abcdef"),
        ("whsec_" + base64.b64encode(KEY).decode(), KEY),
    ],
)
def test_a_key_is_text_or_base64_behind_a_mark(text: str, key: bytes) -> None:
    assert key_of(text) == key


@pytest.mark.parametrize(
    "text", ["", "planted", "planted-key-sec", "whsec_", "whsec_!planted-key!", "whsec_cGxhbnRlZA=="]
)
def test_a_key_that_is_none_is_not_repeated(text: str) -> None:
    with pytest.raises(LockstepError) as caught:
        key_of(text)
    assert "planted" not in str(caught.value)
    assert "cGxhbnRlZA" not in str(caught.value)
