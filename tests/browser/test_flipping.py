"""Two tabs while the fleet flips twenty times under them: every page is whole, and no epoch goes back."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import BrowserContext, Error

from tests.browser.fleet import Fleet
from tests.browser.visitor import READY, Visitor, one_version

FLIPS = 20
#: A page was left while it was asked: the web client has opened it anew.
LEFT = ("Execution context was destroyed", "navigating", "Cannot find context")


class Tab:
    """A visitor who does one thing after the other, and looks at each page."""

    def __init__(self, visitor: Visitor, seed: int) -> None:
        self.visitor = visitor
        self._dice = random.Random(seed)
        self._epochs = {"active": 0, "seen": 0}
        self.pages: Counter[str] = Counter()

    def acts(self) -> None:
        """Open a page, change the screen, ask for help, or look for a new version; then look at the page."""
        visitor, page = self.visitor, self.visitor.page
        screen = self._dice.choice(("Lists", "Edit", "About"))
        match self._dice.choice(("open", "reload", "click", "check")):
            case "open":
                visitor.opens(screen)
            case "reload":
                visitor.reloads()
            case "click":
                page.click(f"text={screen} >> nth=0")
            case "check":
                self._asks("lockstep.check()")
        found = self._asks("loadLate().then(async () => [{ ...parts }, await lockstep.status()])")
        self.pages[one_version(found[0])] += 1
        for name, epoch in (("active", found[1]["active"]["epoch"]), ("seen", found[1]["seen"])):
            assert epoch >= self._epochs[name], (name, epoch, self._epochs)
            self._epochs[name] = epoch

    def _asks(self, expression: str) -> Any:
        """Its value on the page that is there then: a change of screen may open another one."""
        while True:
            try:
                self.visitor.page.wait_for_function(READY)
                return self.visitor.page.evaluate(expression)
            except Error as error:
                if not any(word in error.message for word in LEFT):
                    raise


@contextmanager
def flipping(fleet: Fleet) -> Iterator[threading.Thread]:
    """A thread that deploys and rolls back, one after the other; the block fails where it did."""
    failures: list[BaseException] = []

    def flips() -> None:
        try:
            for number in range(FLIPS):
                fleet.rolls_back() if number % 2 else fleet.deploys("2.0.0")
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=flips)
    thread.start()
    try:
        yield thread
    finally:
        thread.join()
    if failures:
        raise failures[0]


def test_two_tabs_see_whole_pages_and_no_epoch_goes_back(
    visitor: Visitor, browsing: BrowserContext, fleet: Fleet
) -> None:
    first = visitor.status()["seen"]
    other = Visitor(browsing, fleet.url)
    other.opens("Edit")
    tabs = [Tab(visitor, 1), Tab(other, 2)]
    with flipping(fleet) as thread:
        while thread.is_alive():
            for tab in tabs:
                tab.acts()
    for tab in tabs:
        # As many pages of each version as there would be where it followed a few of the flips alone.
        assert min(tab.pages[version] for version in ("1.0.0", "2.0.0")) >= 3, tab.pages
        tab.visitor.checks()
        tab.visitor.reloads()
        assert tab.visitor.version() == "1.0.0"
        assert tab.visitor.status()["active"]["epoch"] == first + FLIPS
