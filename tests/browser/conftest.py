"""One Chromium for all tests of a module, and one fleet with the sample app for all modules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from deploy import programs
from deploy.lab import Lab
from tests.browser.fleet import FRONTENDS, Fleet
from tests.browser.visitor import Visitor
from tests.integration.operator import PATIENCE, Operator


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = programs.require(["chromium"])["chromium"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Frontends, load balancer, service and worker, and the releases of the sample app."""
    directory = tmp_path_factory.mktemp("fleet")
    with Lab.up(directory / "lab", FRONTENDS) as lab:
        operator = Operator(directory, lab)
        with operator.standalone():
            yield Fleet(operator)


@pytest.fixture
def browsing(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser that was never anywhere."""
    context = chromium.new_context(viewport={"width": 640, "height": 400})
    context.set_default_timeout(PATIENCE * 1000)
    yield context
    context.close()


@pytest.fixture
def visitor(browsing: BrowserContext, fleet: Fleet) -> Visitor:
    """A tab in which version 1.0.0 is installed, on the screen About. The fleet serves that version."""
    fleet.deploys("1.0.0")
    made = Visitor(browsing, fleet.url)
    made.installs("About")
    assert made.version() == "1.0.0"
    return made
