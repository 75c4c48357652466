"""A cache between clients and frontends that keeps all that it may does no harm, and does keep what has a hash."""

from __future__ import annotations

import asyncio
import gzip
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.domain.activation import Activation, ActivationName, Placement
from orchestrator.domain.described import Described
from orchestrator.domain.release import File, Hasher, Manifest
from orchestrator.ota.layouts import layout
from orchestrator.ota.observer import observe
from orchestrator.ota.tally import Count, Tally
from orchestrator.ota.target import Target
from tests.integration.caching_proxy import Behind, behind_a_cache
from tests.integration.crowd import Crowd
from tests.integration.cut_off import run_and_cut_off
from tests.integration.frontend_tree import FrontendTree, activation_of, hash_of, token_of
from tests.integration.http_client import Answer, Client
from tests.integration.test_flips import Browser, Device, files_of

FLIPS = 150
OLD, NOW, NEXT = (activation_of(epoch) for epoch in (3, 5, 7))
FOREVER = ["public, max-age=31536000, immutable"]
#: The recipe's word on plain paths, and what a careless one would say.
PLAIN = "map $lockstep_kind $lockstep_cache {\n    default no-cache;"
CARELESS = PLAIN.replace("no-cache", '"public, max-age=31536000, immutable"')


def careless(recipe: str) -> str:
    assert recipe.count(PLAIN) == 1
    return recipe.replace(PLAIN, CARELESS)


def status(answer: Answer) -> str:
    return str(answer.headers["X-Cache-Status"])


# --- one answer ---


@pytest.fixture(params=[False, True], ids=["plain", "gzip"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Behind, Client]]:
    with behind_a_cache(tmp_path, gzip=request.param) as behind, Client(behind.port) as client:
        for activation in (OLD, NOW):
            stage(behind, activation)
            for tree in behind.trees:
                tree.flip(activation)
        yield behind, client


def stage(behind: Behind, activation: str) -> None:
    for tree in behind.trees:
        tree.stage(activation, {"/ToDo/": files_of(activation), "/Store/": files_of(activation)}, {"/Store/": [OLD]})


def test_what_a_hash_or_a_token_names_is_kept_and_stays_right_when_the_frontends_move(
    site: tuple[Behind, Client],
) -> None:
    behind, client = site
    content = files_of(OLD)["app.js"]
    paths = f"/ToDo/app.js?{hash_of(content)}", f"/ToDo/moduleservices/moduleinfo?{token_of(OLD)}"

    first = [client.get(path) for path in paths]
    stage(behind, NEXT)
    for tree in behind.trees:
        tree.flip(NEXT)
    again = [client.get(path, pin=NEXT) for path in paths]

    assert [status(answer) for answer in first + again] == ["MISS", "MISS", "HIT", "HIT"]
    assert [answer.body for answer in again] == [answer.body for answer in first]
    assert first[0].body == content
    assert first[1].json["manifest"]["versionToken"] == token_of(OLD)
    assert all(answer.cache == FOREVER for answer in again)
    # A pin that was kept would be given to everybody.
    assert {answer.pin for answer in first + again} == {None}


@pytest.mark.parametrize(
    "path",
    [
        "/ToDo/", "/ToDo/Login", "/ToDo/index.html", "/ToDo/app.js", "/ToDo/app.js?v=1", "/ToDo", "/ToDo/gone.js",
        "/ToDo/moduleservices/moduleversioninfo", "/ToDo/moduleservices/moduleinfo", "/ToDo/precache.manifest",
        f"/ToDo/moduleservices/moduleinfo?{token_of('nobody')}", f"/ToDo/app.js?{hash_of(b'held nowhere')}",
        "/-/lockstep/activation", "/-/lockstep/health", "/-/lockstep/manifest/ToDo", "/-/x",
        "/Store/moduleservices/moduleversioninfo", f"/Store/moduleservices/moduleversioninfo?{token_of(OLD)}",
    ],
)  # fmt: skip
@pytest.mark.parametrize("dest", ["document", "script", None])
def test_nothing_else_is_kept(site: tuple[Behind, Client], path: str, dest: str | None) -> None:
    _, client = site

    assert [status(client.get(path, dest=dest)) for _ in range(3)] == ["MISS"] * 3


