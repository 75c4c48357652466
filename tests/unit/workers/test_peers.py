"""Who gets a pack from whom: once from the worker, then from each other, and never from one that failed."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from inventory.model import Frontend
from orchestrator.domain.activation import ActivationName
from workers.distribution.packs import Form
from workers.distribution.peers import FETCHING, Peers, pack_name

PACK = "0123456789abcdef0123456789abcdef.tar"
PATIENCE = 30.0


def frontend(number: int) -> Frontend:
    return Frontend.model_construct(
        name=f"fe{number}", url=f"http://127.0.0.{number}:8080"
    )  # only its name counts here


def test_of_many_at_once_one_gets_it_from_the_worker_and_the_others_from_each_other() -> None:
    peers, brought, served = Peers(PATIENCE), Counter[str](), Counter[str]()
    fetching, most = Counter[str](), Counter[str]()
    lock = threading.Lock()
    together = threading.Barrier(16)

    def stage(number: int) -> None:
        together.wait(PATIENCE)
        way = peers.way(1, PACK, 64)
        name = way.source.name if way.source else "worker"
        with lock:
            brought["kept"] += way.keeps
            served[name] += 1
            fetching[name] += 1
            most[name] = max(most[name], fetching[name])
        with lock:
            fetching[name] -= 1
        peers.got(way, frontend(number))

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(stage, range(64)))
    assert served["worker"] == 1
    assert served.total() == 64
    assert brought["kept"] == 64 // 8
    assert max(most.values()) <= FETCHING


def test_where_the_first_fails_the_worker_sends_it_to_the_next() -> None:
    peers = Peers(PATIENCE)
    way = peers.way(1, PACK, 4)
    assert (way.source, way.keeps) == (None, True)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(peers.way, 1, PACK, 4)
        peers.failed(way, frontend(1), theirs=False)
        assert waiting.result(PATIENCE).source is None


def test_nobody_fetches_from_one_that_failed_twice_and_it_is_no_source_again() -> None:
    peers = Peers(PATIENCE)
    bad, good = frontend(1), frontend(2)
    peers.got(peers.way(1, PACK, 4), bad)
    for number in (3, 3, 4):
        way = peers.way(1, PACK, 4)
        assert way.source == bad
        peers.failed(way, frontend(number), theirs=True)
    again = peers.way(1, PACK, 4)
    assert (again.source, again.keeps) == (None, True)
    peers.got(again, good)
    late = peers.way(1, PACK, 4)
    assert late.source == good
    peers.got(replace(late, keeps=True), bad)
    assert {peers.way(1, PACK, 4).source for _ in range(FETCHING - 1)} == {good}


def test_a_frontend_that_could_not_fetch_for_its_own_reasons_leaves_the_source_as_it_was() -> None:
    peers = Peers(PATIENCE)
    source = frontend(1)
    peers.got(peers.way(1, PACK, 4), source)
    for number in (2, 3, 4):
        peers.failed(peers.way(1, PACK, 4), frontend(number), theirs=False)
    assert peers.way(1, PACK, 4).source == source


def test_who_fetches_no_more_gets_it_from_the_worker_at_once() -> None:
    peers = Peers(PATIENCE)
    peers.got(peers.way(1, PACK, 4), frontend(1))
    assert peers.way(1, PACK, 4, fetches=False).source is None


def test_who_waits_too_long_gets_it_from_the_worker() -> None:
    peers = Peers(patience=0.0)
    assert peers.way(1, PACK, 4).source is None
    assert peers.way(1, PACK, 4).source is None


def test_another_deployment_and_one_that_was_forgotten_begin_anew() -> None:
    peers = Peers(PATIENCE)
    peers.got(peers.way(1, PACK, 4), frontend(1))
    assert peers.way(2, PACK, 4).source is None
    peers.forget(1)
    assert peers.way(1, PACK, 4).source is None


def test_who_waits_when_it_is_forgotten_waits_no_longer_and_what_ends_after_it_does_no_harm() -> None:
    peers = Peers(PATIENCE)
    first = peers.way(1, PACK, 4)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(peers.way, 1, PACK, 4)
        while not waiting.running():
            pass
        peers.forget(1)
        second = waiting.result(PATIENCE)
    assert second.source is None
    peers.got(first, frontend(1))
    peers.failed(second, frontend(2), theirs=True)
    anew = peers.way(1, PACK, 4)
    assert (anew.source, anew.keeps) == (None, True)


@pytest.mark.parametrize("form", Form)
def test_a_name_is_the_same_for_all_workers_and_another_for_each_activation(form: Form) -> None:
    objects = ["a" * 64, "b" * 64]
    name = pack_name(ActivationName(7, "0123456789abcdef"), objects, form)
    assert name == pack_name(ActivationName(7, "0123456789abcdef"), objects[::-1], form)
    assert name.endswith(f".{form}")
    assert len(name.partition(".")[0]) == 32
    assert name != pack_name(ActivationName(7, "0123456789abcdee"), objects, form)
    assert name != pack_name(ActivationName(7, "0123456789abcdef"), objects[:1], form)
