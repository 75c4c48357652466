"""The recipe inside a site whose own settings, for all its servers, would break its promises. Against a real nginx."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from deploy.nginx.recipe import render
from tests.integration.frontend_tree import FrontendTree, activation_of, hash_of, token_of
from tests.integration.http_client import Answer, Client
from tests.integration.nginx import free_ports, nginx

OLD, NOW, NEXT, LATER = (activation_of(epoch) for epoch in (3, 5, 7, 8))
TEXT = "a line that packs well\n" * 200

HABITS = """
    open_file_cache max=1000;
    open_file_cache_valid 1h;
    open_file_cache_errors on;
    disable_symlinks on;
    etag off;
    if_modified_since before;
    expires 30d;
    autoindex on;
    index start.html;
    absolute_redirect on;
    merge_slashes off;
    error_page 404 = @backend;
    error_page 405 503 /sorry.html;
    add_header Cache-Control "public, max-age=99";
    add_header Lockstep-Activation site;
    gzip on;
    gzip_types *;
    gzip_min_length 1;
    gzip_http_version 1.1;
    gzip_proxied any;
    server {{ listen 127.0.0.1:{port} default_server; server_name _; return 418; }}
"""


def files_of(activation: str) -> dict[str, bytes]:
    return {path: f"{activation} {TEXT}".encode() for path in ("index.html", "app.js", "media/x.js")}


NAME = "apps.example.org"


@dataclass(frozen=True)
class Site:
    """A frontend's tree, and a connection to the address that the recipe shares with the site's own server."""

    tree: FrontendTree
    client: Client

    def get(self, path: str, pin: str | None = None, dest: str | None = None, **headers: str) -> Answer:
        return self.client.get(path, pin=pin, dest=dest, Host=NAME, **headers)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    tree = FrontendTree(tmp_path / "frontend")
    for activation in (OLD, NOW):
        tree.stage(activation, {"/ToDo/": files_of(activation)})
        tree.flip(activation)
    (port,) = free_ports(1)
    recipe = render(root=str(tree.root), listen=[f"127.0.0.1:{port}"], server_name=NAME)
    with nginx(tmp_path / "nginx", HABITS.format(port=port) + recipe, [port]), Client(port) as client:
        yield Site(tree, client)


def test_the_sites_own_server_stays_as_it_was(site: Site) -> None:
    assert site.client.get("/ToDo/app.js", Host="other.example.org").status == 418


def test_what_a_frontend_gets_is_seen_at_once(site: Site) -> None:
    script = f"/ToDo/app.js?{hash_of(files_of(NEXT)['app.js'])}"
    document = f"/ToDo/moduleservices/moduleinfo?{token_of(NEXT)}"
    assert site.get("/ToDo/", pin=NEXT, dest="document").activation == NOW
    assert site.get("/ToDo/app.js", pin=NEXT, dest="script").activation == NOW
    assert (site.get(script).activation, site.get(document).status) == (NOW, 404)

    site.tree.stage(NEXT, {"/ToDo/": files_of(NEXT)})

    assert site.get("/ToDo/", pin=NEXT, dest="document").activation == NEXT
    assert site.get("/ToDo/app.js", pin=NEXT, dest="script").activation == NEXT
    assert site.get(script).body == files_of(NEXT)["app.js"]
    assert site.get(document).json["manifest"]["versionToken"] == token_of(NEXT)


def test_what_a_frontend_loses_is_gone_at_once(site: Site) -> None:
    mark = site.tree.root / "state" / "drained"
    for activation in (NEXT, LATER):
        site.tree.stage(activation, {"/ToDo/": files_of(activation)})
    mark.touch()
    assert site.get("/ToDo/", pin=NEXT, dest="document").activation == NEXT
    assert site.get("/-/lockstep/health").status == 503

    site.tree.flip(LATER)
    (site.tree.root / "ahead" / NEXT).unlink()
    mark.unlink()

    assert site.get("/ToDo/", pin=NEXT, dest="document").activation == LATER
    assert site.get("/-/lockstep/health").status == 200


def test_each_answer_has_the_recipes_headers_and_none_of_the_sites(site: Site) -> None:
    answer = site.get("/ToDo/app.js", pin=OLD, dest="script")

    assert (answer.status, answer.cache, answer.headers["Expires"]) == (200, ["no-cache"], None)
    assert answer.headers.get_all("Lockstep-Activation") == [OLD]
    assert answer.headers["ETag"] is not None


def test_an_older_time_does_not_mean_older_content(site: Site) -> None:
    # Times are made from content: a client's copy of another release may well be "newer".
    answer = site.get("/ToDo/app.js", If_Modified_Since="Thu, 01 Jan 2037 00:00:00 GMT")

    assert (answer.status, answer.body) == (200, files_of(NOW)["app.js"])
    assert site.get("/ToDo/app.js", If_Modified_Since=answer.headers["Last-Modified"]).status == 304


def test_errors_stay_what_they_are(site: Site) -> None:
    for path in ("/ToDo/gone.js", "/ToDo/media/", "/-/x", f"/ToDo/moduleservices/moduleinfo?{token_of('nobody')}"):
        assert site.get(path, dest="script").status == 404
    assert site.client.get("/ToDo/", method="POST", Host=NAME).status == 405


def test_redirects_do_not_name_a_host(site: Site) -> None:
    assert site.get("/ToDo/media").headers["Location"] == "/ToDo/media/"


@pytest.mark.parametrize("path", ["//-/activation.json", "///-/ToDo/manifest.json", "//ToDo/app.js", "//ToDo"])
def test_slashes_that_the_site_leaves_unmerged_lead_nowhere(site: Site, path: str) -> None:
    assert site.get(path, dest="document").status == 404


FRONT = """
    server {{
        listen 127.0.0.1:{front};
        location /ToDo/ {{
            proxy_pass http://127.0.0.1:{port};
            proxy_set_header Host $host;
            add_header Strict-Transport-Security "max-age=31536000" always;
        }}
        location /ToDo/screenservices/ {{ return 201; }}
    }}