def test_a_hash_or_a_token_that_was_asked_for_too_early_is_found_once_it_is_there(site: tuple[Behind, Client]) -> None:
    behind, client = site
    content = files_of(NEXT)["app.js"]
    by_hash, by_token = f"/ToDo/app.js?{hash_of(content)}", f"/ToDo/moduleservices/moduleinfo?{token_of(NEXT)}"

    early = client.get(by_hash), client.get(by_token)
    stage(behind, NEXT)
    late = client.get(by_hash), client.get(by_token)

    assert (early[0].body, early[1].status) == (files_of(NOW)["app.js"], 404)
    assert late[0].body == content
    assert late[1].json["manifest"]["versionToken"] == token_of(NEXT)
    assert [status(answer) for answer in late] == ["MISS", "MISS"]


def test_each_encoding_is_kept_for_those_who_take_it(
    site: tuple[Behind, Client], request: pytest.FixtureRequest
) -> None:
    _, client = site
    content = files_of(NOW)["app.js"]
    path = f"/ToDo/app.js?{hash_of(content)}"

    for _ in range(2):
        packed = client.get(path, Accept_Encoding="gzip")
        plain = client.get(path)
        if "gzip" in request.node.callspec.id:
            assert (packed.headers["Content-Encoding"], gzip.decompress(packed.body)) == ("gzip", content)
        else:
            assert packed.body == content
        assert (plain.headers["Content-Encoding"], plain.body) == (None, content)
    assert status(client.get(path)) == status(client.get(path, Accept_Encoding="gzip")) == "HIT"


@pytest.mark.parametrize("first", ["HEAD", "Range", "GET"])
def test_head_and_ranges_by_hash_are_parts_of_the_same_bytes_whichever_came_first(
    site: tuple[Behind, Client], first: str
) -> None:
    _, client = site
    content = files_of(NOW)["app.js"]
    path = f"/ToDo/app.js?{hash_of(content)}"

    def ask(kind: str) -> Answer:
        if kind == "HEAD":
            return client.get(path, method="HEAD")
        return client.get(path, Range="bytes=5-24") if kind == "Range" else client.get(path)

    ask(first)
    head, part, whole = ask("HEAD"), ask("Range"), ask("GET")

    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(content)))
    assert (part.status, part.body) == (206, content[5:25])
    assert part.headers["Content-Range"] == f"bytes 5-24/{len(content)}"
    assert (whole.status, whole.body) == (200, content)
    assert {status(answer) for answer in (head, part, whole)} == {"HIT"}


def test_native_clients_and_browsers_of_a_store_only_app_share_no_answer(site: tuple[Behind, Client]) -> None:
    _, client = site
    path = "/Store/moduleservices/moduleversioninfo"
    for _ in range(2):
        assert client.get(path, OutSystems_client_env="native").json["versionToken"] == token_of(OLD)
        assert client.get(path).json["versionToken"] == token_of(NOW)


# --- many flips ---


def flip_apart(behind: Behind, crowd: Crowd, stages: Callable[[FrontendTree, str], None]) -> None:
    dice = random.Random(0)
    for epoch in range(2, FLIPS + 2):
        for tree in behind.trees:
            stages(tree, activation_of(epoch))
        first, second = dice.sample(behind.trees, 2)
        first.flip(activation_of(epoch))
        crowd.await_visits(dice.randint(1, 4))
        second.flip(activation_of(epoch))
        crowd.await_visits(dice.randint(1, 3))


def stage_app(tree: FrontendTree, activation: str) -> None:
    tree.stage(activation, {"/ToDo/": files_of(activation)})


