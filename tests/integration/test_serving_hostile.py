"""What clients may send to get what is not theirs, and names of files that are hard to serve. Against a real nginx."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import pytest

from deploy.nginx.recipe import render
from tests.integration.frontend_tree import EMPTY, FrontendTree, activation_of, hash_of
from tests.integration.http_client import Client, raw
from tests.integration.nginx import free_ports, nginx

OLD, NOW, HIDDEN = (activation_of(epoch) for epoch in (3, 5, 7))
SECRET = b"nobody outside may read this"
NAMES = (
    "a b.js", "a+b.js", "100%.js", "50%20.js", "what?.js", "a?b=c&d.js", "a#b.js", "it's.js", 'say "hi".js',
    "semi;colon.js", "grüße.js", "名前.js", "emoji🎈.js", "~tilde.js", "$uri.js", "${uri}.js", "$1.js", "a@b.js",
    "a:b.js", "[x].js", "{x}.js", "a|b.js", "a^b`.js", "<b>.js", "a,b=c.js", "..js", "...js", ".hidden.js", "a..b.js",
    "-.js", "%2e%2e.js", "%2f.js", "sp ace/$act/gr+ü%3F?/x.js", "x.js.gz.js", "e\u0301.js", "l" * 240 + ".js",
)  # fmt: skip


def content(activation: str, path: str) -> bytes:
    return f"{activation} {path}\n".encode()


HASH = hash_of(content(OLD, "app.js"))


@dataclass(frozen=True)
class Site:
    """One frontend; HIDDEN is staged there, but nobody was told its nonce."""

    tree: FrontendTree
    port: int
    client: Client


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    base = tmp_path_factory.mktemp("hostile")
    tree = FrontendTree(base / "frontend")
    for activation in (OLD, NOW, HIDDEN):
        files = {path: content(activation, path) for path in ("index.html", "app.js", *NAMES)}
        tree.stage(activation, {"/ToDo/": files})
    tree.flip(OLD)
    tree.flip(NOW)
    for folder in (base, tree.root, tree.root / "state", tree.root / "by-hash", tree.root / "activations"):
        (folder / "secret").write_bytes(SECRET)
    for name in (HASH[:-1], HASH + "A", HASH + "="):
        (tree.root / "by-hash" / name).write_bytes(SECRET)
    (port,) = free_ports(1)
    recipe = render(root=str(tree.root), listen=[f"127.0.0.1:{port}"])
    with nginx(base / "nginx", recipe, [port]), Client(port) as client:
        yield Site(tree, port, client)


TRAVERSALS = (
    b"/../secret", b"/../../secret", b"/ToDo/../../secret", b"/ToDo/../../../state/secret", b"/..%2fsecret",
    b"/%2e%2e/secret", b"/%2e%2e%2fsecret", b"/.%2e/%2e./secret", b"/ToDo/%2e%2e/%2e%2e/%2e%2e/state/secret",
    b"/ToDo%2f..%2f..%2fsecret", b"/ToDo/..;/secret", b"/ToDo\\..\\..\\secret", b"/ToDo/..%5c..%5csecret",
    b"/%252e%252e/secret", b"/..%252fsecret", b"/%c0%ae%c0%ae/secret", b"/%uff0e%uff0e/secret", b"/....//secret",
    b"//../secret", b"/./../secret", b"/ToDo//..//..//secret", b"/ToDo/%00/../../secret", b"/secret%00.js",
    b"/ToDo/app.js%00secret", b"/ToDo/%0a/../../../secret", b"/secret", b"/state/secret", b"/activations/secret",
    b"/by-hash/secret", b"/-/hash/secret", b"/-/hash/../secret", b"/-/../../secret", b"http://h/../secret",
    b"http://h/..%2fsecret", b"/-/lockstep/manifest/..", b"/-/lockstep/manifest/..%2f..",
    b"/-/lockstep/manifest/../../../secret", b"/../moduleservices/moduleversioninfo",
    b"/..%2f..%2fstate/precache.manifest", b"/%2e%2e/precache.manifest", b"/ToDo?../../secret", b"/ToDo/?../../secret",
    b"/ToDo/moduleservices/moduleinfo?../secret", b"/ToDo/app.js?secret", b"/ToDo/app.js?../by-hash/secret000000",
    b"/ToDo/app.js?..%2fsecret", b"/" + b"../" * 500 + b"secret", b"/" + b"ToDo/../" * 900 + b"../secret",
    b"/" + b"a/" * 3_000, b"/" + b"x" * 5_000, b"/ToDo/" + b"." * 5_000 + b"/", b"/ToDo/app.js?" + b"A" * 5_000, b"*",
    b"", b"ToDo/app.js",
)  # fmt: skip


@pytest.mark.parametrize("target", TRAVERSALS, ids=lambda t: t[:60].decode(errors="replace"))
@pytest.mark.parametrize("header", [b"X: y", b"Sec-Fetch-Dest: document", b"Cookie: lockstep=" + OLD.encode()])
def test_no_target_reaches_outside_the_activation(site: Site, target: bytes, header: bytes) -> None:
    answer = raw(site.port, target, header)

    assert SECRET not in answer
    assert HIDDEN.encode() not in answer
    assert int(answer.split(b" ", 2)[1]) in (200, 301, 400, 404)


PINS = (
    "", " ", "none", "secret", "-", OLD[:-1], OLD + "0", OLD.upper(), "0" + OLD, "+" + OLD, " " + OLD[1:],
    OLD.replace("-", ""), OLD.replace("-", "_"), EMPTY, f"{OLD}/", f"./{OLD}", f"../activations/{OLD}",
    f"{OLD}/../{HIDDEN}", f"..%2f{HIDDEN}", f"{OLD}\\n", f"{OLD}%0a", f"{OLD}%00", f"{OLD}\t", f"'{OLD}'", f'"{OLD}"',
    f"{OLD},{HIDDEN}", "${uri}", "$lockstep_current", "3-*", "*", "3-" + "?" * 16, "99999999999-" + "0" * 16,
    "7-" + "0" * 16, "٣-" + "0" * 16, "7-" + "f" * 4_000, "../" * 1_000,
)  # fmt: skip


@pytest.mark.parametrize("pin", PINS, ids=lambda p: ascii(p[:40]))
def test_a_pin_of_another_form_is_no_pin(site: Site, pin: str) -> None:
    cookie = b"Cookie: lockstep=" + pin.encode()
    for header, sets in ((b"Sec-Fetch-Dest: document", True), (b"Sec-Fetch-Dest: script", False)):
        answer = raw(site.port, b"/ToDo/app.js", cookie, header)

        head, _, body = answer.partition(b"\r\n\r\n")
        assert body == content(NOW, "app.js")
        assert f"\r\nLockstep-Activation: {NOW}".encode() in head
        assert (f"\r\nSet-Cookie: lockstep={NOW};".encode() in head) is sets


@pytest.mark.parametrize("ending", [b"\r", b"\x00", b"\x0b", b"\xc2\x85"])
def test_a_pin_with_a_control_character_behind_it_is_no_pin(site: Site, ending: bytes) -> None:
    cookie = b"Cookie: lockstep=" + OLD.encode() + ending + b"x"

    answer = raw(site.port, b"/ToDo/app.js", cookie, b"Sec-Fetch-Dest: script")

    assert answer.endswith(content(NOW, "app.js")) or answer.startswith(b"HTTP/1.1 400 ")


def test_a_line_end_in_a_cookie_ends_the_header(site: Site) -> None:
    cookie = b"Cookie: lockstep=" + OLD.encode() + b"\nlockstep=" + HIDDEN.encode()

    answer = raw(site.port, b"/ToDo/app.js", cookie, b"Sec-Fetch-Dest: script")

    assert answer.endswith(content(OLD, "app.js")) or answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "cookies",
    [
        [f"lockstep={OLD}; lockstep={HIDDEN[:-1]}"],
        [f"a={HIDDEN}; lockstep={OLD}"],
        [f"xlockstep={HIDDEN}; lockstep={OLD}"],
        ["theme=dark", f"lockstep={OLD}"],
        [f"lockstep={OLD}; theme=lockstep={HIDDEN}"],
    ],
)
def test_the_pin_is_found_among_other_cookies(site: Site, cookies: list[str]) -> None:
    answer = raw(site.port, b"/ToDo/app.js", b"Sec-Fetch-Dest: script", *(f"Cookie: {c}".encode() for c in cookies))

    assert answer.endswith(content(OLD, "app.js"))


@pytest.mark.parametrize(
    "query",
    [
        HASH[:-1], HASH + "A", f"?{HASH}", f"{HASH}?", f"{HASH}&", f"{HASH}=", f"v={HASH}", f"{HASH}%0a", f"{HASH}%00",
        f"./{HASH}", f"/{HASH}", f"{HASH}/", f"..%2fby-hash%2f{HASH}", "." * 22, "/" * 22, "*" * 22, "%41" * 7 + "A",
        "-" * 22, HASH[:11] + "/" + HASH[12:], "../../by-hash/" + HASH[:8], "$lockstep_current00000",
    ],
)  # fmt: skip
def test_a_query_of_another_form_is_no_hash(site: Site, query: str) -> None:
    answer = site.client.get(f"/ToDo/app.js?{query}", dest="script")

    assert (answer.status, answer.body) == (200, content(NOW, "app.js"))
    assert (answer.activation, answer.cache) == (NOW, ["no-cache"])


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_is_served_byte_for_byte_by_path_and_by_hash(site: Site, name: str) -> None:
    by_path = site.client.get(f"/ToDo/{quote(name)}", pin=OLD, dest="script")
    by_hash = site.client.get(f"/ToDo/{quote(name)}?{hash_of(content(NOW, name))}", pin=OLD, dest="script")

    assert (by_path.status, by_path.body, by_path.activation) == (200, content(OLD, name), OLD)
    assert (by_hash.status, by_hash.body, by_hash.activation) == (200, content(NOW, name), None)
    assert by_path.headers["Content-Type"] == by_hash.headers["Content-Type"] == "text/javascript"


@pytest.mark.parametrize("accept", ["text/html" * 400, "\x0btext/html", "text/html\x00"])
@pytest.mark.parametrize("header", ["Accept", "Sec-Fetch-Dest"])
def test_no_header_but_its_exact_value_makes_navigation(site: Site, header: str, accept: str) -> None:
    answer = raw(site.port, b"/ToDo/app.js", f"{header}: {accept}".encode())

    assert b"Set-Cookie" not in answer


def test_without_current_nothing_is_served_but_what_a_hash_names(site: Site) -> None:
    current = site.tree.root / "current"
    target = current.readlink()
    current.unlink()
    try:
        for path in ("/ToDo/app.js", f"/{NOW}/ToDo/app.js", "/-/lockstep/activation", "/-/lockstep/health"):
            answer = site.client.get(path)
            assert (answer.status, answer.activation, answer.pin) == (503, None, None)
        current.symlink_to("activations/secret")
        assert site.client.get("/").status == 503
        for elsewhere in ("activations", f"activations/{NOW}/ToDo", f"activations/{NOW}/-"):
            current.unlink()
            current.symlink_to(elsewhere)
            assert site.client.get(f"/{NOW}/ToDo/app.js").status == 503
            assert site.client.get("/ToDo/app.js").status == 503
        assert site.client.get(f"/ToDo/app.js?{HASH}").status == 200
    finally:
        current.unlink(missing_ok=True)
        current.symlink_to(target)
