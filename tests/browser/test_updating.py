"""Updates of the sample app on a whole fleet, as people at a browser see them. No page is ever of two versions."""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext

from tests.browser.fleet import Fleet
from tests.browser.visitor import BAR, Visitor
from tests.integration.operator import PATIENCE

UPDATED = "Updated to the latest version."
ATTENTION = "Tap to update. Unsaved form data will be lost."
SCREENS = ("Lists", "Edit", "About")
#: Where pictures of the bars go, for the documentation; without the variable none are made.
SCREENSHOTS = os.environ.get("LOCKSTEP_SCREENSHOTS", "")


def picture(visitor: Visitor, name: str) -> None:
    if SCREENSHOTS:
        visitor.page.evaluate("scrollTo(0, 0)")
        visitor.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


def test_the_first_visit_installs_and_the_next_page_is_the_workers(browsing: BrowserContext, fleet: Fleet) -> None:
    epoch = fleet.deploys("1.0.0")
    visitor = Visitor(browsing, fleet.url)
    visitor.opens()
    assert visitor.hears("installed")["epoch"] == epoch
    assert visitor.version() == "1.0.0"
    answer = visitor.page.goto(f"{fleet.url}Edit")
    assert answer is not None
    assert answer.from_service_worker
    visitor.sees_version("1.0.0")
    assert visitor.status()["active"]["epoch"] == visitor.status()["seen"] == epoch
    assert visitor.page.locator(BAR).count() == 0


def test_a_seamless_update_waits_for_the_next_navigation_and_says_so_there(visitor: Visitor, fleet: Fleet) -> None:
    epoch = fleet.deploys("2.0.0")
    assert visitor.checks() == "new"
    updated = visitor.hears("updated")
    assert (updated["kind"], updated["epoch"]) == ("seamless", epoch)
    assert visitor.asks_for_help() != ""
    assert visitor.version() == "1.0.0"
    assert visitor.page.locator(BAR).count() == 0
    visitor.reloads()
    assert visitor.hears("applied")["epoch"] == epoch
    assert UPDATED in visitor.page.inner_text(BAR)
    picture(visitor, "bar-applied")
    assert visitor.asks_for_help() != ""
    assert visitor.version() == "2.0.0"
    visitor.reloads()
    assert visitor.page.locator(BAR).count() == 0


def test_a_change_of_screen_brings_what_is_new(visitor: Visitor, fleet: Fleet) -> None:
    fleet.deploys("2.0.0")
    visitor.page.click("text=Edit")
    visitor.hears("updated")
    assert visitor.version() == "1.0.0"
    visitor.page.click("text=Lists")
    visitor.sees_version("2.0.0")
    assert visitor.page.url == f"{fleet.url}Lists"


def test_an_update_that_needs_attention_stops_calls_until_the_tap(visitor: Visitor, fleet: Fleet) -> None:
    visitor.opens("Edit")
    assert visitor.saves("bread").startswith("Saved bread, ")
    epoch = fleet.deploys("3.0.0")
    visitor.page.fill("#item", "butter")
    assert visitor.checks() == "new"
    assert visitor.hears("attention")["epoch"] == epoch
    assert visitor.hears("updated")["kind"] == "attention"
    assert visitor.page.inner_text(BAR) == ATTENTION
    assert visitor.page.input_value("#item") == "butter"
    picture(visitor, "bar-attention")

    calls = fleet.calls()
    assert visitor.saves("butter") == "Not saved: 409 upgrade-required"
    assert fleet.calls() == calls
    assert visitor.version() == "1.0.0"

    visitor.page.click(f"{BAR} button")
    visitor.sees_version("3.0.0")
    assert visitor.page.url == f"{fleet.url}Edit"
    assert visitor.page.input_value("#item") == ""
    assert visitor.saves("butter").startswith("Saved butter, ")
    assert fleet.calls() == calls + 1


def test_a_rollback_reaches_the_page_as_any_update_does(visitor: Visitor, fleet: Fleet) -> None:
    fleet.deploys("2.0.0")
    assert visitor.checks() == "new"
    visitor.reloads()
    assert visitor.version() == "2.0.0"
    epoch = fleet.rolls_back()
    assert visitor.checks() == "new"
    assert visitor.version() == "2.0.0"
    visitor.reloads()
    assert visitor.version() == "1.0.0"
    assert visitor.status()["active"]["epoch"] == epoch


def test_every_screen_is_there_without_a_network(visitor: Visitor, browsing: BrowserContext) -> None:
    browsing.set_offline(True)
    for screen in SCREENS:
        visitor.opens(screen)
        assert visitor.page.evaluate("document.body.dataset.screen") == screen
        visitor.reloads()
        assert visitor.version() == "1.0.0"
    assert visitor.checks() == "unknown"
    visitor.opens("Edit")
    assert visitor.saves("bread").startswith("Not saved: ")
    browsing.set_offline(False)
    assert visitor.saves("bread").startswith("Saved bread, ")


def test_without_a_worker_every_screen_is_found_all_the_same(chromium: Browser, fleet: Fleet) -> None:
    fleet.deploys("1.0.0")
    context = chromium.new_context(service_workers="block")
    context.set_default_timeout(PATIENCE * 1000)
    for screen in SCREENS:
        visitor = Visitor(context, fleet.url)
        visitor.opens(screen)
        assert visitor.page.evaluate("document.body.dataset.screen") == screen
        assert visitor.version() == "1.0.0"
    context.close()