def crowd_behind(behind: Behind) -> list[Browser]:
    for tree in behind.trees:
        stage_app(tree, activation_of(1))
        tree.flip(activation_of(1))
    browsers = [Browser() for _ in range(4)]
    visits = [browser.visit for browser in browsers] + [Device().visit for _ in range(2)]
    with Crowd(visits, [behind.port]) as crowd:
        flip_apart(behind, crowd, stage_app)
    return browsers


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_two_frontends_flip_apart_behind_a_cache_and_no_client_can_tell(tmp_path: Path, packed: bool) -> None:
    with behind_a_cache(tmp_path, gzip=packed) as behind:
        browsers = crowd_behind(behind)

        for browser in browsers:
            assert len(browser.seen) > 10, "too few flips met a page for this test to mean anything"
        assert behind.kept(lambda url: "moduleinfo?" in url)["HIT"] > 10
        assert behind.kept(lambda url: ".js?" in url)["HIT"] > 10
        assert behind.kept(lambda url: "?" not in url)["HIT"] == 0


def test_a_recipe_that_let_plain_paths_be_kept_would_be_found_out(tmp_path: Path) -> None:
    with (
        behind_a_cache(tmp_path, changed=careless) as behind,
        pytest.raises(AssertionError, match="torn page"),
    ):
        crowd_behind(behind)


# --- the observer ---


def released(epoch: int) -> tuple[Manifest, dict[str, bytes]]:
    """Files that change with each release, and some that only do so now and then."""
    files = {"index.html": b"<title>%d" % epoch, "a b.js": b"%d" % epoch, "rare.css": b"%d" % (epoch // 10)}
    contents = {path: (path, Hasher.of([content])) for path, content in files.items()}
    manifest = Manifest.of(File(path, made.size, made.sha256, made.ota) for path, made in contents.values())
    return manifest, {made.sha256: files[path] for path, made in contents.values()}


def hold(tree: FrontendTree, activation: str) -> None:
    """Stage what Lockstep itself would bring."""
    name = ActivationName.parse(activation)
    manifest, contents = released(name.epoch)
    placement = Placement("App", "/App/", "1", manifest.digest)
    made = layout(Activation.of(name, [placement]), {manifest.digest: Described(manifest)})
    tree.hold(made, contents)


async def observed(behind: Behind) -> Tally:
    stop = asyncio.Event()
    target = Target.of(f"http://127.0.0.1:{behind.port}", "App")
    watching = asyncio.create_task(observe(target, clients=6, stop=stop))
    loop, dice = asyncio.get_running_loop(), random.Random(1)
    kept = len(behind.log.read_text())
    for epoch in range(2, FLIPS + 2):
        activation = activation_of(epoch)
        for tree in behind.trees:
            await loop.run_in_executor(None, hold, tree, activation)
        for tree in dice.sample(behind.trees, 2):
            tree.flip(activation)
            # Requests are what time is counted in: some come between the flips, some after both.
            wanted = kept + dice.randint(100, 700)
            while (kept := behind.log.stat().st_size) < wanted and not watching.done():
                await asyncio.sleep(0.001)
    stop.set()
    return await watching


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_observers_behind_a_cache_see_nothing_torn_and_nothing_backward(tmp_path: Path, packed: bool) -> None:
    with behind_a_cache(tmp_path, gzip=packed) as behind:
        for tree in behind.trees:
            hold(tree, activation_of(1))
            tree.flip(activation_of(1))

        tally = run_and_cut_off(observed(behind))

        assert [tally.of(count) for count in Count] == [0, 0, 0], tally.document()
        assert tally.checks > 1_000
        assert len(tally.versions) > FLIPS / 4
        assert behind.kept(lambda url: "moduleinfo?" in url)["HIT"] > 10
        assert behind.kept(lambda url: "rare.css?" in url)["HIT"] > 10
