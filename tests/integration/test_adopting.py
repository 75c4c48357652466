"""A fleet that another tool deployed comes under Lockstep: what it shows, what it refuses, and what clients see."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from deploy.lab import Lab
from deploy.lab.blueprint import Frontend
from deploy.nginx.recipe import render
from orchestrator.adapters.inventory import select_fleet
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.adoption.site import Where
from orchestrator.domain.errors import RefusedError
from orchestrator.services.releases import ReleaseName
from orchestrator.settings import Settings
from tests.integration.nginx import free_ports
from tests.integration.operator import PATIENCE, Operator, Said, fetch, tree, wait_until

FILES = {**tree("adopted", files=8, size=5_000), "images/logo.svg": b"<svg/>"}
CHANGED = "scripts/part 1+ü.js"
#: Between two requests of a client, in seconds.
PAUSE = 0.02
ADOPT = ("adopt", "web", "--app", "ToDo", "--from", "~/site/current")
#: The old site as somebody wrote it by hand; it answers the load balancer's check as well.
OLD = """
server {{
    listen {listen};
    location = /-/lockstep/health {{ return 200; }}
    location /ToDo/ {{ alias {site}/current/; }}
}}
"""


@dataclass
class Sites:
    """nginx of each frontend: the recipe at a port of its own; clients get the old site until it is switched."""

    port: int
    switched: set[str] = field(default_factory=set)

    def __call__(self, *, root: str, listen: Sequence[str], server_name: str = "_") -> str:
        (public,) = listen
        own, frontend = f"{public.split(':')[0]}:{self.port}", Path(root).parent
        if frontend.name in self.switched:
            return render(root=root, listen=[own, public], server_name=server_name)
        old = OLD.format(listen=public, site=site(frontend))
        return render(root=root, listen=[own], server_name=server_name) + old


def site(frontend: Path) -> Path:
    """Below the home of the account: the frontends of a lab have one disk between them."""
    return frontend / "sshd" / "home" / "site"


def write(top: Path, path: str, content: bytes) -> None:
    (top / path).parent.mkdir(parents=True, exist_ok=True)
    (top / path).write_bytes(content)


def as_capistrano(top: Path, release: str) -> None:
    """A release behind `current`; the images are shared between releases by a link."""
    (top / "shared").mkdir(parents=True)
    for path, content in FILES.items():
        shared = path.startswith("images/")
        write(top / "shared" if shared else top / "releases" / release, path, content)
    (top / "releases" / release / "images").symlink_to("../../shared/images")
    write(top / "releases" / release, ".git/HEAD", release.encode())
    write(top / "releases" / release, "moduleservices/moduleversioninfo", b'{"versionToken":"old"}')
    (top / "current").symlink_to(top / "releases" / release)


def as_plain_root(top: Path) -> None:
    for path, content in {**FILES, CHANGED: b"another one"}.items():
        write(top / "current", path, content)


@pytest.fixture(scope="module")
def sites() -> Sites:
    return Sites(free_ports(1)[0])


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory, sites: Sites) -> Iterator[Operator]:
    directory = tmp_path_factory.mktemp("adopting")
    with Lab.up(directory / "lab", 3, recipe=sites) as lab:
        as_capistrano(site(lab.frontend("fe1").directory), "20260101")
        as_capistrano(site(lab.frontend("fe2").directory), "20260102")
        as_plain_root(site(lab.frontend("fe3").directory))
        made = Operator(directory, lab)
        with made.inventory() as fleet:
            for frontend in lab.frontends:
                fleet["frontends"][frontend.name]["url"] = f"http://{frontend.address}:{sites.port}"
        with made.standalone():
            yield made


@dataclass
class Seen:
    """What clients behind the load balancer got: how many answers, and each that was not right."""

    answers: int = 0
    wrong: list[object] = field(default_factory=list)


@contextmanager
def clients(url: str, number: int = 2) -> Iterator[Seen]:
    """They ask for every file, again and again, until the context ends; not so fast that nothing else gets done."""
    seen, over = Seen(), threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE) as client:
            while not over.is_set():
                for path, content in FILES.items():
                    over.wait(PAUSE)
                    try:
                        answer = client.get(f"/ToDo/{quote(path)}")
                    except httpx.HTTPError as error:
                        seen.wrong.append((path, repr(error)))
                        continue
                    seen.answers += 1
                    if (answer.status_code, answer.content) != (200, content):
                        seen.wrong.append((path, answer.status_code, len(answer.content)))

    threads = [threading.Thread(target=ask) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join(PATIENCE)


def refused(said: Said, what: str) -> None:
    assert said.code == 1, (said.output, said.messages)
    assert what in said.messages


def served_by_lockstep(frontend: Frontend) -> bool:
    return "Lockstep-Activation: 1-" in fetch(f"{frontend.url}/ToDo/index.html")


def switch(operator: Operator, sites: Sites, names: Sequence[str]) -> None:
    """Out of rotation, to the new way, and in again: nginx closes idle connections when it is reloaded."""
    for name in names:
        assert operator.types("drain", "web", name).code == 0
        sites.switched.add(name)
        operator.lab.serve_elsewhere(name, operator.lab.frontend(name).root)
        assert served_by_lockstep(operator.lab.frontend(name))
    assert operator.types("readmit", "web", *names).code == 0


def wait_for_more(seen: Seen) -> None:
    """Until clients have had some more answers from every frontend."""
    before = seen.answers
    wait_until(lambda: seen.answers > before + 4 * len(FILES))


def test_it_shows_who_holds_what_and_takes_nothing_that_is_not_the_same_everywhere(operator: Operator) -> None:
    said = operator.types(*ADOPT, "--json")
    assert said.code == 1, (said.output, said.messages)
    found = said.document
    assert [group["frontends"] for group in found["groups"]] == [["fe1", "fe2"], ["fe3"]]
    assert (found["different"], [each["path"] for each in found["differences"]]) == (1, [CHANGED])
    assert [each["by"] for each in found["differences"][0]["held"]] == [["fe1", "fe2"], ["fe3"]]
    first = found["frontends"]["fe1"]
    assert (first["files"], first["size"]) == (len(FILES), sum(map(len, FILES.values())))
    assert first["directory"].endswith("/site/releases/20260101")
    assert list(first["followed"]) == ["images"]
    assert first["odd"] == {}
    refused(operator.types(*ADOPT, "--take", "fe1", "--version", "1.0.0"), "the frontends do not all hold the same")


def test_a_link_that_leads_out_is_followed_by_nobody_and_so_nothing_is_taken(operator: Operator) -> None:
    outside = operator.directory / "outside"
    write(outside, "secret.txt", b"secret")
    link = site(operator.lab.frontend("fe1").directory) / "current" / "leak"
    link.symlink_to(outside)
    try:
        take = operator.types(*ADOPT, "--take", "fe1", "--version", "1.0.0", "--accept-different")
        refused(take, "1 of the site's entries can't be part of a release")
        assert f"leak: a link that leads out of the site, to {outside}" in take.messages
    finally:
        link.unlink()


def test_a_site_that_changed_since_it_was_looked_at_is_not_taken(operator: Operator) -> None:
    lockstep = Lockstep(Settings.read(operator.environment))
    fleet = select_fleet(lockstep.inventory(), "web")
    survey = lockstep.adopting.look(fleet, Where(path="~/site/current"), PATIENCE, lambda _: None, None)
    shared = site(operator.lab.frontend("fe1").directory) / "shared"
    write(shared, "images/logo.svg", b"<svg id='1'/>")
    try:
        with pytest.raises(RefusedError, match="changed since it was looked at"):
            lockstep.adopting.take(fleet, survey, "fe1", ReleaseName("ToDo", "1.0.0"), "ann", PATIENCE)
    finally:
        write(shared, "images/logo.svg", FILES["images/logo.svg"])
    assert lockstep.ledger.releases("ToDo") == []


def test_from_the_old_way_to_the_new_one_no_client_sees_a_failure_or_another_byte(
    operator: Operator, sites: Sites
) -> None:
    write(site(operator.lab.frontend("fe3").directory), f"current/{CHANGED}", FILES[CHANGED])
    with clients(operator.lab.url) as seen:
        said = operator.types(*ADOPT, "--take", "fe1", "--version", "1.0.0", "--deploy", "--json")
        assert said.code == 0, (said.output, said.messages)
        assert said.document["state"] == "done"
        # Each frontend was proven at its own port; clients are still served the old way, and the same bytes.
        assert not any(served_by_lockstep(frontend) for frontend in operator.lab.frontends)
        against = operator.reads(*ADOPT, "--version", "1.0.0")
        assert [group["frontends"] for group in against["groups"]] == [["fe1", "fe2", "fe3", "ToDo 1.0.0"]]
        for names in (["fe1"], ["fe2", "fe3"]):
            switch(operator, sites, names)
            # Clients meet the old and the new way side by side for a while.
            wait_for_more(seen)
    assert seen.wrong == []
    assert {name.split("-")[0] for name in operator.served().values()} == {"1"}
