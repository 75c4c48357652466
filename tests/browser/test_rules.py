"""The web client's rules, where they run: hostile documents, which version may follow which, which file answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from orchestrator.domain.activation import Placement
from orchestrator.ota.documents import documents
from tests.browser.site import CLIENT, MOUNT, described

HASH = "?" + "A" * 22
SUM = "sha256-" + "A" * 43 + "="


@pytest.fixture(scope="module")
def rules(chromium: Browser) -> Iterator[Page]:
    page = chromium.new_page()
    page.add_script_tag(path=CLIENT / "lockstep-rules.js")
    page.evaluate(
        """window.tried = (name, words) => {
            try { return ["is", lockstepRules[name](...words)]; }
            catch (error) { return [error.name, error.message]; }
        }"""
    )
    yield page
    page.close()


def call(rules: Page, name: str, *words: Any) -> Any:
    """What the rule returns; an `AssertionError` with the message where it refuses."""
    kind, found = rules.evaluate("([name, words]) => tried(name, words)", [name, list(words)])
    assert kind == "is", found
    return found


def refused(rules: Page, name: str, *words: Any) -> str:
    kind, found = rules.evaluate("([name, words]) => tried(name, words)", [name, list(words)])
    assert kind == "RefusedError", (kind, found)
    return str(found)


def test_the_document_that_lockstep_makes_is_read_with_any_text_before_it(rules: Page) -> None:
    release = described({"index.html": b"<p>", "a b+%.js": b"1", "ü/x|[y].css": b"", "'q'.txt": b"q"})
    made = documents(Placement("App", MOUNT, "1", release.manifest.digest), release)
    for before in ("", "CACHE MANIFEST\n# 7\n", "\ufeff"):
        version = call(rules, "readVersion", before + made.precache.decode(), MOUNT)
        assert version["token"] == made.token
        assert set(version["files"]) == {MOUNT + file.path for file in release.manifest}
        assert version["files"]["/App/a b+%.js"]["url"].startswith("/App/a%20b+%25.js?")


def document(**changes: Any) -> str:
    whole = {"versionToken": "t", "urlVersions": {"/App/a": HASH}, "integrity": {"/App/a": SUM}}
    return json.dumps({**whole, **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no brace",
        "{",
        "[]",
        '{"versionToken": "t"}',
        document(versionToken=""),
        document(versionToken="x" * 65),
        document(versionToken="a b"),
        document(versionToken=7),
        document(urlVersions=[]),
        document(urlVersions={}),
        document(urlVersions=None),
        document(integrity=None),
        document(integrity={}),
        document(integrity={"/App/a": "sha256-short"}),
        document(integrity={"/App/a": "md5-" + "A" * 22}),
        document(integrity={"/App/a": 1}),
        document(urlVersions={"/App/a": "A" * 22}),
        document(urlVersions={"/App/a": HASH + "&x"}),
        document(urlVersions={"/App/a": None}),
        *(
            document(urlVersions={path: HASH}, integrity={path: SUM})
            for path in (
                "/Other/a", "//evil.example/a", "https://evil.example/a", "/App/../a", "/App/%2e%2e/a", "/App//a",
                "/App/a?b", "/App/a#b", "/App/%0aa", "/App/", "App/a", "__proto__", "/App/./a",
            )
        ),
    ],
)  # fmt: skip
def test_a_hostile_document_is_refused(rules: Page, text: str) -> None:
    assert refused(rules, "readVersion", text, MOUNT)


@pytest.mark.parametrize("header", ["", "7", "7-", "07-0000000000000007", "7-000000000000000G", "-1-0000000000000007"])
def test_a_header_that_names_no_activation_is_refused(rules: Page, header: str) -> None:
    assert refused(rules, "readEpoch", header)


def test_the_epoch_is_read_from_the_header(rules: Page) -> None:
    assert call(rules, "readEpoch", "7-0000000000000007") == 7
    assert call(rules, "readEpoch", None) is None


ACTIVE = {"token": "a", "epoch": 5}
REFUSED = {"token": "r", "epoch": 6}


@pytest.mark.parametrize(
    ("token", "epoch", "verdict"),
    [
        ("b", 7, "new"),
        ("b", 6, "new"),
        ("b", 5, "stale"),
        ("b", None, "new"),
        ("a", 6, "current"),
        ("a", 9, "current"),
        ("a", 5, "stale"),
        ("a", None, "current"),
        ("r", 6, "refused"),
        ("r", 5, "stale"),
        ("r", 7, "new"),
        ("r", None, "refused"),
    ],
)
def test_which_version_may_follow(rules: Page, token: str, epoch: int | None, verdict: str) -> None:
    state = {"seen": 6, "active": ACTIVE, "refused": REFUSED}
    assert call(rules, "decide", state, token, epoch) == verdict


FILES = ["index.html", "a.js", "docs/index.html", "ü x.png", "LICENSE"]


@pytest.mark.parametrize(
    ("path", "navigation", "found"),
    [
        ("/App/", True, "index.html"),
        ("/App/", False, "index.html"),
        ("/App/Lists", True, "index.html"),
        ("/App/Lists/Edit", True, "index.html"),
        ("/App/Lists", False, None),
        ("/App/gone.js", True, None),
        ("/App/gone.js", False, None),
        ("/App/a.js", False, "a.js"),
        ("/App/docs/", True, "docs/index.html"),
        ("/App/none/", True, "index.html"),
        ("/App/none/", False, None),
        ("/App/%C3%BC%20x.png", False, "ü x.png"),
        ("/App/LICENSE", True, "LICENSE"),
        ("/App/__proto__", False, None),
        ("/App/%", False, None),
    ],
)
def test_which_file_answers(rules: Page, path: str, navigation: bool, found: str | None) -> None:
    version: dict[str, object] = {"files": {MOUNT + name: {} for name in FILES}}
    assert call(rules, "find", version, path, MOUNT, navigation) == (None if found is None else MOUNT + found)


SCREENS = {"screens": {"Home": "1"}, "actions": {"Save": "1"}}


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ({}, {}, "seamless"),
        ({}, SCREENS, "seamless"),
        (SCREENS, SCREENS, "seamless"),
        (SCREENS, {}, "attention"),
        (SCREENS, {**SCREENS, "actions": {"Save": "2"}}, "attention"),
        (SCREENS, {**SCREENS, "actions": {"Save": "1", "Drop": "1"}}, "seamless"),
        (SCREENS, {**SCREENS, "actions": {}}, "attention"),
        (SCREENS, {**SCREENS, "screens": {"Home": "2"}}, "attention"),
        (SCREENS, {**SCREENS, "screens": {"Start": "1"}}, "attention"),
        (SCREENS, {**SCREENS, "uncached": ["Home"]}, "seamless"),
    ],
)
def test_what_kind_of_update_it_is(rules: Page, before: object, after: object, kind: str) -> None:
    assert call(rules, "kindOf", before, after) == kind
