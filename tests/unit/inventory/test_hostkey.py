from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from inventory import hostkey
from tests.unit.inventory.documents import blob, host_key

KINDS = [("ed25519", ""), ("rsa", "2048"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521")]


@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_keys_of_openssh_are_read_with_openssh_s_fingerprint(kind: str, bits: str, tmp_path: Path) -> None:
    path = tmp_path / "key"
    size = ["-b", bits] if bits else []
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *size, "-N", "", "-f", path], check=True)
    text = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    listed = subprocess.run(["ssh-keygen", "-lf", path], check=True, capture_output=True, text=True).stdout
    assert hostkey.fingerprint(text) == listed.split()[1]


def test_a_key_that_is_cut_short_anywhere_is_refused() -> None:
    whole = host_key(1)
    for length in range(len(whole)):
        with pytest.raises(ValueError, match=r"^expected "):
            hostkey.parse(whole[:length])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (blob(b"ssh-rsa", b"x", b"y"), "expected a key of type ssh-ed25519"),
        (blob(b"ssh-ed25519", b"x" * 32, b"y"), "expected a whole key"),
        (blob(b"ssh-ed25519", b"x" * 32) + b"yy", "expected a whole key"),
        (blob(b"ssh-ed25519"), "expected a whole key"),
        (blob(b"ssh-ed25519", b"x" * 31), "expected a whole key"),
    ],
)
def test_a_blob_must_be_one_key_of_the_type_before_it(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hostkey.parse("ssh-ed25519 " + base64.b64encode(data).decode())


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("ssh-rsa", (b"\1\0\1", b"\0" * 200)),
        ("ssh-rsa", (b"\1\0\1", b"\1" * 100)),
        ("ssh-rsa", (b"\xff", b"\1" * 200)),
        ("ecdsa-sha2-nistp256", (b"nistp384", b"\4" * 65)),
        ("ecdsa-sha2-nistp256", (b"\xff", b"\4" * 65)),
        ("ecdsa-sha2-nistp521", (b"nistp521", b"\4" * 65)),
    ],
)
def test_a_key_of_other_numbers_than_its_type_has_is_refused(kind: str, parts: tuple[bytes, ...]) -> None:
    with pytest.raises(ValueError, match="expected a whole key"):
        hostkey.parse(f"{kind} {base64.b64encode(blob(kind.encode(), *parts)).decode()}")


def test_padding_behind_the_end_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a whole key"):
        hostkey.parse(f"{host_key(1)}=")


@example("ssh-ed25519 ", "AAAAé")
@example("ssh-ed25519 ", "====")
@settings(deadline=None)
@given(st.sampled_from(["", *(f"{kind} " for kind in hostkey.TYPES)]), st.text() | st.from_regex(r"[A-Za-z0-9+/=]*"))
def test_any_other_text_is_refused_in_our_words(kind: str, rest: str) -> None:
    with pytest.raises(ValueError, match=r"^expected "):
        hostkey.parse(kind + rest)
