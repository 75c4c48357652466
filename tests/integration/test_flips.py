"""Real renames under a real nginx while clients ask: no answer of two activations, no client set back, no torn page."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.nginx.recipe import render
from tests.integration.crowd import Crowd
from tests.integration.frontend_tree import FrontendTree, activation_of, hash_of, token_of
from tests.integration.http_client import Answer, Client
from tests.integration.nginx import free_ports, nginx

CLIENTS = 6
PARTS = ("app.js", "css/app.css", "img/logo.png")


def content(activation: str, path: str) -> bytes:
    return f"{activation} {path}\n".encode() * 20


def files_of(activation: str) -> dict[str, bytes]:
    return {path: content(activation, path) for path in ("index.html", *PARTS)}


def epoch_of(activation: str | None) -> int:
    assert activation is not None
    return int(activation.partition("-")[0])


def configuration(trees: Sequence[FrontendTree], ports: Sequence[int]) -> str:
    pairs = zip(trees, ports, strict=True)
    return "".join(render(root=str(tree.root), listen=[f"127.0.0.1:{port}"]) for tree, port in pairs)


def assert_whole(path: str, answer: Answer) -> None:
    """The body is, byte for byte, what the activation that the header names holds at that path."""
    activation = answer.activation
    assert answer.status == 200, (path, answer.status)
    assert activation is not None
    if path.endswith(("moduleversioninfo", "precache.manifest")):
        assert answer.json["versionToken"] == token_of(activation)
    elif path.endswith("moduleinfo"):
        assert answer.json["manifest"]["versionToken"] == token_of(activation)
    elif path == "/-/lockstep/activation":
        assert answer.json["activation"] == activation
    elif path.endswith(PARTS):
        assert answer.body == content(activation, path.removeprefix("/ToDo/"))
    else:
        assert answer.body == content(activation, "index.html")


NAVIGATIONS = (
    "/ToDo/",
    "/ToDo/index.html",
    "/ToDo/Login",
    "/ToDo/moduleservices/moduleversioninfo",
    "/ToDo/moduleservices/moduleinfo",
    "/ToDo/precache.manifest",
    "/-/lockstep/activation",
)


@dataclass
class Progress:
    """The epochs that the one frontend has reached: each is set after it has been."""

    staged: int = 1
    flipped: int = 1


def test_a_thousand_flips_of_one_frontend(tmp_path: Path) -> None:
    tree, progress = FrontendTree(tmp_path / "frontend"), Progress()

    def stage(epoch: int) -> None:
        tree.stage(activation_of(epoch), {"/ToDo/": files_of(activation_of(epoch))})

    def newcomer(dice: random.Random, clients: Sequence[Client]) -> None:
        path, flipped = dice.choice(NAVIGATIONS), progress.flipped
        answer = clients[0].get(path, dest="document")
        assert_whole(path, answer)
        assert epoch_of(answer.activation) >= flipped

    def forerunner(dice: random.Random, clients: Sequence[Client]) -> None:
        path, staged = dice.choice(NAVIGATIONS), progress.staged
        answer = clients[0].get(path, pin=activation_of(staged), dest="document")
        assert_whole(path, answer)
        assert epoch_of(answer.activation) >= staged

    def latecomer(dice: random.Random, clients: Sequence[Client]) -> None:
        path, pin = dice.choice(PARTS), activation_of(dice.randint(1, progress.staged))
        answer = clients[0].get(f"/ToDo/{path}", pin=pin, dest="script")
        assert_whole(f"/ToDo/{path}", answer)
        assert (answer.activation, answer.pin) == (pin, None)

    stage(1)
    tree.flip(activation_of(1))
    ports = free_ports(1)
    visits = [newcomer, forerunner, latecomer] * (CLIENTS // 3)
    with nginx(tmp_path / "nginx", configuration([tree], ports), ports), Crowd(visits, ports) as crowd:
        for epoch in range(2, 1_002):
            stage(epoch)
            progress.staged = epoch
            if epoch % 4 == 0:
                crowd.await_visits(1)
            tree.flip(activation_of(epoch))
            progress.flipped = epoch
            crowd.await_visits(1)


class Browser:
    """Keeps its cookie, asks any frontend, and loads a page with its parts."""

    def __init__(self) -> None:
        self.pin: str | None = None
        self.seen: set[str] = set()

    def navigate(self, client: Client, path: str) -> str:
        answer = client.get(path, pin=self.pin, dest="document")
        assert_whole(path, answer)
        assert answer.activation is not None
        if self.pin is not None:
            assert epoch_of(answer.activation) >= epoch_of(self.pin), "set back"
        self.pin = answer.pin or self.pin
        assert self.pin == answer.activation
        self.seen.add(self.pin)
        return answer.activation

    def visit(self, dice: random.Random, clients: Sequence[Client]) -> None:
        page = self.navigate(dice.choice(clients), dice.choice(["/ToDo/", "/ToDo/index.html", "/ToDo/Login"]))
        for part in PARTS:
            answer = dice.choice(clients).get(f"/ToDo/{part}", pin=self.pin, dest="script")
            assert_whole(f"/ToDo/{part}", answer)
            assert (answer.activation, answer.pin) == (page, None), "torn page"


class Device:
    """Asks for the version, then for what it names by token and by hash, each at any frontend. Keeps no cookie."""

    def visit(self, dice: random.Random, clients: Sequence[Client]) -> None:
        version = dice.choice(clients).get("/ToDo/moduleservices/moduleversioninfo")
        assert_whole("/ToDo/moduleservices/moduleversioninfo", version)
        token = version.json["versionToken"]
        found = dice.choice(clients).get(f"/ToDo/moduleservices/moduleinfo?{token}")
        assert (found.status, found.json["manifest"]["versionToken"]) == (200, token)
        for path, wanted in files_of(str(version.activation)).items():
            answer = dice.choice(clients).get(f"/ToDo/{path}?{hash_of(wanted)}")
            assert (answer.status, answer.body) == (200, wanted)


def test_two_frontends_flip_apart_and_no_client_can_tell(tmp_path: Path) -> None:
    trees, dice = [FrontendTree(tmp_path / name) for name in ("one", "two")], random.Random(0)

    def stage(epoch: int) -> None:
        for tree in trees:
            tree.stage(activation_of(epoch), {"/ToDo/": files_of(activation_of(epoch))})

    stage(1)
    for tree in trees:
        tree.flip(activation_of(1))
    ports = free_ports(2)
    browsers, last = [Browser() for _ in range(CLIENTS - 2)], 301
    visits = [browser.visit for browser in browsers] + [Device().visit for _ in range(2)]
    with nginx(tmp_path / "nginx", configuration(trees, ports), ports):
        with Crowd(visits, ports) as crowd:
            for epoch in range(2, last + 1):
                stage(epoch)
                first, second = dice.sample(trees, 2)
                first.flip(activation_of(epoch))
                crowd.await_visits(dice.randint(0, 3))
                second.flip(activation_of(epoch))
                crowd.await_visits(dice.randint(0, 2))
        for browser in browsers:
            assert len(browser.seen) > 10, "too few flips met a page for this test to mean anything"
            for port in ports:
                with Client(port) as client:
                    assert browser.navigate(client, "/ToDo/") == activation_of(last)
