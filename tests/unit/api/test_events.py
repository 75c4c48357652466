"""What happens, as it happens: over a real socket, since a stream has no end."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from orchestrator.adapters.ledger.trail import SqlTrail
from orchestrator.api.app import make_app
from orchestrator.api.v1.feed import Feed
from orchestrator.domain.trail import Action
from tests.unit.api.server import serving
from tests.unit.api.service import Here

Event = dict[str, Any]


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


@pytest.fixture
def app(here: Here) -> FastAPI:
    return make_app(here)


@pytest.fixture
def url(app: FastAPI) -> Iterator[str]:
    with serving(app) as base:
        yield f"{base}/api/v1/events"


@contextmanager
def stream(url: str, headers: dict[str, str]) -> Iterator[Iterator[Event]]:
    """Its events; the first is the place where it begins."""
    with httpx.stream("GET", url, headers=headers, timeout=20) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer)


def _events(answer: httpx.Response) -> Iterator[Event]:
    event: Event = {}
    for line in answer.iter_lines():
        key, _, value = line.partition(": ")
        if line and key:
            event[key] = json.loads(value) if key == "data" else value
        elif event:
            yield event
            event = {}


def happens(here: Here, *names: str, fleet: str = "Production/web", deployment: int | None = None) -> list[int]:
    return [here.trail.add(Action(name, "tests", fleet, deployment, {"of": name})).number for name in names]


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_happens_from_now_on_is_told_in_order(here: Here, url: str) -> None:
    headers = here.headers(("viewer", "Production"))
    happens(here, "deployment.planned")
    with stream(url, headers) as events:
        assert next(events)["id"] == "2"
        happens(here, "deployment.staging", "deployment.verifying", deployment=7)
        first, second = next(events), next(events)
    assert (first["id"], first["event"]) == ("3", "deployment.staging")
    assert (second["id"], second["event"]) == ("4", "deployment.verifying")
    assert first["data"]["fleet"] == "Production/web"
    assert (first["data"]["deployment"], first["data"]["detail"]) == (7, {"of": "deployment.staging"})


def test_who_comes_back_misses_nothing(here: Here, url: str) -> None:
    headers = here.headers(("viewer", "Production"))
    with stream(url, headers) as events:
        seen = [int(next(events)["id"])]
    # More than a page of the ledger.
    happens(here, *["deployment.stuck"] * 520)
    for resume in ({"Last-Event-ID": str(seen[0])}, {}):
        query = "" if resume else f"?after={seen[0]}"
        with stream(url + query, {**headers, **resume}) as events:
            next(events)
            numbers = [int(next(events)["id"]) for _ in range(520)]
        assert numbers == list(range(seen[0] + 1, seen[0] + 521))
    for header in ("-1", "x", "99999999999999999999"):
        assert httpx.get(url, headers={**headers, "Last-Event-ID": header}).status_code == 422


def test_who_is_further_behind_than_what_is_kept_reads_the_ledger(here: Here) -> None:
    happens(here, *["deployment.stuck"] * 3)

    async def read() -> list[int]:
        feed = Feed(lambda: here.trail)
        async with feed.joined():
            begins = await feed.newest()
            (added,) = happens(here, "deployment.planned")
            while not await feed.after(begins, 1):
                pass
            # Once this comes back, the one reader has it as well.
            assert not await feed.after(added, 1)
            return [entry.number for entry in await feed.after(0, 1)]

    assert asyncio.run(read()) == [1, 2, 3, 4]


def test_nobody_is_told_what_they_may_not_read(here: Here, url: str) -> None:
    tester, chief = here.headers(("viewer", "Test")), here.headers(("admin", "*"))
    happens(here, "deployment.planned")
    happens(here, "deployment.planned", fleet="Test/web", deployment=9)
    here.trail.add(Action("build.recorded", "tests", detail={"environment": "Production"}))
    here.trail.add(Action("build.recorded", "tests", detail={"environment": "Test"}))
    here.trail.add(Action("release.added", "tests", detail={"app": "ToDo"}))
    happens(here, "deployment.done", fleet="Test/web")
    with stream(f"{url}?after=0", tester) as events:
        next(events)
        heard = [next(events) for _ in range(4)]
    assert [(each["id"], each["event"]) for each in heard] == [
        ("4", "deployment.planned"),
        ("6", "build.recorded"),
        ("7", "release.added"),
        ("8", "deployment.done"),
    ]
    with stream(f"{url}?after=0", chief) as events:
        next(events)
        assert [next(events)["id"] for _ in range(8)] == [str(number) for number in range(1, 9)]
    with stream(f"{url}?after=0&fleet=Test/web&deployment=9", chief) as events:
        next(events)
        assert next(events)["id"] == "4"
    assert httpx.get(f"{url}?fleet=Production/web", headers=tester).status_code == 403


def test_a_revoked_token_ends_its_stream(here: Here, url: str) -> None:
    token, text = here.access.issue("ci", here.access.authenticate(here.token(("viewer", "Test"))).grants, None, "x")
    with stream(url, {"Authorization": f"Bearer {text}"}) as events:
        next(events)
        here.access.revoke(token.public, "tests")
        began = time.monotonic()
        assert list(events) == []
    assert time.monotonic() - began < 10


def test_a_client_that_goes_makes_room_and_the_last_one_ends_the_reading(here: Here, app: FastAPI, url: str) -> None:
    feed: Feed = app.state.feed
    headers = here.headers(("viewer", "*"))
    with stream(url, headers) as one, stream(url, headers) as two:
        next(one), next(two)
        assert feed.streams == 2
        assert feed.reads
    wait_until(lambda: feed.streams == 0)
    assert not feed.reads


def test_there_is_a_most(here: Here, app: FastAPI, url: str) -> None:
    app.state.feed = Feed(lambda: here.trail, most=1)
    headers = here.headers(("viewer", "*"))
    with stream(url, headers) as events:
        next(events)
        refused = httpx.get(url, headers=headers)
    assert (refused.status_code, refused.json()["type"]) == (503, "urn:lockstep:problem:busy")
    assert refused.headers["retry-after"] == "5"


class Counted(SqlTrail):
    """A trail that counts how often it is read."""

    def __init__(self, here: Here) -> None:
        super().__init__(here._engine, here.clock)
        self.reads = 0

    def entries(self, *words: Any, **more: Any) -> Any:
        self.reads += 1
        return super().entries(*words, **more)


def test_the_trail_is_read_once_for_all(here: Here, app: FastAPI, url: str) -> None:
    trail = Counted(here)
    app.state.feed = Feed(lambda: trail)
    headers = here.headers(("viewer", "*"))
    with stream(url, headers) as one, stream(url, headers) as two, stream(url, headers) as three:
        streams = (one, two, three)
        for each in streams:
            next(each)
        # From the first entry on, all of them are nearly up to date.
        happens(here, "deployment.planned")
        for each in streams:
            next(each)
        before, began = trail.reads, time.monotonic()
        for _ in range(6):
            number = happens(here, "deployment.stuck")[0]
            assert {int(next(each)["id"]) for each in streams} == {number}
        # What the one reader may have read in that time, and once more for each entry that it found.
        assert trail.reads - before <= (time.monotonic() - began) / 0.2 + 8