"""


def test_behind_the_sites_own_server_every_rule_holds(tmp_path: Path) -> None:
    name, tree = "a b+ü%2f?.js", FrontendTree(tmp_path / "frontend")
    for activation in (OLD, NOW):
        tree.stage(activation, {"/ToDo/": {**files_of(activation), name: activation.encode()}})
        tree.flip(activation)
    front, port = free_ports(2)
    recipe = render(root=str(tree.root), listen=[f"127.0.0.1:{port}"], server_name=NAME)
    with (
        nginx(tmp_path / "nginx", FRONT.format(front=front, port=port) + recipe, [front, port]),
        Client(front) as client,
    ):
        page = client.get("/ToDo/Login", pin=OLD, dest="document", Host=NAME)
        part = client.get(f"/ToDo/{quote(name)}", pin=OLD, dest="script", Host=NAME)
        by_hash = client.get(f"/ToDo/{quote(name)}?{hash_of(NOW.encode())}", pin=OLD, dest="script", Host=NAME)

        assert (page.activation, page.pin, page.cache) == (NOW, NOW, ["private, no-cache"])
        assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert (part.body, part.activation, part.pin) == (OLD.encode(), OLD, None)
        assert by_hash.body == NOW.encode()
        assert client.get("/ToDo/media", Host=NAME).headers["Location"] == "/ToDo/media/"
        assert client.get("/ToDo/screenservices/x", method="POST", Host=NAME).status == 201


@pytest.mark.parametrize("by_hash", [False, True])
def test_packed_answers_are_the_same_bytes_and_can_be_asked_for_again(site: Site, by_hash: bool) -> None:
    plain = files_of(NOW)["app.js"]
    path = f"/ToDo/app.js?{hash_of(plain)}" if by_hash else "/ToDo/app.js"

    packed = site.get(path, Accept_Encoding="gzip")
    again = site.get(path, Accept_Encoding="gzip", If_None_Match=packed.headers["ETag"])
    unpacked = site.get(path)

    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain == unpacked.body
    assert packed.headers["ETag"] == f"W/{unpacked.headers['ETag']}"
    assert packed.headers["Vary"] == unpacked.headers["Vary"] == "Accept-Encoding"
    assert again.status == 304
