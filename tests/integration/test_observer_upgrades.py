"""Devices of both behaviours against an app on a real nginx: they upgrade, and show what a broken one does to them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.ota.attempt import PARALLEL, RETRIES
from orchestrator.ota.behaviour import Behaviour
from orchestrator.ota.client import MORE, SESSION
from orchestrator.ota.observer import observe
from orchestrator.ota.tally import Kind, Tally
from orchestrator.ota.target import Target
from orchestrator.ota.upgrades import Ending
from tests.integration.cut_off import run_and_cut_off
from tests.integration.observed_site import Site, activation, observed_site
from tests.integration.observing import BOUND, only, run

FILES = {"index.html": b"<html>one</html>", **{f"js/{n}.js": f"one {n}".encode() for n in range(40)}}
OTHER = {**FILES, "index.html": b"<html>two</html>", **{f"js/{n}.js": f"two {n}".encode() for n in range(30)}}
BROKEN = "js/7.js"
LOCKSTEP, STOCK = Behaviour.LOCKSTEP, Behaviour.STOCK


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with observed_site(tmp_path) as running:
        running.stage(1, FILES)
        running.activate(activation(1))
        yield running


class Flip:
    """Activates an epoch once both clients hold the one before; then says how upgrades ended."""

    def __init__(self, site: Site, epoch: int) -> None:
        self._site = site
        self._epoch = epoch
        self._flipped = False

    def done(self, tally: Tally) -> bool:
        if not self._flipped and tally.checks >= 100:
            self._site.activate(activation(self._epoch))
            self._flipped = True
        return self._flipped


def ended(tally: Tally, behaviour: Behaviour) -> dict[str, int]:
    return {ending: number for ending, number in tally.upgrades.document(behaviour).items() if number}


def requested(tmp_path: Path, pattern: str) -> int:
    return len(re.findall(pattern, (tmp_path / "nginx" / "access.log").read_text()))


def test_every_device_upgrades_at_a_flip_and_again_at_a_rollback(site: Site) -> None:
    site.stage(2, OTHER)
    site.stage(3, FILES)
    flips = [Flip(site, 2), Flip(site, 3)]

    def until(tally: Tally) -> bool:
        completed = tally.upgrades.of(Ending.COMPLETED)
        return flips[0].done(tally) and completed >= 2 and flips[1].done(tally) and completed == 4

    tally = run(site.url, until, behaviours=(LOCKSTEP, STOCK))
    assert tally.good, tally.document()
    assert ended(tally, LOCKSTEP) == ended(tally, STOCK) == {"completed": 2}
    assert tally.document()["upgrades"] == {"completed": 4, "failed": 0, "missed": 0}
    assert tally.document()["behaviours"] == {
        behaviour: {"clients": 1, "completed": 2, "failed": 0, "missed": 0} for behaviour in ("lockstep", "stock")
    }


def test_a_large_app_is_not_fetched_to_begin_with(site: Site, tmp_path: Path) -> None:
    site.stage(2, {**FILES, **{f"img/{n}.png": f"{n}".encode() for n in range(400)}})
    site.activate(activation(2))
    run_and_cut_off(observe(Target.of(site.url, "App"), clients=1, duration=0.5))
    rounds = requested(tmp_path, "moduleversioninfo")
    assert rounds > 0
    assert requested(tmp_path, r"GET /App/\S+\?[\w+]{22} ") <= 64 + MORE * (rounds + 1)


def test_a_mixed_farm_is_missed_by_stock_and_refused_by_lockstep(site: Site) -> None:
    """Version checks are answered by a new frontend, the manifest by an old one that looks at no token."""
    first = json.loads(site.version(1).read_text())["versionToken"]
    second = site.stage(2, OTHER)
    by_token = site.root / "by-hash"
    (by_token / second).write_bytes((by_token / first).read_bytes())
    flip = Flip(site, 2)
    expected = {LOCKSTEP: Ending.FAILED, STOCK: Ending.MISSED}

    def until(tally: Tally) -> bool:
        return flip.done(tally) and all(tally.upgrades.of(ending, who) >= 3 for who, ending in expected.items())

    tally = run(site.url, until, behaviours=(LOCKSTEP, STOCK))
    assert {who: list(ended(tally, who)) for who in Behaviour} == {who: [ending] for who, ending in expected.items()}
    assert only(tally, Kind.OTHER_MANIFEST), tally.document()
    assert tally.kinds[Kind.OTHER_MANIFEST] >= 6


def test_a_corrupted_file_fails_upgrades_and_what_came_before_it_is_not_fetched_again(
    site: Site, tmp_path: Path
) -> None:
    second = site.stage(2, OTHER)
    place = site.by_hash(OTHER[BROKEN])
    place.write_bytes(b"other")
    flip = Flip(site, 2)
    tally = run(
        site.url,
        lambda tally: flip.done(tally) and tally.upgrades.of(Ending.FAILED, LOCKSTEP) >= 12,
        behaviours=(LOCKSTEP,),
    )
    assert only(tally, Kind.OTHER_BYTES), tally.document()
    assert list(ended(tally, LOCKSTEP)) == ["failed"]
    failed = tally.upgrades.of(Ending.FAILED)
    assert tally.kinds[Kind.OTHER_BYTES] >= failed * (RETRIES + 1)
    # Of the files that only the new release has, each client fetched each one once, and met some more in its samples.
    new = [path for path in OTHER if OTHER[path] != FILES[path] and path != BROKEN]
    hashes = {site.by_hash(OTHER[path]).name for path in new}
    log = (tmp_path / "nginx" / "access.log").read_text()
    fetched = sum(asked in hashes for asked in re.findall(r"GET /App/\S+\?([\w+]{22}) ", log))
    rounds = requested(tmp_path, rf"moduleinfo\?{re.escape(second)} ")
    assert fetched <= 2 * len(new) + MORE * (rounds + 2)


def test_a_file_that_is_mended_lets_the_next_try_through(site: Site) -> None:
    site.stage(2, OTHER)
    place = site.by_hash(OTHER[BROKEN])
    site.put(place, b"other")
    flip = Flip(site, 2)

    def until(tally: Tally) -> bool:
        if flip.done(tally) and all(tally.upgrades.of(Ending.FAILED, behaviour) for behaviour in Behaviour):
            site.put(place, OTHER[BROKEN])
        return tally.upgrades.of(Ending.COMPLETED) == 2

    tally = run(site.url, until, behaviours=(LOCKSTEP, STOCK))
    assert only(tally, Kind.OTHER_BYTES), tally.document()
    assert ended(tally, LOCKSTEP)["completed"] == ended(tally, STOCK)["completed"] == 1


def test_stock_gives_up_until_the_app_is_started_again(site: Site, tmp_path: Path) -> None:
    site.stage(2, OTHER)
    site.put(site.by_hash(OTHER[BROKEN]), b"other")
    flip = Flip(site, 2)
    tally = run(site.url, lambda tally: flip.done(tally) and tally.upgrades.of(Ending.FAILED) >= 8, behaviours=(STOCK,))
    assert list(ended(tally, STOCK)) == ["failed"]
    # Of two clients, each has failed once; and after each failure but the last a session has gone by.
    assert requested(tmp_path, "moduleversioninfo") >= (8 - 2) * SESSION


def test_a_file_of_the_right_md5_and_another_sha256_is_refused_by_lockstep_alone(site: Site) -> None:
    site.stage(2, OTHER)
    document = json.loads(site.precache(2).read_text().removeprefix("text "))
    document["integrity"][f"/App/{BROKEN}"] = document["integrity"]["/App/index.html"]
    site.precache(2).write_text(json.dumps(document))
    flip = Flip(site, 2)
    tally = run(
        site.url,
        lambda tally: (
            flip.done(tally)
            and tally.upgrades.of(Ending.FAILED, LOCKSTEP) >= 1
            and tally.upgrades.of(Ending.COMPLETED, STOCK) == 1
        ),
        behaviours=(LOCKSTEP, STOCK),
    )
    assert only(tally, Kind.OTHER_BYTES), tally.document()
    assert {sample.fault.expected[:7] for sample in tally.samples} == {"sha256-"}
    assert (list(ended(tally, LOCKSTEP)), ended(tally, STOCK)) == (["failed"], {"completed": 1})


def test_files_are_fetched_five_at_once_and_then_one_connection_is_left(site: Site) -> None:
    """A server in between holds the answers for files of the new release until five of them are asked for."""
    site.stage(2, OTHER)
    new = {site.by_hash(content).name for path, content in OTHER.items() if content != FILES[path]}
    flip = Flip(site, 2)
    between = Between(site.port, new)

    async def observed() -> Tally:
        stop = asyncio.Event()

        def look(tally: Tally) -> None:
            if flip.done(tally) and tally.upgrades.of(Ending.COMPLETED) and between.open == 1:
                stop.set()

        async with await asyncio.start_server(between.relay, "127.0.0.1", 0) as server:
            target = Target.of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "App")
            return await observe(target, clients=1, duration=BOUND, stop=stop, on_progress=look, progress_seconds=0.01)

    tally = run_and_cut_off(observed())
    assert tally.good, tally.document()
    assert (ended(tally, LOCKSTEP), between.most) == ({"completed": 1}, PARALLEL)
    assert tally.seconds < BOUND, "more than one connection was left"


class Between:
    """A server in between. `open` are the connections that there are, `most` the most that there were."""

    def __init__(self, port: int, held: set[str]) -> None:
        self._port = port
        self._held = held
        self._asked = 0
        self._enough = asyncio.Event()
        self.open = 0
        self.most = 0

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most = max(self.most, self.open)
        upstream, towards = await asyncio.open_connection("127.0.0.1", self._port)
        back = asyncio.create_task(self._copy(upstream, writer))
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await self._hold(head)
                towards.write(head)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            self.open -= 1
            back.cancel()
            towards.close()
            writer.close()

    async def _hold(self, head: bytes) -> None:
        asked = re.search(rb"\?([\w+]{22}) HTTP", head)
        if asked is not None and asked[1].decode() in self._held:
            self._asked += 1
            if self._asked >= PARALLEL:
                self._enough.set()
            await self._enough.wait()

    async def _copy(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await upstream.read(65_536):
            writer.write(data)
