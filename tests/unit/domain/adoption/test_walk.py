"""Which links of a site are followed, and what is told instead of the others."""

from __future__ import annotations

import pytest

from orchestrator.domain.adoption.site import EXCLUDES, Held, Site, Where
from orchestrator.domain.adoption.walk import MOST_BRANCHES, Led, Listing, Walk, grounds
from orchestrator.domain.errors import RefusedError, ReleaseError

TOP = "/var/www/app/releases/20260101"
SHARED = "/var/www/app/shared"
ONE, TWO = Held(3, "1" * 64), Held(4, "2" * 64)


def walked(*listings: Listing, where: Where | None = None) -> Site:
    """The site of which these listings come, in the order in which they are asked for."""
    walk = Walk(where or Where(path="/var/www/app/current"))
    for listing in listings:
        walk.add(walk.branches[0], listing)
    assert not walk.branches
    return walk.site()


def test_links_into_the_shared_directory_are_followed_and_told() -> None:
    top = Listing(TOP, {"index.html": ONE}, {"images": Led(f"{SHARED}/images", None), "a.js": Led(f"{SHARED}/a", TWO)})
    site = walked(top, Listing(f"{SHARED}/images", {"logo/x.svg": TWO}))
    assert site.top == TOP
    assert site.files == {"index.html": ONE, "images/logo/x.svg": TWO, "a.js": TWO}
    assert site.followed == {"images": f"{SHARED}/images", "a.js": f"{SHARED}/a"}
    assert site.odd == {}


@pytest.mark.parametrize("target", ["/etc/passwd", "/var/www/app", f"{SHARED}2/x", "/var/www/app/releases/20251231/x"])
def test_a_link_that_leads_out_is_not_followed_unless_somebody_says_so(target: str) -> None:
    top = Listing(TOP, {}, {"leak": Led(target, ONE), "leaks": Led(target, None)})
    site = walked(top)
    assert (site.files, site.followed) == ({}, {})
    assert set(site.odd.values()) == {f"a link that leads out of the site, to {target}"}
    followed = walked(
        Listing(TOP, {}, {"leak": Led(target, ONE)}), where=Where(path="/var/www/app/current", follow=(target,))
    )
    assert followed.files == {"leak": ONE}


def test_links_in_a_circle_end() -> None:
    itself = walked(Listing(TOP, {}, {"a/self": Led(TOP, None)}))
    assert set(itself.odd) == {"a/self"}
    there, back = Led(f"{SHARED}/a", None), Led(TOP, None)
    site = walked(Listing(TOP, {}, {"x": there}), Listing(f"{SHARED}/a", {}, {"y": back}))
    # The second link leads to where the first one lies.
    assert list(site.odd) == ["x/y"]


def test_a_directory_that_many_links_lead_to_is_not_looked_at_for_ever() -> None:
    many = {f"{n}": Led(f"{SHARED}/{n}", None) for n in range(MOST_BRANCHES + 1)}
    with pytest.raises(ReleaseError, match="too many links"):
        walked(Listing(TOP, {}, many))


def test_a_link_that_leads_elsewhere_by_now_is_refused() -> None:
    with pytest.raises(RefusedError, match="changed"):
        walked(Listing(TOP, {}, {"x": Led(f"{SHARED}/a", None)}), Listing("/etc", {"passwd": ONE}))


def test_what_no_release_can_hold_is_told_and_not_a_file() -> None:
    site = walked(Listing(TOP, {"a": ONE, "nfd\u0065\u0301": ONE, "bad\udcff": ONE}, {}, {"pipe": "a pipe"}))
    assert site.files == {"a": ONE}
    assert set(site.odd) == {"nfd\u0065\u0301", "bad\\xff", "pipe"}


def test_what_is_left_out_is_neither_a_file_nor_followed_nor_told() -> None:
    links = {"public/.git": Led("/elsewhere", None)}
    top = Listing(TOP, {".git/HEAD": ONE, "moduleservices/x": ONE, "a/moduleservices/x": ONE}, links, {".env": "odd"})
    site = walked(top)
    assert (site.files, site.followed, site.odd) == ({"a/moduleservices/x": ONE}, {}, {})


@pytest.mark.parametrize(
    ("pattern", "path", "left_out"),
    [
        ("*.map", "a/b.js.map", True),
        ("*.map", "a.map/b", True),
        ("*.map", "a.maps", False),
        ("/logs", "logs/x", True),
        ("/logs", "a/logs", False),
        ("/a/?", "a/b/c", True),
        ("/a/?", "a/bc", False),
        ("LOGS", "logs", False),
    ],
)
def test_a_pattern_leaves_out_by_name_anywhere_or_by_path_from_the_top(
    pattern: str, path: str, *, left_out: bool
) -> None:
    assert Where(path="/srv", excludes=(pattern,)).leaves_out(path) is left_out


@pytest.mark.parametrize("pattern", ["", "/", "a/b", "a//b", "[a]", "a\\", "a\n", "x" * 256])
def test_a_pattern_that_shells_read_otherwise_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Where(path="/srv", excludes=(*EXCLUDES, pattern))


@pytest.mark.parametrize("path", ["", "/", "srv", "~", "~x/y", "/srv/", "/srv/../etc", "/srv/./x", "/srv//x", "/s\nx"])
def test_a_path_that_says_something_else_than_it_seems_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Where(path=path)


def test_links_are_followed_within_the_top_and_its_capistrano_layout() -> None:
    assert grounds("/srv/www", ()) == ("/srv/www",)
    assert grounds(f"{TOP}/public", ("/data",)) == (f"{TOP}/public", TOP, SHARED, "/data")
