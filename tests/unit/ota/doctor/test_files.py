"""Which file an operator means, however it is spelled; and which files a sample holds."""

from __future__ import annotations

from random import Random

import pytest

from orchestrator.domain.release import File, Manifest
from orchestrator.ota.doctor.files import SAMPLE, given_hash, near, resolve, sample

PATHS = ("scripts/part 1+ü.js", "index.html", "a%20b.js", "a b.js", "ToDo/inner.js", "what?.js")
HASH = "yMMkVndC_DwKF0E0QvkXsg"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("scripts/part 1+ü.js", "scripts/part 1+ü.js"),
        ("/scripts/part 1+ü.js", "scripts/part 1+ü.js"),
        ("/ToDo/scripts/part 1+ü.js", "scripts/part 1+ü.js"),
        ("/ToDo/scripts/part%201+%C3%BC.js", "scripts/part 1+ü.js"),
        ("scripts/part%201%2B%C3%BC.js", "scripts/part 1+ü.js"),
        (f"/ToDo/index.html?{HASH}", "index.html"),
        (f"https://apps.example.org/ToDo/index.html?{HASH}", "index.html"),
        ("a%20b.js", "a%20b.js"),
        ("a b.js", "a b.js"),
        ("a%2520b.js", "a%20b.js"),
        ("ToDo/inner.js", "ToDo/inner.js"),
        ("/ToDo/ToDo/inner.js", "ToDo/inner.js"),
        ("what?.js", "what?.js"),
        ("index", ""),
        ("", ""),
        ("https://[", ""),
        ("%ff\x00\ud800", ""),
    ],
)
def test_a_file_is_found_however_it_is_spelled(text: str, path: str) -> None:
    assert resolve(text, "/ToDo/", PATHS) == path


def test_an_app_at_the_root_has_its_paths_from_there() -> None:
    assert resolve("/ToDo/inner.js", "/", PATHS) == "ToDo/inner.js"


def test_only_what_can_be_a_hash_is_one() -> None:
    assert given_hash(f"/ToDo/a.js?{HASH}") == HASH
    assert given_hash("/ToDo/a.js?" + HASH.replace("y", "%79")) == HASH
    assert given_hash("a+b.js?" + "+" * 22) == "+" * 22
    assert {given_hash(text) for text in ("a.js", "a.js?", "a.js?v=1", HASH)} == {""}


def test_what_looks_like_it_is_named() -> None:
    assert near("/index.htm", PATHS) == ["index.html"]
    assert near("zzzz", PATHS) == []


def manifest(changed: int, number: int = 200) -> Manifest:
    return Manifest.of(File(f"{n}.js", 1, f"{n + (n < changed) * 1000:064x}", "x" * 22) for n in range(number))


def test_a_sample_holds_what_changed_first_and_some_of_the_rest() -> None:
    chosen = sample(manifest(3), manifest(0), Random(1))
    assert len(chosen) == len(set(chosen)) == SAMPLE
    assert {"0.js", "1.js", "2.js"} <= set(chosen)
    many = sample(manifest(150), manifest(0), Random(1))
    assert len(many) == SAMPLE


def test_of_a_small_release_everything_is_looked_at() -> None:
    assert sample(manifest(0, 5), None, Random(1)) == [f"{n}.js" for n in range(5)]
