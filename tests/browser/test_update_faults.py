"""Updates that go wrong: the old version stays whole, and what was fetched in vain is not fetched again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import BrowserContext

from tests.browser.fleet import MOUNT, RELEASES, Fleet
from tests.browser.relay import relay
from tests.browser.visitor import Visitor

BROKEN = "4.0.0"
(LARGE,) = (release for release in RELEASES if release.more)
#: The way is cut after so many files; so many are fetched side by side.
CUT, SIDE_BY_SIDE = 12, 5
#: What the large release has in common with the one before, besides the web client.
COMMON = {"img/icon.svg", "contract.json", "native.json"}


@contextmanager
def spoiled(fleet: Fleet, name: str, path: str) -> Iterator[None]:
    """Meanwhile a frontend has other bytes, as many of them, in this file of what it serves."""
    file = fleet.lab.frontend(name).root / "current" / MOUNT.strip("/") / path
    # In the place of what is there: the file has several names on a frontend.
    found, content = file.stat(), file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(content.replace(b"late", b"1ate"))
    try:
        yield
    finally:
        file.write_bytes(content)
        file.chmod(found.st_mode)
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_a_file_with_other_bytes_is_refused_until_it_is_right(visitor: Visitor, fleet: Fleet) -> None:
    before = visitor.status()["active"]
    fleet.deploys("2.0.0")
    with spoiled(fleet, "fe1", "scripts/late.js"):
        with spoiled(fleet, "fe2", "scripts/late.js"), spoiled(fleet, "fe3", "scripts/late.js"):
            assert visitor.checks() == "failed"
            failed = visitor.hears("failed")
            assert "checksum" in failed["reason"]
            assert failed["path"].startswith(f"{MOUNT}scripts/late.js?")
            visitor.reloads()
            assert visitor.version() == "1.0.0"
            assert visitor.status()["active"] == before
        # Of three frontends two have what they should. The new page looks on its own, and may have been first.
        assert visitor.checks() in {"new", "current"}
        assert visitor.status()["active"] != before
    visitor.reloads()
    assert visitor.version() == "2.0.0"


def test_frontends_that_serve_an_old_tree_again_set_nobody_back(visitor: Visitor, fleet: Fleet) -> None:
    old = fleet.operator.directory / "old"
    shutil.copytree(fleet.lab.frontend("fe1").root, old, symlinks=True)
    epoch = fleet.deploys("2.0.0")
    assert visitor.checks() == "new"
    for frontend in fleet.lab.frontends:
        fleet.lab.serve_elsewhere(frontend.name, old)
    assert visitor.checks() == "stale"
    visitor.reloads()
    assert visitor.checks() == "stale"
    assert visitor.version() == "2.0.0"
    assert visitor.status()["active"]["epoch"] == visitor.status()["seen"] == epoch
    for frontend in fleet.lab.frontends:
        fleet.lab.serve_elsewhere(frontend.name, frontend.root)
    assert visitor.checks() == "current"


def test_a_version_that_does_not_start_is_rolled_back_and_not_taken_again(visitor: Visitor, fleet: Fleet) -> None:
    before = visitor.status()["active"]
    epoch = fleet.deploys(BROKEN)
    assert visitor.checks() == "new"
    assert visitor.status()["active"]["epoch"] == epoch
    visitor.page.reload()
    visitor.sees_version("1.0.0")
    assert visitor.status()["active"] == before
    assert visitor.status()["refused"]["epoch"] == epoch
    assert visitor.checks() == "refused"
    visitor.reloads()
    assert visitor.version() == "1.0.0"
    epoch = fleet.deploys("2.0.0")
    assert visitor.checks() == "new"
    visitor.reloads()
    assert visitor.hears("applied")["epoch"] == epoch
    assert visitor.version() == "2.0.0"


def test_a_version_that_did_not_start_is_tried_again_under_a_newer_epoch(visitor: Visitor, fleet: Fleet) -> None:
    fleet.deploys(BROKEN)
    assert visitor.checks() == "new"
    visitor.page.reload()
    visitor.sees_version("1.0.0")
    epoch = fleet.deploys(BROKEN)
    assert visitor.checks() == "new"
    assert visitor.status()["active"]["epoch"] == epoch
    visitor.page.reload()
    visitor.sees_version("1.0.0")
    assert visitor.checks() == "refused"


def test_an_update_that_is_cut_off_goes_on_with_what_it_lacks(browsing: BrowserContext, fleet: Fleet) -> None:
    fleet.deploys("1.0.0")
    with relay(fleet.lab.blueprint.balancer_port) as way:
        visitor = Visitor(browsing, f"{way.url}{MOUNT}")
        visitor.installs("About")
        fleet.deploys(LARGE.version)
        before, held = visitor.status()["active"], visitor.holds()
        way.asked()
        way.cut_after(CUT)
        assert visitor.checks() == "failed"
        first = way.asked()
        assert len(first) == CUT
        # At the cut some files were on their way; what had arrived is kept.
        assert visitor.holds() >= held + CUT - SIDE_BY_SIDE
        visitor.reloads()
        assert visitor.asks_for_help() != ""
        assert visitor.version() == "1.0.0"
        assert visitor.status()["active"] == before
        assert visitor.checks() == "unknown"

        way.mend()
        assert visitor.checks() == "new"
        second = way.asked()
        visitor.reloads()
        assert visitor.version() == LARGE.version
    assert len(set(first) & set(second)) <= SIDE_BY_SIDE
    assert len(second) == len(set(second))
    names = {path.removeprefix(MOUNT).partition("?")[0] for path in {*first, *second}}
    assert {f"data/{number}.txt" for number in range(LARGE.more)} <= names
    assert names.isdisjoint(COMMON)
    assert not any(name.startswith("lockstep") for name in names)
