"""Version documents, inquiries, health and the paths below /-/, against a real nginx."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.nginx.recipe import render
from tests.integration.frontend_tree import FrontendTree, activation_of, hash_of, token_of
from tests.integration.http_client import Client
from tests.integration.nginx import await_condition, free_ports, nginx

OLD, NOW, NEXT, UNKNOWN = (activation_of(epoch) for epoch in (3, 5, 7, 9))
DOCUMENTS = ("moduleservices/moduleversioninfo", "moduleservices/moduleinfo", "precache.manifest")
#: Files of the apps themselves whose names look like documents.
OWN = ("sub/precache.manifest", "sub/moduleservices/moduleinfo", "moduleversioninfo")
#: Which activation a version check is answered from, and which pin it sets, for each pin.
CHOICES = [(None, NOW, NOW), (OLD, NOW, NOW), (NOW, NOW, None), (NEXT, NEXT, None), (UNKNOWN, NOW, NOW)]


def files_of(activation: str) -> dict[str, bytes]:
    return {path: f"{activation} {path}\n".encode() for path in ("index.html", "app.js", *OWN)}


@dataclass(frozen=True)
class Site:
    """One frontend with apps at /ToDo/ and /Shop.2/, one with an app at /."""

    base: Path
    tree: FrontendTree
    apps: Client
    sole: Client


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    base = tmp_path_factory.mktemp("documents")
    apps, sole = FrontendTree(base / "apps"), FrontendTree(base / "sole")
    for activation in (OLD, NOW, NEXT):
        apps.stage(activation, {"/ToDo/": files_of(activation), "/Shop.2/": files_of(activation)})
        sole.stage(activation, {"/": files_of(activation)})
    for tree in (apps, sole):
        tree.flip(OLD)
        tree.flip(NOW)
    ports = free_ports(2)
    http = "".join(
        render(root=str(tree.root), listen=[f"127.0.0.1:{port}"])
        for tree, port in zip((apps, sole), ports, strict=True)
    )
    with nginx(base / "nginx", http, ports), Client(ports[0]) as one, Client(ports[1]) as other:
        yield Site(base, apps, one, other)


@pytest.mark.parametrize("dest", ["document", "empty", None])
@pytest.mark.parametrize(("pin", "served", "sets"), CHOICES)
@pytest.mark.parametrize("query", ["", "?", "?1732478022123", "?cached", "?a=b&c"])
@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_version_check_is_navigation_whatever_the_client_calls_it(
    site: Site, document: str, query: str, pin: str | None, served: str, sets: str | None, dest: str | None
) -> None:
    for client, mount in ((site.apps, "/ToDo/"), (site.apps, "/Shop.2/"), (site.sole, "/")):
        answer = client.get(mount + document + query, pin=pin, dest=dest)

        found = answer.json["manifest"] if document.endswith("moduleinfo") else answer.json
        assert (answer.status, found["versionToken"], answer.activation) == (200, token_of(served), served)
        assert (answer.headers["Content-Type"], answer.cache, answer.pin) == ("application/json", ["no-store"], sets)


@pytest.mark.parametrize("name", ["moduleservices/moduleversioninfo", "precache.manifest"])
def test_a_query_that_is_a_hash_or_a_token_changes_no_version_check(site: Site, name: str) -> None:
    for query in (token_of(OLD), hash_of(files_of(OLD)["app.js"])):
        assert site.apps.get(f"/ToDo/{name}?{query}").json["versionToken"] == token_of(NOW)


@pytest.mark.parametrize("dest", ["document", "empty", None])
@pytest.mark.parametrize("pin", [None, OLD, NEXT])
def test_a_token_chooses_its_moduleinfo_whichever_activation_is_active(
    site: Site, pin: str | None, dest: str | None
) -> None:
    for activation in (OLD, NOW, NEXT):
        for client, mount in ((site.apps, "/ToDo/"), (site.sole, "/")):
            path = f"{mount}moduleservices/moduleinfo?{token_of(activation)}"
            answer = client.get(path, pin=pin, dest=dest)

            assert answer.json["manifest"]["versionToken"] == token_of(activation)
            assert answer.headers["Content-Type"] == "application/json"
            assert answer.cache == ["public, max-age=31536000, immutable"]
            assert (answer.activation, answer.pin) == (None, None)


@pytest.mark.parametrize("token", [token_of("nobody's"), "gUSAs+s6ttp50Ug5Pu5N1A"])
def test_an_unknown_token_is_404_and_never_another_releases_document(site: Site, token: str) -> None:
    for pin in (None, OLD, NOW, NEXT):
        answer = site.apps.get(f"/ToDo/moduleservices/moduleinfo?{token}", pin=pin)

        assert (answer.status, answer.cache, answer.pin) == (404, ["no-store"], None)


@pytest.mark.parametrize("path", OWN)
def test_a_file_that_is_named_like_a_document_elsewhere_stays_a_file(site: Site, path: str) -> None:
    for client, mount in ((site.apps, "/ToDo/"), (site.sole, "/")):
        assert client.get(mount + path).body == files_of(NOW)[path]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_app_that_is_not_there_has_no_documents_and_no_screen_in_their_place(site: Site, name: str) -> None:
    for client in (site.apps, site.sole):
        answer = client.get(f"/Nowhere/{name}", dest="document")
        assert (answer.status, answer.activation, answer.pin) == (404, NOW, None)


@pytest.mark.parametrize("mount", ["", "/ToDo"])
@pytest.mark.parametrize("name", DOCUMENTS)
def test_only_the_exact_path_is_a_document(site: Site, mount: str, name: str) -> None:
    for path in (
        f"/x/y{mount}/{name}",
        f"{mount}/x/y/{name}",
        *(f"{mount}/{name}{more}" for more in ("x", "/", "%0a")),
    ):
        for client in (site.apps, site.sole):
            assert client.get(path, dest="script").status == 404


@pytest.mark.parametrize("dest", ["document", "empty", None])
@pytest.mark.parametrize(("pin", "served"), [(pin, served) for pin, served, _ in CHOICES])
def test_inquiries_choose_like_navigation_and_never_set_the_pin(
    site: Site, pin: str | None, served: str, dest: str | None
) -> None:
    for client, path, key in (
        (site.apps, "/-/lockstep/activation", "activation"),
        (site.apps, "/-/lockstep/manifest/ToDo", "of"),
        (site.apps, "/-/lockstep/manifest/Shop.2?x", "of"),
        (site.sole, "/-/lockstep/manifest/-", "of"),
    ):
        answer = client.get(path, pin=pin, dest=dest)

        assert (answer.status, answer.json[key], answer.activation) == (200, served, served)
        assert (answer.headers["Content-Type"], answer.cache, answer.pin) == ("application/json", ["no-store"], None)


RESERVED = (
    "/-", "/-/", "/-/activation.json", "/-/ToDo/manifest.json", "/-/ToDo/", "/-/ToDo", "/-/-/manifest.json",
    "/-/lockstep", "/-/lockstep/", "/-/lockstep/manifest", "/-/lockstep/manifest/", "/-/lockstep/manifest/Nowhere",
    "/-/lockstep/manifest/-", "/-/lockstep/manifest/ToDo/", "/-/lockstep/manifest/ToDo/x", "/-/lockstep/activation/",
    "/-/lockstep/activation.json", "/-/LOCKSTEP/activation", "/-/lockstep/health/", "/-/document", "/-/token",
    "/-/hash/", "/-/hash/x.html", "/-/--", "/ToDo/../-/activation.json", "/%2d/activation.json", "//-/activation.json",
    "/-/activation.json%0a", "/-/lockstep/activation%0a",
)  # fmt: skip


@pytest.mark.parametrize("path", RESERVED)
def test_everything_else_below_the_reserved_segment_is_404(site: Site, path: str) -> None:
    query = hash_of(files_of(OLD)["index.html"])
    for dest in ("document", "script"):
        assert site.apps.get(path, dest=dest).status == 404
        assert site.apps.get(f"{path}?{query}", dest=dest).status == 404


def test_health_says_drained_while_the_mark_is_there_and_is_not_logged(site: Site) -> None:
    mark = site.tree.root / "state" / "drained"

    up = site.apps.get("/-/lockstep/health?quiet")
    mark.touch()
    drained = site.apps.get("/-/lockstep/health?quiet")
    mark.unlink()
    back = site.apps.get("/-/lockstep/health?quiet")

    assert [(a.status, a.body, a.cache) for a in (up, drained, back)] == [
        (200, b"ok", ["no-store"]),
        (503, b"drained", ["no-store"]),
        (200, b"ok", ["no-store"]),
    ]
    assert {(a.activation, a.pin) for a in (up, drained, back)} == {(None, None)}
    # One connection has one worker, which logs in order: once this is in the log, those would be.
    site.apps.get("/ToDo/app.js?logged")
    log = site.base / "nginx" / "access.log"
    await_condition(lambda: "?logged" in log.read_text())
    assert "?quiet" not in log.read_text()


def test_a_drained_frontend_still_serves_those_who_reach_it(site: Site) -> None:
    mark = site.tree.root / "state" / "drained"
    mark.touch()
    answer = site.apps.get("/ToDo/app.js")
    mark.unlink()

    assert answer.status == 200
