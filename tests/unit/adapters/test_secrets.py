"""Files of secrets: what is taken from one, and which are refused, without a word of what is in them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.adapters import secrets
from orchestrator.domain.errors import LockstepError

PLANTED = "planted-0123456789abcdef0123456789"


def written(path: Path, content: bytes, mode: int = 0o600) -> str:
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        pytest.param(b"0123456789abcdef\n", [b"0123456789abcdef"], id="one"),
        pytest.param(b"0123456789abcdef", [b"0123456789abcdef"], id="without a line end"),
        pytest.param(b"new-new-new-new-new\r\nold-old-old-old-old\r\n", [b"new-" * 4 + b"new", b"old-" * 4 + b"old"]),
        pytest.param(b"# since May\n\nwhsec_MDEyMzQ1Njc4OWFiY2RlZg==\n", [b"0123456789abcdef"], id="with a note"),
    ],
)
def test_keys_are_lines_the_newest_first(tmp_path: Path, content: bytes, keys: list[bytes]) -> None:
    assert secrets.keys(written(tmp_path / "key", content)) == keys


def test_a_new_secret_counts_at_once(tmp_path: Path) -> None:
    path = written(tmp_path / "key", b"first-first-first")
    assert secrets.keys(path) == [b"first-first-first"]
    assert secrets.keys(written(tmp_path / "key", b"other-other-other")) == [b"other-other-other"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o777])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(LockstepError) as caught:
        secrets.keys(written(tmp_path / "key", PLANTED.encode(), mode))
    assert caught.value.problem.found == f"mode {mode:04o}"
    assert PLANTED not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "without one"),
        (b"\n  \n# planted\n", "without one"),
        (b"planted\n", "too short"),
        (PLANTED.encode() + b"\nplanted\n", "too short"),
        (b"whsec_planted!\n", "can't be read"),
        (b"planted\xff\xfe", "no text"),
        (b"planted-planted-planted\n" * 9, "too many"),
        (b"planted-" * 10_000, "too large"),
    ],
)
def test_what_holds_no_keys_is_refused_without_a_word_of_it(tmp_path: Path, content: bytes, what: str) -> None:
    with pytest.raises(LockstepError, match=what) as caught:
        secrets.keys(written(tmp_path / "key", content))
    assert str(tmp_path / "key") in caught.value.problem.where
    assert "planted" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: None, "there is no file"),
        (Path.mkdir, "not a file"),
        (os.mkfifo, "not a file"),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None], what: str) -> None:
    make(tmp_path / "key")
    with pytest.raises(LockstepError, match=what):
        secrets.keys(str(tmp_path / "key"))


def test_a_token_is_long_enough_not_to_be_guessed(tmp_path: Path) -> None:
    assert secrets.tokens(written(tmp_path / "token", b"t" * 22)) == [b"t" * 22]
    with pytest.raises(LockstepError, match="too short"):
        secrets.tokens(written(tmp_path / "token", b"t" * 21))
