"""The web client in a real Chromium, against two real frontends: what a page is served, and what is taken as new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.site import MOUNT, Site, app_files, site
from tests.integration.nginx import await_condition

SAVE = "fetch('/App/screenservices/Save', {method: 'POST', body: '{}'}).then((answer) => answer.status)"
LATE = """(name) => new Promise((resolve) => {
    const script = document.createElement('script');
    script.src = name;
    script.onload = () => resolve(true);
    script.onerror = () => resolve(false);
    document.body.append(script);
})"""


def contract(**actions: str) -> bytes:
    return json.dumps({"format": 1, "actions": actions}).encode()


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Site]:
    tmp_path.chmod(0o755)
    with site(tmp_path) as running:
        running.deploy(app_files("one"))
        yield running


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    made = chromium.new_context()
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, app: Site) -> Page:
    """A page of version one that the worker serves."""
    return installed(context.new_page(), app)


def installed(page: Page, app: Site) -> Page:
    page.goto(app.url)
    await_event(page, "installed")
    page.reload()
    assert page.evaluate("window.ready") is True
    return page


def await_event(page: Page, name: str) -> Any:
    page.wait_for_function("(name) => window.heard && heard.some(([each]) => each === name)", arg=name)
    return page.evaluate("(name) => heard.find(([each]) => each === name)[1]", name)


def await_version(page: Page, version: str) -> None:
    page.wait_for_function("(version) => window.version === version && document.readyState === 'complete'", arg=version)


def check(page: Page) -> str:
    return str(page.evaluate("lockstep.check()")["state"])


def status(page: Page) -> Any:
    return page.evaluate("lockstep.status()")


def parts(page: Page) -> tuple[str, list[str]]:
    version, found = page.evaluate("[window.version, window.parts]")
    return version, found


def test_an_open_page_keeps_its_version_and_the_next_one_has_the_new(page: Page, app: Site) -> None:
    app.deploy(app_files("two"))
    assert check(page) == "new"
    assert await_event(page, "updated")["kind"] == "seamless"
    assert page.evaluate(LATE, "late.js")
    assert parts(page) == ("one", ["one", "one"])
    page.reload()
    await_event(page, "applied")
    assert page.evaluate(LATE, "late.js")
    assert parts(page) == ("two", ["two", "two"])
    assert page.inner_text("#lockstep-bar button >> nth=0") == "Updated to the latest version."


def test_a_page_from_the_network_is_not_moved_by_looking_for_a_version(context: BrowserContext, app: Site) -> None:
    page = context.new_page()
    page.goto(app.url)
    await_event(page, "installed")
    app.deploy(app_files("two"))
    assert check(page) == "new"
    assert page.evaluate(LATE, "late.js")
    assert parts(page) == ("one", ["one", "one"])


def test_a_page_from_the_network_stays_there_where_the_worker_comes_with_a_newer_version(
    context: BrowserContext, app: Site
) -> None:
    page = context.new_page()
    page.goto(f"{app.url}?wait")
    app.deploy(app_files("two"))
    assert page.evaluate("begin()") is True
    assert await_event(page, "installed")["epoch"] == 2
    assert page.evaluate(LATE, "late.js")
    assert parts(page) == ("one", ["one", "one"])


def test_what_only_a_newer_version_has_is_not_there_for_an_older_page(page: Page, app: Site) -> None:
    app.deploy(app_files("two", new__js=b"parts.push('two');"))
    assert check(page) == "new"
    # A page that the network serves moves the pin, which all tabs of the browser share.
    page.evaluate("fetch('/App/moduleservices/moduleversioninfo?1')")
    assert page.evaluate("fetch('/App/new.js').then((answer) => answer.status)") == 404
    page.reload()
    await_version(page, "two")
    assert page.evaluate("fetch('/App/new.js').then((answer) => answer.status)") == 200


def test_a_service_of_the_app_is_reached_through_the_worker(page: Page) -> None:
    assert page.evaluate("fetch('/App/screenservices/List').then((answer) => answer.json())") == {"saved": True}


def test_in_the_middle_of_a_flip_the_new_version_is_taken_whole(page: Page, app: Site) -> None:
    name = app.stage(app_files("two"))
    app.roots[1].flip(name)
    await_condition(lambda: check(page) == "new")
    page.reload()
    await_event(page, "applied")
    assert parts(page) == ("two", ["two"])


def test_an_epoch_below_the_highest_seen_is_never_taken(page: Page, app: Site) -> None:
    app.deploy(app_files("two"))
    assert check(page) == "new"
    for root in app.roots:
        root.flip(app.name(1))
    assert check(page) == "stale"
    assert status(page)["active"]["epoch"] == status(page)["seen"] == 2


def test_a_rollback_arrives_as_a_newer_epoch(page: Page, app: Site) -> None:
    token = status(page)["active"]["token"]
    app.deploy(app_files("two"))
    assert check(page) == "new"
    app.deploy(app_files("one"))
    assert check(page) == "new"
    assert status(page)["active"] == {"token": token, "epoch": 3}
    page.reload()
    assert parts(page) == ("one", ["one"])


def test_the_same_content_under_a_newer_epoch_is_no_update(page: Page, app: Site) -> None:
    app.deploy(app_files("one"))
    assert check(page) == "current"
    assert status(page)["active"]["epoch"] == 2


def test_a_file_with_other_bytes_is_refused_and_what_was_right_is_not_fetched_again(page: Page, app: Site) -> None:
    content = b"parts.push('two');"
    files = app_files("two", img__svg=b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    name = app.stage(files)
    app.spoil(content, b"parts.push('tvo');")
    for root in app.roots:
        root.flip(name)
    assert check(page) == "failed"
    failed = await_event(page, "failed")
    assert "checksum" in failed["reason"]
    assert failed["path"].startswith(("/App/part.js?", "/App/late.js?"))
    before = app.asked()
    # The two paths have one content, so it is asked for once, and then tried again ten times at most.
    assert sum(uri == failed["path"] for uri in before) == 11
    page.reload()
    assert parts(page) == ("one", ["one"])
    app.spoil(content, content)
    await_condition(lambda: check(page) in ("new", "current"))
    assert sum("index.html?" in uri or "img.svg?" in uri for uri in app.asked()[len(before) :]) == 0
    page.reload()
    assert parts(page) == ("two", ["two"])


def test_a_version_that_throws_is_rolled_back_and_refused_until_a_newer_epoch(page: Page, app: Site) -> None:
    good = status(page)["active"]
    bad = app_files("two", more="<script>throw new Error('it does not start')</script>")
    app.deploy(bad)
    assert check(page) == "new"
    page.reload()
    await_version(page, "one")
    assert status(page)["active"] == good
    assert check(page) == "refused"
    app.deploy(app_files("three"))
    assert check(page) == "new"
    page.reload()
    await_event(page, "applied")
    assert parts(page) == ("three", ["three"])


def test_a_script_of_the_page_that_is_not_there_counts_as_not_started(page: Page, app: Site) -> None:
    app.deploy(app_files("two", more="<script src='/App/gone.js'></script>"))
    assert check(page) == "new"
    page.reload()
    await_version(page, "one")
    assert status(page)["refused"]["epoch"] == 2


def test_a_version_that_is_left_again_and_again_before_it_starts_is_rolled_back(page: Page, app: Site) -> None:
    app.deploy(app_files("two", manual=True))
    assert check(page) == "new"

    def is_back() -> bool:
        page.reload()
        page.wait_for_function("document.readyState === 'complete'")
        return parts(page)[0] == "one"

    assert not is_back()
    await_condition(is_back)


def test_a_version_that_says_itself_that_it_has_started_stays(page: Page, app: Site) -> None:
    app.deploy(app_files("two", manual=True))
    assert check(page) == "new"
    page.reload()
    assert status(page)["trial"] is not None
    assert page.evaluate("lockstep.started()") is True
    assert status(page)["trial"] is None
    assert await_event(page, "applied") == status(page)["active"]


def test_a_page_whose_action_has_changed_must_reload_before_it_calls_the_server(page: Page, app: Site) -> None:
    app.deploy(app_files("two", contract__json=contract(Save="a")))
    assert check(page) == "new"
    assert page.evaluate(SAVE) == 200
    page.reload()
    await_event(page, "applied")
    app.deploy(app_files("three", contract__json=contract(Save="b")))
    assert check(page) == "new"
    await_event(page, "attention")
    calls = sum("screenservices" in uri for uri in app.asked())
    assert page.evaluate(SAVE) == 409
    assert sum("screenservices" in uri for uri in app.asked()) == calls
    page.click("#lockstep-bar button")
    await_version(page, "three")
    assert page.evaluate(SAVE) == 200


def test_a_call_of_the_server_finds_a_new_version(page: Page, app: Site) -> None:
    app.deploy(app_files("two"))
    assert page.evaluate(SAVE) == 200
    assert await_event(page, "updated")["epoch"] == 2


def test_a_change_of_screen_applies_a_new_version(page: Page, app: Site) -> None:
    app.deploy(app_files("two"))
    page.evaluate("history.pushState(null, '', '/App/Other')")
    await_event(page, "updated")
    assert parts(page) == ("one", ["one"])
    page.evaluate("history.pushState(null, '', '/App/Third')")
    await_version(page, "two")
    assert page.url.endswith("/App/Third")


def test_everything_is_there_without_a_network(chromium: Browser, tmp_path: Path) -> None:
    odd = {"a b+%.js": b"1;", "ü|[x].js": b"2;", "docs/index.html": b"<p>docs</p>", "empty.txt": b""}
    with site(tmp_path) as running:
        running.deploy({**app_files("one"), **odd})
        context = chromium.new_context()
        page = installed(context.new_page(), running)
        context.set_offline(True)
        for path in ("", "Some/Screen", "docs/"):
            assert page.goto(f"{running.url}{path}") is not None
        assert page.evaluate("document.body.innerText") == "docs"
        page.goto(f"{running.url}Some/Screen")
        assert parts(page) == ("one", ["one"])
        for path in ("a%20b+%25.js", "%C3%BC%7C%5Bx%5D.js", "ü|[x].js", "empty.txt"):
            assert page.evaluate("(path) => fetch('/App/' + path).then((answer) => answer.status)", path) == 200
        assert check(page) == "unknown"
        context.close()


def test_a_piece_of_a_file_is_served_as_a_piece(page: Page) -> None:
    ask = """(range) => fetch('/App/late.js', {headers: {Range: range}}).then(async (answer) =>
        [answer.status, answer.headers.get('Content-Range'), await answer.text()])"""
    assert page.evaluate(ask, "bytes=6-9") == [206, "bytes 6-9/18", "push"]
    assert page.evaluate(ask, "bytes=11-") == [206, "bytes 11-17/18", "'one');"]
    assert page.evaluate(ask, "bytes=18-") == [416, "bytes */18", ""]


def test_who_asks_while_the_worker_looks_is_not_answered_by_what_was_so_before(page: Page, app: Site) -> None:
    def looks() -> int:
        return sum("moduleversioninfo" in path for path in app.asked())

    assert check(page) == "current"
    page.evaluate("fetch('/App/moduleservices/moduleversioninfo?counted')")
    await_condition(lambda: any("counted" in path for path in app.asked()))
    before = looks()
    found = page.evaluate("Promise.all([lockstep.check(), lockstep.check(), lockstep.check()])")
    assert [each["state"] for each in found] == ["current"] * 3
    await_condition(lambda: looks() == before + 2)


def test_versions_that_no_page_needs_are_forgotten(page: Page, app: Site) -> None:
    count = (
        """(part) => caches.open(`lockstep /App/ ${part}`).then((cache) => cache.keys()).then((all) => all.length)"""
    )
    files = page.evaluate(count, "files")
    for version in ("two", "three"):
        app.deploy(app_files(version))
        assert check(page) == "new"
        page.reload()
        await_event(page, "applied")
    assert page.evaluate(count, "files") == files + 4
    for _ in range(34):
        page.reload()
    app.deploy(app_files("four"))
    assert check(page) == "new"
    # Three for the page that is open and for those that went lately, four for the next.
    assert page.evaluate(count, "files") == files + 2
    # The state, two versions, and the pages: the open one and 32 that are gone.
    assert page.evaluate(count, "records") == 3 + 33


def test_two_tabs_each_keep_their_version(context: BrowserContext, page: Page, app: Site) -> None:
    app.deploy(app_files("two"))
    other = context.new_page()
    other.goto(app.url)
    await_version(other, "one")
    await_event(other, "updated")
    other.reload()
    await_version(other, "two")
    for tab, version in ((page, "one"), (other, "two")):
        assert tab.evaluate(LATE, "late.js")
        assert parts(tab) == (version, [version, version])


def test_the_worker_looks_only_below_its_mount(page: Page) -> None:
    assert page.evaluate("navigator.serviceWorker.controller.scriptURL").endswith(f"{MOUNT}lockstep-worker.js")
    assert page.evaluate("fetch('/-/lockstep/health').then((answer) => answer.text())") == "ok"
