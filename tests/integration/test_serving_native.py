"""Store-only apps: who is native stays on the version that it has, everybody else moves on. Against a real nginx."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from deploy.nginx.recipe import render
from tests.integration.frontend_tree import FrontendTree, activation_of, hash_of, token_of
from tests.integration.http_client import Answer, Client, raw
from tests.integration.nginx import free_ports, nginx

#: FIRST brought the builds that are in the field; they are of no activation that lies here.
FIRST, SECOND, OLD, NOW, NEXT = (activation_of(epoch) for epoch in (1, 2, 3, 5, 7))
BUILD, OTHER_BUILD = token_of(FIRST), token_of(SECOND)
#: A token of nobody's: a build that is retired, perhaps.
STRANGER = token_of("nobody's")
NATIVE = {"OutSystems_client_env": "native"}
BROWSER = {"OutSystems_client_env": "browser"}
VERSION, INFO, PRECACHE = "moduleservices/moduleversioninfo", "moduleservices/moduleinfo", "precache.manifest"
#: Which builds are in the field of each app; of an app that is not there none is store-only.
FIELD = {"/One/": [FIRST], "/Two/": [FIRST, SECOND], "/None/": []}
MOUNTS = (*FIELD, "/Hybrid/")


def files_of(activation: str) -> dict[str, bytes]:
    return {path: f"{activation} {path}\n".encode() for path in ("index.html", "app.js")}


@dataclass(frozen=True)
class Site:
    """One frontend with four apps, and one with a store-only app at /."""

    apps: Client
    sole: Client
    port: int


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """OLD is hybrid throughout; NOW and NEXT are store-only, and NEXT, which lies ahead, knows only the other build."""
    base = tmp_path_factory.mktemp("native")
    apps, sole = FrontendTree(base / "apps"), FrontendTree(base / "sole")
    for activation, field in ((OLD, {}), (NOW, FIELD), (NEXT, {"/One/": [SECOND]})):
        apps.stage(activation, dict.fromkeys(MOUNTS, files_of(activation)), field)
        sole.stage(activation, {"/": files_of(activation)}, {"/": field["/One/"]} if field else {})
    for tree in (apps, sole):
        tree.flip(OLD)
        tree.flip(NOW)
    ports = free_ports(2)
    pairs = zip((apps, sole), ports, strict=True)
    http = "".join(render(root=str(tree.root), listen=[f"127.0.0.1:{port}"]) for tree, port in pairs)
    with nginx(base / "nginx", http, ports), Client(ports[0]) as one, Client(ports[1]) as other:
        yield Site(one, other, ports[0])


def told(answer: Answer) -> str:
    """The token in a document, whichever it is."""
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.cache == ["no-store"]
    found = answer.json
    return str(found.get("manifest", found)["versionToken"])


def both(site: Site) -> list[tuple[Client, str]]:
    """The app with one build, by itself and beside others."""
    return [(site.apps, "/One/"), (site.sole, "/")]


@pytest.mark.parametrize("query", ["", "?1732478022123", "?cached"])
@pytest.mark.parametrize("document", [VERSION, INFO, PRECACHE])
def test_a_native_client_gets_the_documents_of_the_one_build_and_a_browser_those_of_the_release(
    site: Site, document: str, query: str
) -> None:
    for client, mount in both(site):
        native = client.get(mount + document + query, **NATIVE)
        assert (told(native), native.activation, native.pin) == (BUILD, NOW, NOW)
        for headers in ({}, BROWSER):
            browser = client.get(mount + document + query, **headers)
            assert (told(browser), browser.activation, browser.pin) == (token_of(NOW), NOW, NOW)
            assert browser.headers.get_all("Vary") == native.headers.get_all("Vary") == ["OutSystems-client-env"]


@pytest.mark.parametrize("mount", ["/Two/", "/None/"])
@pytest.mark.parametrize("document", [VERSION, INFO, PRECACHE])
def test_where_nobody_knows_which_version_a_native_client_has_it_is_told_nothing(
    site: Site, mount: str, document: str
) -> None:
    answer = site.apps.get(mount + document, **NATIVE)

    assert (answer.status, answer.cache, answer.activation, answer.pin) == (404, ["no-store"], NOW, None)
    assert answer.headers["Vary"] == "OutSystems-client-env"
    assert told(site.apps.get(mount + document)) == token_of(NOW)


@pytest.mark.parametrize("mount", FIELD)
@pytest.mark.parametrize("token", [BUILD, OTHER_BUILD, STRANGER, token_of(OLD), "gUSAs+s6ttp50Ug5Pu5N1A"])
def test_a_native_client_that_names_its_version_is_told_that_one_and_never_another(
    site: Site, mount: str, token: str
) -> None:
    answer = site.apps.get(f"{mount}{VERSION}?{token}", **NATIVE)

    assert told(answer) == token
    assert (answer.activation, answer.pin) == (NOW, NOW)
    assert answer.body == json.dumps({"versionToken": token}, separators=(",", ":")).encode()


@pytest.mark.parametrize("headers", [{}, BROWSER, {"Sec_Fetch_Dest": "empty"}])
def test_who_names_a_build_in_the_field_is_native_without_a_word(site: Site, headers: dict[str, str]) -> None:
    assert told(site.apps.get(f"/Two/{VERSION}?{BUILD}", **headers)) == BUILD
    assert told(site.apps.get(f"/Two/{VERSION}?{OTHER_BUILD}", **headers)) == OTHER_BUILD
    assert told(site.sole.get(f"/{VERSION}?{BUILD}", **headers)) == BUILD
    # It is a build of another app, or of nobody: whoever asks may be a browser.
    assert told(site.apps.get(f"/One/{VERSION}?{OTHER_BUILD}", **headers)) == token_of(NOW)
    assert told(site.apps.get(f"/One/{VERSION}?{STRANGER}", **headers)) == token_of(NOW)


@pytest.mark.parametrize("headers", [{}, NATIVE])
def test_the_moduleinfo_of_a_token_is_found_whoever_asks(site: Site, headers: dict[str, str]) -> None:
    for token in (BUILD, OTHER_BUILD, token_of(OLD), token_of(NOW)):
        answer = site.apps.get(f"/One/{INFO}?{token}", **headers)
        assert answer.json["manifest"]["versionToken"] == token
        assert answer.cache == ["public, max-age=31536000, immutable"]
        assert (answer.activation, answer.headers["Vary"]) == (None, None)
    assert site.apps.get(f"/One/{INFO}?{STRANGER}", **headers).status == 404


@pytest.mark.parametrize("query", ["", f"?{BUILD}", f"?{STRANGER}", "?1732478022123"])
@pytest.mark.parametrize("document", [VERSION, PRECACHE])
def test_in_a_hybrid_app_nothing_depends_on_who_asks(site: Site, document: str, query: str) -> None:
    plain = site.apps.get(f"/Hybrid/{document}{query}")
    for headers in (NATIVE, BROWSER):
        answer = site.apps.get(f"/Hybrid/{document}{query}", **headers)
        assert told(answer) == told(plain) == token_of(NOW)
        assert answer.headers.items()[1:] == plain.headers.items()[1:]
        assert answer.headers["Vary"] is None


@pytest.mark.parametrize(
    ("pin", "served", "native", "knows"),
    [(None, NOW, BUILD, BUILD), (OLD, NOW, BUILD, BUILD), (NEXT, NEXT, OTHER_BUILD, OTHER_BUILD)],
)
def test_the_activation_that_answers_decides_and_a_pin_may_lie_ahead(
    site: Site, pin: str | None, served: str, native: str, knows: str
) -> None:
    for client, mount in both(site):
        for document in (VERSION, INFO, PRECACHE):
            answer = client.get(mount + document, pin=pin, **NATIVE)
            assert (told(answer), answer.activation) == (native, served)
        for token in (BUILD, OTHER_BUILD):
            answer = client.get(f"{mount}{VERSION}?{token}", pin=pin)
            assert (told(answer), answer.activation) == (token if token == knows else token_of(served), served)


def test_the_same_app_is_hybrid_again_where_the_activation_says_so(site: Site) -> None:
    # /Two/ is store-only in NOW and hybrid in NEXT.
    answer = site.apps.get(f"/Two/{VERSION}?{BUILD}", pin=NEXT, **NATIVE)

    assert (told(answer), answer.activation, answer.headers["Vary"]) == (token_of(NEXT), NEXT, None)


@pytest.mark.parametrize("path", ["index.html", "app.js", ""])
def test_files_are_the_activations_and_those_of_a_hash(site: Site, path: str) -> None:
    name = path or "index.html"
    answer = site.apps.get(f"/One/{path}", **NATIVE)
    assert (answer.body, answer.activation, answer.headers["Vary"]) == (files_of(NOW)[name], NOW, None)
    if path:
        content = files_of(OLD)[path]
        assert site.apps.get(f"/One/{path}?{hash_of(content)}", **NATIVE).body == content


def test_the_answer_to_a_named_version_is_whole_for_head_and_for_a_range(site: Site) -> None:
    path = f"/One/{VERSION}?{BUILD}"
    get, head, part = (
        site.apps.get(path, **NATIVE),
        site.apps.get(path, method="HEAD", **NATIVE),
        site.apps.get(path, Range="bytes=0-3", **NATIVE),
    )

    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(get.body)))
    assert told(part) == BUILD
    assert site.apps.get(path, method="POST", **NATIVE).status == 405


WORDS = ("", "Native", "NATIVE", "natives", "anative", "native,browser", "native native", "native;q=1", "nat\tive",
         '"native"', "nativ\u00e9", "browser", "../native", "$lockstep_env", "native\x0b", "n" * 4_000)  # fmt: skip


@pytest.mark.parametrize("word", WORDS, ids=lambda w: ascii(w[:20]))
def test_only_the_exact_word_makes_a_client_native(site: Site, word: str) -> None:
    answer = raw(site.port, f"/One/{VERSION}".encode(), b"OutSystems-client-env: " + word.encode())

    assert f'"versionToken": "{token_of(NOW)}"'.encode() in answer


@pytest.mark.parametrize("order", [("native", "browser"), ("browser", "native"), ("native", "native")])
def test_of_two_headers_one_version_is_told_and_it_is_no_third_one(site: Site, order: tuple[str, str]) -> None:
    """nginx up to 1.22 takes the first header, later ones both as one; no such answer may name another version."""
    lines = [f"OutSystems-client-env: {word}".encode() for word in order]

    answer = raw(site.port, f"/One/{VERSION}".encode(), *lines)

    tokens = {token for token in (BUILD, OTHER_BUILD, token_of(NOW), token_of(NEXT)) if token.encode() in answer}
    assert tokens in ({BUILD}, {token_of(NOW)})
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "query",
    [
        BUILD[:-1], BUILD + "A", f"?{BUILD}", f"{BUILD}&", f"{BUILD}%0a", f"{BUILD}%00", f"v={BUILD}", f"/{BUILD}",
        f"..%2fbuilds%2f{BUILD}", '"}' + "A" * 20, "%22" * 7 + "A", "../native/store-only00", f"{BUILD}.json",
        "../native/././precache", "." * 22, "/" * 22, "\\" * 22, "$lockstep_current00000",
        BUILD[:11] + "-" + BUILD[12:], BUILD[:-1] + "%",
    ],
)  # fmt: skip
def test_a_query_of_another_form_names_no_version(site: Site, query: str) -> None:
    path = f"{VERSION}?{query}"

    assert told(site.apps.get(f"/One/{path}")) == token_of(NOW)
    assert told(site.apps.get(f"/One/{path}", **NATIVE)) == BUILD
    assert site.apps.get(f"/Two/{path}", **NATIVE).status == 404


@pytest.mark.parametrize(
    "path",
    [
        "/-/One/native/moduleversioninfo.json", "/-/One/native/store-only", "/-/One/native/", f"/-/One/builds/{BUILD}",
        f"/-/One/builds/{BUILD}.json", "/-/told", f"/-/told?{BUILD}", "/-/document",
    ],
)  # fmt: skip
def test_what_lies_there_for_native_clients_has_no_path_of_its_own(site: Site, path: str) -> None:
    for headers in ({}, NATIVE):
        assert site.apps.get(path, dest="document", **headers).status == 404


def test_an_app_that_is_not_there_has_nothing_to_tell(site: Site) -> None:
    for query in ("", f"?{BUILD}"):
        assert site.apps.get(f"/Nowhere/{VERSION}{query}", **NATIVE).status == 404
