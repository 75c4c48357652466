"""Somebody who uses the sample app in a tab, and sees which versions the page is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playwright.sync_api import BrowserContext, Page

#: Each part that a page has once it is there, and those that come late.
PARTS = {
    "index.html",
    "styles/app.css",
    "img/banner.svg",
    *(f"scripts/{name}.js" for name in ("parts", "updates", "screens", "lists", "edit", "about", "start")),
}
LATE = {"scripts/late.js", "data/help.json"}
READY = "document.documentElement.dataset.ready === 'yes'"
BAR = "#lockstep-bar"
#: The cache in which the web client holds files by their SHA-256.
FILES = "lockstep /ToDo/ files"


class Visitor:
    """A tab. `url` is the app's mount."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.page: Page = context.new_page()
        self.url = url

    def opens(self, screen: str = "") -> None:
        """Go to a screen as a new page."""
        self.page.goto(f"{self.url}{screen}")
        self.page.wait_for_function(READY)

    def reloads(self) -> None:
        """The same screen as a new page."""
        self.page.reload()
        self.page.wait_for_function(READY)

    def installs(self, screen: str = "") -> None:
        """The first visit, and a second one: that page comes from the worker."""
        self.opens(screen)
        self.hears("installed")
        self.reloads()
        assert self.status()["version"]["network"] is False

    def hears(self, event: str) -> Any:
        """Wait for an event of the web client; returns its detail."""
        self.page.wait_for_function("(name) => window.updates?.some((each) => each.name === name)", arg=event)
        return self.page.evaluate("(name) => updates.find((each) => each.name === name).detail", event)

    def checks(self) -> str:
        """Look for a new version; returns what came of it."""
        return str(self.page.evaluate("lockstep.check()")["state"])

    def status(self) -> Any:
        """What the web client holds."""
        return self.page.evaluate("lockstep.status()")

    def holds(self) -> int:
        """How many files the web client holds, of all versions together."""
        return int(self.page.evaluate(f"caches.open('{FILES}').then((held) => held.keys()).then((all) => all.length)"))

    def version(self) -> str:
        """The version that every part of this page is of, after its late parts have been loaded."""
        return one_version(self.page.evaluate("loadLate().then(() => ({ ...parts }))"))

    def sees_version(self, version: str) -> None:
        """Wait until the page is of this version, all of it."""
        self.page.wait_for_function(f"(version) => {READY} && parts['index.html'] === version", arg=version)
        assert self.version() == version

    def asks_for_help(self) -> str:
        """On the screen About: click, and read what is loaded late."""
        self.page.click("#more")
        self.page.wait_for_function("document.getElementById('help').textContent !== ''")
        return self.page.inner_text("#help")

    def saves(self, item: str) -> str:
        """On the screen Edit: type, call the server action, and read what the page says."""
        self.page.fill("#item", item)
        self.page.click("#save")
        self.page.wait_for_function("document.getElementById('outcome').textContent !== ''")
        return self.page.inner_text("#outcome")


def one_version(parts: Mapping[str, str]) -> str:
    """The version of all these parts. None may be missing, or of another version."""
    assert set(parts) == PARTS | LATE
    assert len(set(parts.values())) == 1, parts
    return parts["index.html"]
