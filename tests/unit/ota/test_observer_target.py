from __future__ import annotations

import pytest

from orchestrator.domain.errors import UsageError
from orchestrator.ota.target import Target, Want


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("http://10.0.0.11:8080", "http://10.0.0.11:8080"),
        ("https://apps.example.org/", "https://apps.example.org"),
        ("HTTP://Apps.Example.org", "http://apps.example.org"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_an_address_is_kept_without_the_slash_at_its_end(typed: str, kept: str) -> None:
    assert Target.of(typed, "ToDo").base_url == kept


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "10.0.0.11:8080",
        "ftp://10.0.0.11",
        "http://",
        "http://10.0.0.11/ToDo/",
        "http://10.0.0.11/?a",
        "http://10.0.0.11/#a",
        "http://me:secret@10.0.0.11",
        "http://10.0.0.11:port",
        "http://10.0.0.11:99999",
        "http://[::1",
        "http://10.0.0.11\n",
        "http://ten dots",
        "http://10.0.0.11\\x",
        "http://a,b",
        "http://bücher.example",
    ],
)
def test_anything_but_an_address_is_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        Target.of(typed, "ToDo")


def test_the_mount_is_the_apps_name_unless_given() -> None:
    assert Target.of("http://a", "ToDo").mount == "/ToDo/"
    assert Target.of("http://a", "ToDo", "/").mount == "/"
    assert Target.of("http://a", "ToDo", "/tasks/").mount == "/tasks/"


@pytest.mark.parametrize("mount", ["", "ToDo", "/ToDo", "/a/b/", "/../", "//", "/a b/"])
def test_a_mount_that_no_fleet_can_have_is_refused(mount: str) -> None:
    with pytest.raises(UsageError):
        Target.of("http://a", "ToDo", mount)


@pytest.mark.parametrize("app", ["", "../x", "1st", "a/b", "a b"])
def test_a_name_that_no_app_can_have_is_refused(app: str) -> None:
    with pytest.raises(UsageError):
        Target.of("http://a", app)


def test_what_is_asked_is_below_the_mount() -> None:
    target = Target.of("http://a", "ToDo")
    assert target.version(1700000000000).url == "/ToDo/moduleservices/moduleversioninfo?1700000000000"
    assert target.manifest("AB_c").url == "/ToDo/moduleservices/moduleinfo?AB_c"
    assert [target.by_hash("/x", "h").want, target.document("/x").want, target.part("/x").want] == [
        Want.BY_HASH,
        Want.DOCUMENT,
        Want.PART,
    ]


def test_a_token_is_encoded_whole_but_a_hash_keeps_its_plus() -> None:
    target = Target.of("http://a", "ToDo")
    assert target.manifest("a+b/c==").url == "/ToDo/moduleservices/moduleinfo?a%2Bb%2Fc%3D%3D"
    assert target.by_hash("/ToDo/a.js", "a+b_c").url == "/ToDo/a.js?a+b_c"


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/ToDo/a b.js", "/ToDo/a%20b.js"),
        ("/ToDo/a%20b.js", "/ToDo/a%20b.js"),
        ("/ToDo/ü.js", "/ToDo/%C3%BC.js"),
        ("/ToDo/a+b@2x!$&'()*,;=:~.js", "/ToDo/a+b@2x!$&'()*,;=:~.js"),
    ],
)
def test_a_path_is_encoded_once(path: str, asked: str) -> None:
    assert Target.part(path).url == asked
    assert Target.document(path).url == asked
    assert Target.by_hash(path, "h").url == f"{asked}?h"
