"""What docs/serving.md promises of one answer, against a real nginx. Each activation's files name it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from deploy.nginx.recipe import render
from tests.integration.frontend_tree import EMPTY, FrontendTree, activation_of, hash_of
from tests.integration.http_client import Answer, Client
from tests.integration.nginx import free_ports, nginx

OLD, NOW, NEXT, UNKNOWN = (activation_of(epoch) for epoch in (3, 5, 7, 9))
PATHS = ("index.html", "app.js", "css/app.css", "help/index.html", "help/old", "noindex/x.js", "sub/precache.manifest")
FOREVER = ["public, max-age=31536000, immutable"]


def files_of(activation: str) -> dict[str, bytes]:
    return {path: f"{activation} {path}\n".encode() for path in PATHS}


@dataclass(frozen=True)
class Site:
    """One frontend with two apps, one with an app at /, and one before its first deployment."""

    apps: Client
    sole: Client
    fresh: Client
    fresh_tree: FrontendTree


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    base = tmp_path_factory.mktemp("serving")
    trees = [FrontendTree(base / name) for name in ("apps", "sole", "fresh")]
    for activation in (OLD, NOW, NEXT):
        trees[0].stage(activation, {"/ToDo/": files_of(activation), "/Shop/": files_of(activation)})
        trees[1].stage(activation, {"/": files_of(activation)})
    for tree in trees[:2]:
        tree.flip(OLD)
        tree.flip(NOW)
    ports = free_ports(3)
    http = "".join(render(root=str(t.root), listen=[f"127.0.0.1:{p}"]) for t, p in zip(trees, ports, strict=True))
    with (
        nginx(base / "nginx", http, ports),
        Client(ports[0]) as apps,
        Client(ports[1]) as sole,
        Client(ports[2]) as fresh,
    ):
        yield Site(apps, sole, fresh, trees[2])


def assert_from(answer: Answer, activation: str, path: str) -> None:
    """The answer is that file of that activation, and says so."""
    assert (answer.status, answer.activation) == (200, activation)
    assert answer.body == files_of(activation)[path]


# --- which activation answers ---


@pytest.mark.parametrize(
    ("dest", "pin", "served", "sets"),
    [
        ("document", None, NOW, NOW),
        ("document", OLD, NOW, NOW),
        ("document", NOW, NOW, None),
        ("document", NEXT, NEXT, None),
        ("document", UNKNOWN, NOW, NOW),
        ("document", EMPTY, NOW, NOW),
        ("script", None, NOW, None),
        ("script", OLD, OLD, None),
        ("script", NOW, NOW, None),
        ("script", NEXT, NEXT, None),
        ("script", UNKNOWN, NOW, None),
        ("script", EMPTY, NOW, None),
    ],
)
def test_the_pin_chooses_the_activation(site: Site, dest: str, pin: str | None, served: str, sets: str | None) -> None:
    for client, mount in ((site.apps, "/ToDo/"), (site.apps, "/Shop/"), (site.sole, "/")):
        for path, file in (("app.js", "app.js"), ("index.html", "index.html"), ("", "index.html")):
            answer = client.get(mount + path, pin=pin, dest=dest)
            assert_from(answer, served, file)
            assert answer.pin == sets


NAVIGATION = ("NOW", NOW, ["private, no-cache"])
PART = (None, OLD, ["no-cache"])


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("app.js", {"Sec_Fetch_Dest": "document"}, NAVIGATION),
        ("app.js", {"Sec_Fetch_Dest": "iframe"}, NAVIGATION),
        ("app.js", {"Sec_Fetch_Dest": "frame"}, NAVIGATION),
        ("app.js", {"Sec_Fetch_Dest": "fencedframe"}, NAVIGATION),
        ("index.html", {"Sec_Fetch_Dest": "empty", "Accept": "text/html"}, PART),
        ("index.html", {"Sec_Fetch_Dest": "embed"}, PART),
        ("index.html", {"Sec_Fetch_Dest": "object"}, PART),
        ("", {"Sec_Fetch_Dest": "serviceworker"}, PART),
        ("app.js", {"Sec_Fetch_Dest": "documents"}, PART),
        ("app.js", {}, PART),
        ("app.js", {"Accept": "*/*"}, PART),
        ("app.js", {"Accept": "application/json, text/html"}, PART),
        ("app.js", {"Accept": "text/htmlx"}, PART),
        ("app.js", {"Accept": "text/html"}, NAVIGATION),
        ("app.js", {"Accept": "Text/HTML;q=0.9,*/*"}, NAVIGATION),
        ("app.js", {"Accept": "text/html,application/xhtml+xml"}, NAVIGATION),
        ("help/old", {"Accept": "*/*"}, PART),
        ("index.html", {}, NAVIGATION),
        ("", {}, NAVIGATION),
        ("help/", {"Accept": "*/*"}, NAVIGATION),
        ("app.js?a=b.html", {}, PART),
        ("app.js?/", {}, PART),
    ],
)
def test_what_counts_as_navigation(
    site: Site, path: str, headers: dict[str, str], expected: tuple[str | None, str, list[str]]
) -> None:
    pin, served, cache = expected

    answer = site.apps.get("/ToDo/" + path, Cookie=f"a=b; lockstep={OLD}; c=d", **headers)

    file = urlsplit(path).path
    assert_from(answer, served, file + "index.html" if file in ("", "help/") else file)
    assert answer.pin == (NOW if pin else None)
    assert answer.cache == cache


# --- files ---


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("index.html", "text/html"),
        ("app.js", "text/javascript"),
        ("css/app.css", "text/css"),
        ("help/old", "application/octet-stream"),
    ],
)
def test_a_file_has_the_type_of_its_name_in_the_url(site: Site, path: str, kind: str) -> None:
    content = files_of(OLD)[path]

    assert site.apps.get(f"/ToDo/{path}").headers["Content-Type"] == kind
    by_hash = site.apps.get(f"/ToDo/{path}?{hash_of(content)}")
    assert (by_hash.headers["Content-Type"], by_hash.body) == (kind, content)


@pytest.mark.parametrize("dest", ["document", "script", None])
@pytest.mark.parametrize("pin", [None, OLD, NEXT])
def test_a_hash_chooses_the_file_whichever_activation_is_active(site: Site, pin: str | None, dest: str | None) -> None:
    for activation in (OLD, NOW, NEXT):
        content = files_of(activation)["app.js"]
        answer = site.apps.get(f"/ToDo/app.js?{hash_of(content)}", pin=pin, dest=dest)

        assert (answer.status, answer.body, answer.cache) == (200, content, FOREVER)
        assert (answer.activation, answer.pin) == (None, None)


def test_a_hash_that_is_not_held_is_a_query_like_any_other_and_never_kept(site: Site) -> None:
    answer = site.apps.get(f"/ToDo/app.js?{hash_of(b'held nowhere')}", pin=OLD, dest="script")

    assert_from(answer, OLD, "app.js")
    assert answer.cache == ["no-cache"]


def test_a_directory_is_never_looked_up_by_hash(site: Site) -> None:
    answer = site.apps.get(f"/ToDo/?{hash_of(files_of(OLD)['app.js'])}")

    assert_from(answer, NOW, "index.html")


def test_a_range_beyond_the_end_is_not_kept_for_a_year(site: Site) -> None:
    path = f"/ToDo/app.js?{hash_of(files_of(OLD)['app.js'])}"

    assert site.apps.get(path, Range="bytes=0-3").cache == FOREVER
    beyond = site.apps.get(path, Range="bytes=9999-")
    # nginx finds out after it has added the first header; of two, the stricter one holds.
    assert (beyond.status, beyond.cache[-1]) == (416, "no-store")


@pytest.mark.parametrize(("dest", "sets"), [("document", NOW), ("script", None)])
def test_a_directory_without_its_slash_is_redirected_within_the_site(site: Site, dest: str, sets: str | None) -> None:
    answer = site.apps.get("/ToDo?a=b", dest=dest)

    assert (answer.status, answer.headers["Location"]) == (301, "/ToDo/?a=b")
    assert (answer.activation, answer.pin) == (NOW, sets)
    assert "no-cache" in answer.cache[0]


@pytest.mark.parametrize("path", ["/ToDo/gone.js", "/ToDo/gone.html", "/ToDo/noindex/", "/Nowhere/", "/"])
def test_what_is_missing_is_404_names_its_activation_and_sets_no_pin(site: Site, path: str) -> None:
    answer = site.apps.get(path, pin=OLD, dest="document" if path.endswith("html") else "script")

    assert answer.status == 404
    assert answer.activation == (NOW if path.endswith("html") else OLD)
    assert (answer.pin, "no-cache" in answer.cache[0]) == (None, True)


@pytest.mark.parametrize("screen", ["Login", "a/b/Login", "orders/", "noindex/", "v1.2/Login"])
def test_navigation_to_a_screen_gets_the_index_of_its_app(site: Site, screen: str) -> None:
    for client, mount in ((site.apps, "/Shop/"), (site.sole, "/")):
        answer = client.get(mount + screen, dest="document")
        assert_from(answer, NOW, "index.html")
        assert answer.headers["Content-Type"] == "text/html"
        assert answer.pin == NOW

        assert client.get(mount + screen, pin=OLD, dest="script").status == 404


def test_a_screen_of_a_sole_app_is_not_taken_for_a_directory_of_it(site: Site) -> None:
    assert_from(site.sole.get("/help/Contact", dest="document"), NOW, "index.html")


@pytest.mark.parametrize("path", ["/ToDo/Login.js", "/Nowhere/Login", "/Login", "/Nowhere/moduleservices/moduleinfo"])
def test_what_can_be_no_screen_of_an_app_is_404(site: Site, path: str) -> None:
    assert site.apps.get(path, dest="document").status == 404


def test_an_unchanged_file_is_304_and_may_bring_the_new_pin(site: Site) -> None:
    etag = site.apps.get("/ToDo/index.html").headers["ETag"]

    answer = site.apps.get("/ToDo/index.html", pin=OLD, If_None_Match=etag)

    assert (answer.status, answer.activation, answer.pin) == (304, NOW, NOW)


def test_the_same_content_has_one_etag_everywhere_and_other_content_of_its_size_another(site: Site) -> None:
    def etag(client: Client, path: str, pin: str) -> str:
        return str(client.get(path, pin=pin, dest="script").headers["ETag"])

    assert etag(site.apps, "/ToDo/app.js", OLD) == etag(site.sole, "/app.js", OLD)
    assert etag(site.apps, "/ToDo/app.js", OLD) != etag(site.apps, "/ToDo/app.js", NOW)
    assert len(files_of(OLD)["app.js"]) == len(files_of(NOW)["app.js"])


def test_head_is_get_without_the_body(site: Site) -> None:
    get, head = site.apps.get("/ToDo/"), site.apps.get("/ToDo/", method="HEAD")

    assert head.body == b""
    for name in ("ETag", "Content-Length", "Lockstep-Activation", "Set-Cookie", "Cache-Control"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
@pytest.mark.parametrize("path", ["/ToDo/", "/-/lockstep/health", f"/ToDo/app.js?{hash_of(files_of(OLD)['app.js'])}"])
def test_only_get_and_head_are_answered(site: Site, method: str, path: str) -> None:
    answer = site.apps.get(path, method=method)

    assert (answer.status, answer.headers["Allow"], answer.pin) == (405, "GET, HEAD", None)


def test_what_an_audit_has_written_comes_back_from_this_root_alone(site: Site) -> None:
    assert site.fresh.get("/-/lockstep/place").status == 404
    (site.fresh_tree.root / "state" / "place").write_text("0f" * 8)
    answer = site.fresh.get("/-/lockstep/place")
    assert (answer.status, answer.body, answer.cache, answer.pin) == (200, b"0f" * 8, ["no-store"], None)
    assert site.apps.get("/-/lockstep/place").status == 404


def test_before_the_first_deployment_there_is_nothing_and_no_pin(site: Site) -> None:
    for path in ("/", "/ToDo/", "/-/lockstep/activation", "/moduleservices/moduleversioninfo"):
        answer = site.fresh.get(path, dest="document")
        assert (answer.status, answer.activation, answer.pin) == (404, EMPTY, None)
    # Nor does it ask for clients: a load balancer that sent them here would show them 404.
    health = site.fresh.get("/-/lockstep/health")
    assert (health.status, health.body) == (503, b"empty")
    # Not even somebody's own page there is worth a pin.
    (site.fresh_tree.root / "activations" / EMPTY / "index.html").write_bytes(b"soon")
    page = site.fresh.get("/", dest="document")
    assert (page.status, page.activation, page.pin) == (200, EMPTY, None)
