"""Devices that upgrade: what they ask, what they try again, what they hold when it went wrong. Both behaviours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.ota.answers import Answer, NoAnswer
from orchestrator.ota.attempt import PARALLEL
from orchestrator.ota.behaviour import Behaviour
from orchestrator.ota.client import MORE, PARTS, SESSION
from orchestrator.ota.tally import Fault, Kind, Tally
from orchestrator.ota.target import Ask, Want
from tests.unit.ota.served import ENTRY, Frontend, Release, fleet, go_round, go_steps, name, new_client, token

LOCKSTEP, STOCK = Behaviour.LOCKSTEP, Behaviour.STOCK
BOTH = pytest.mark.parametrize("behaviour", list(Behaviour))
Reply = Answer | NoAnswer
Replace = Callable[[Ask], Reply | None]


def release(number: int, files: int = 12, changed: int = 0) -> Release:
    """The same for the same number; `changed` of its files have bytes of their own."""
    made = {f"/A/{n:03}.js": f"{n} {number if n < changed else 0}".encode() for n in range(files)}
    return {ENTRY: b"entry", **made}


class Scene:
    """A client on epoch 1, before one frontend whose answers can be replaced."""

    def __init__(self, behaviour: Behaviour, first: Release) -> None:
        self.tally = Tally()
        self.frontend = Frontend({name(1): first}, name(1))
        self.client = new_client(self.tally, Random(1), behaviour)
        self.behaviour = behaviour
        self.replace: Replace = lambda _: None
        self.go()

    def answer(self, ask: Ask) -> Reply:
        return self.replace(ask) or self.frontend.serve(ask, None, names_missing=True)

    def deploy(self, epoch: int, new: Release) -> None:
        self.frontend.held[name(epoch)] = new
        self.frontend.current = name(epoch)

    def go(self) -> list[Ask]:
        return go_round(self.client, self.answer)[0]

    def fetched(self) -> list[str]:
        """A round; the paths that it asked for by hash, but for the sample at its end."""
        paths = [ask.url.partition("?")[0] for ask in self.go() if ask.want is Want.BY_HASH]
        return paths[: -min(MORE, len(self.frontend.held[self.frontend.current]))]

    def held(self) -> str:
        manifest = self.client.device.held
        assert manifest is not None
        return manifest.token

    def upgrades(self) -> tuple[int, int, int]:
        completed, failed, missed = self.tally.upgrades.document(self.behaviour).values()
        assert self.tally.upgrades.document() == self.tally.upgrades.document(self.behaviour)
        return completed, failed, missed


@BOTH
def test_the_first_version_is_adopted_and_counts_as_no_upgrade(behaviour: Behaviour) -> None:
    first = release(1)
    scene = Scene(behaviour, first)
    assert (scene.held(), scene.upgrades()) == (token(first), (0, 0, 0))


@BOTH
def test_all_that_is_lacking_is_fetched_five_at_a_time_and_nothing_twice(behaviour: Behaviour) -> None:
    scene = Scene(behaviour, release(1))
    new = release(2, files=14, changed=9)
    scene.deploy(2, new)
    steps, whole = go_steps(scene.client, scene.answer)
    asks = [ask for step in steps for ask in step]
    lacking = [f"/A/{n:03}.js" for n in (*range(9), 12, 13)]
    by_hash = [ask for ask in asks if ask.want is Want.BY_HASH]
    assert sorted(ask.url.partition("?")[0] for ask in by_hash[: len(lacking)]) == lacking
    assert len(by_hash) == len(lacking) + MORE
    assert [len(step) for step in steps if len(step) > 1] == [PARALLEL, PARALLEL]
    before = [Want.VERSION, Want.MANIFEST] + [Want.PRECACHE] * (behaviour is LOCKSTEP)
    assert [ask.want for ask in asks[: len(before)]] == before
    assert [ask.want for ask in asks[-1 - PARTS :]] == [Want.DOCUMENT, *[Want.PART] * PARTS]
    assert (whole, scene.held(), scene.upgrades()) == (True, token(new), (1, 0, 0))
    assert scene.tally.good


@BOTH
def test_a_file_that_moved_is_fetched_again_and_one_that_was_dropped_is_not(behaviour: Behaviour) -> None:
    scene = Scene(behaviour, {ENTRY: b"entry", "/A/a.js": b"same", "/A/b.js": b"dropped"})
    scene.deploy(2, {ENTRY: b"entry", "/A/moved.js": b"same"})
    assert scene.fetched() == ["/A/moved.js"]


@BOTH
def test_a_rollback_is_an_upgrade_and_fetches_what_the_switch_had_dropped(behaviour: Behaviour) -> None:
    first, second = release(1), release(2, changed=4)
    scene = Scene(behaviour, first)
    for epoch, served in ((2, second), (3, first), (4, second)):
        scene.deploy(epoch, served)
        assert len(scene.fetched()) == 4
    assert (scene.held(), scene.upgrades()) == (token(second), (3, 0, 0))


def by_hash(path: str, reply: Reply) -> Replace:
    return lambda ask: reply if ask.want is Want.BY_HASH and ask.url.startswith(f"{path}?") else None


FAILED = [
    (Answer(404, b""), Kind.MISSING),
    (Answer(500, b""), Kind.STATUS),
    (Answer(302, b"", location="/x"), Kind.REDIRECT),
    (Answer(206, b"0 2"), Kind.STATUS),
    (Answer(200, b"other"), Kind.OTHER_BYTES),
    (NoAnswer(Fault(Kind.TIMEOUT, "", "")), Kind.TIMEOUT),
    (NoAnswer(Fault(Kind.CONNECTION, "", "")), Kind.CONNECTION),
    (NoAnswer(Fault(Kind.OVERSIZE, "", "")), Kind.OVERSIZE),
]


@BOTH
@pytest.mark.parametrize(("reply", "kind"), FAILED)
def test_a_failed_try_is_tried_again_and_the_old_version_is_kept_when_none_works(
    behaviour: Behaviour, reply: Reply, kind: Kind
) -> None:
    first = release(1)
    scene = Scene(behaviour, first)
    scene.deploy(2, release(2, changed=6))
    scene.replace = by_hash("/A/000.js", reply)
    counted = Counter(ask.url.partition("?")[0] for ask in scene.go() if ask.want is Want.BY_HASH)
    assert counted["/A/000.js"] >= 11
    assert (scene.held(), scene.upgrades()) == (token(first), (0, 1, 0))
    # Each answer is judged, and so counted, whatever the device does about it.
    assert scene.tally.kinds[kind] >= 11
    assert set(scene.tally.kinds) == {kind}


@BOTH
@pytest.mark.parametrize(("changed", "retries"), [(1, 10), (5, 10), (50, 10), (55, 11), (104, 20), (200, 40)])
def test_retries_are_ten_or_a_fifth_of_what_is_fetched_shared_by_all(
    behaviour: Behaviour, changed: int, retries: int
) -> None:
    scene = Scene(behaviour, release(1, files=200))
    new = release(2, files=200, changed=changed)
    scene.deploy(2, new)
    left = retries

    def fail_some(ask: Ask) -> Reply | None:
        nonlocal left
        if ask.want is not Want.BY_HASH or not left:
            return None
        left -= 1
        return NoAnswer(Fault(Kind.TIMEOUT, "", ""))

    scene.replace = fail_some
    assert len(scene.fetched()) == changed + retries
    assert (left, scene.held(), scene.upgrades()) == (0, token(new), (1, 0, 0))
    scene.deploy(3, release(3, files=200, changed=changed))
    left = retries + 1
    scene.go()
    assert (left, scene.held(), scene.upgrades()) == (0, token(new), (1, 1, 0))


def test_an_empty_file_is_no_file_to_a_device_though_its_hash_is_right() -> None:
    first = release(1)
    scene = Scene(LOCKSTEP, first)
    scene.deploy(2, {**release(2), "/A/empty.txt": b""})
    scene.go()
    assert (scene.held(), scene.upgrades()) == (token(first), (0, 1, 0))
    assert not scene.tally.kinds


@BOTH
def test_what_was_fetched_is_kept_so_that_the_next_try_fetches_less(behaviour: Behaviour) -> None:
    scene = Scene(behaviour, release(1))
    new = release(2, changed=9)
    scene.deploy(2, new)
    scene.replace = by_hash("/A/007.js", Answer(404, b""))
    scene.go()
    assert scene.upgrades() == (0, 1, 0)
    scene.replace = lambda _: None
    for _ in range(SESSION - 2 if behaviour is STOCK else 0):
        scene.go()
    assert scene.fetched() == ["/A/007.js"]
    assert (scene.held(), scene.upgrades()) == (token(new), (1, 1, 0))


@BOTH
def test_a_checkpoint_serves_another_version_only_where_that_lists_the_same_files(behaviour: Behaviour) -> None:
    scene = Scene(behaviour, release(1))
    scene.deploy(2, release(2, changed=9))
    scene.replace = by_hash("/A/007.js", Answer(404, b""))
    scene.go()
    scene.replace = lambda _: None
    scene.deploy(3, {**release(2, changed=9), "/A/000.js": b"three", "/A/007.js": b"three"})
    scene.client.device.start()
    assert sorted(scene.fetched()) == ["/A/000.js", "/A/007.js"]


def test_a_checkpoint_does_not_grow_with_the_versions_that_are_offered() -> None:
    scene = Scene(LOCKSTEP, release(1))
    scene.replace = by_hash("/A/007.js", Answer(404, b""))
    for epoch, served in ((2, release(2, changed=9)), (3, release(3, changed=9)), (4, release(2, changed=9))):
        scene.deploy(epoch, served)
        assert len(set(scene.fetched())) == 9


def test_lockstep_tries_again_at_the_next_check() -> None:
    scene = Scene(LOCKSTEP, release(1))
    scene.deploy(2, release(2, changed=9))
    scene.replace = by_hash("/A/007.js", Answer(404, b""))
    for _ in range(5):
        scene.go()
    assert scene.upgrades() == (0, 5, 0)


def test_stock_tries_again_only_after_the_next_start_of_the_app() -> None:
    scene = Scene(STOCK, release(1))
    scene.deploy(2, release(2, changed=9))
    scene.replace = by_hash("/A/007.js", Answer(404, b""))
    rounds = [scene.upgrades()[1]]
    for _ in range(2 * SESSION):
        scene.go()
        rounds.append(scene.upgrades()[1])
    # Round 0 adopted the first version; a start of the app comes before the rounds 10 and 20.
    assert rounds == [0, *[1] * (SESSION - 1), *[2] * SESSION, 3]


def mixed(scene: Scene, old: Release) -> Replace:
    """Version checks reach a new frontend, everything else an old one, which knows no tokens."""
    behind = Frontend({name(1): old}, name(1))
    info = Ask(Want.MANIFEST, f"/A/moduleservices/moduleinfo?{token(old)}")
    return lambda ask: behind.serve(info, None, names_missing=True) if ask.want is Want.MANIFEST else None


@pytest.mark.parametrize(("behaviour", "ended"), [(LOCKSTEP, (0, 3, 0)), (STOCK, (0, 0, 3))])
def test_a_mixed_farm_is_missed_in_silence_by_stock_and_refused_by_lockstep(
    behaviour: Behaviour, ended: tuple[int, int, int]
) -> None:
    first = release(1)
    scene = Scene(behaviour, first)
    scene.deploy(2, release(2, changed=3))
    scene.replace = mixed(scene, first)
    for _ in range(3):
        assert [ask.want for ask in scene.go()] == [Want.VERSION, Want.MANIFEST]
    assert (scene.held(), scene.upgrades()) == (token(first), ended)
    # A finding, whatever the device makes of it.
    assert dict(scene.tally.kinds) == {Kind.OTHER_MANIFEST: 3}


@pytest.mark.parametrize(("behaviour", "ended"), [(LOCKSTEP, (0, 1, 0)), (STOCK, (1, 0, 0))])
def test_a_manifest_of_a_third_version_is_taken_by_stock_alone(
    behaviour: Behaviour, ended: tuple[int, int, int]
) -> None:
    first, third = release(1), release(3, changed=5)
    scene = Scene(behaviour, first)
    scene.deploy(3, third)
    scene.deploy(2, release(2, changed=3))
    scene.replace = mixed(scene, third)
    scene.go()
    assert scene.upgrades() == ended
    assert scene.held() == token(third if behaviour is STOCK else first)
    assert dict(scene.tally.kinds) == {Kind.OTHER_MANIFEST: 1}


@pytest.mark.parametrize("reply", [Answer(404, b""), Answer(500, b""), Answer(200, b"<html>"), FAILED[5][0]])
@BOTH
def test_an_upgrade_without_a_manifest_has_failed(behaviour: Behaviour, reply: Reply) -> None:
    scene = Scene(behaviour, release(1))
    scene.deploy(2, release(2, changed=3))
    scene.replace = lambda ask: reply if ask.want is Want.MANIFEST else None
    scene.go()
    scene.go()
    assert scene.upgrades() == ((0, 2, 0) if behaviour is LOCKSTEP else (0, 1, 0))


@pytest.mark.parametrize(("behaviour", "goes"), [(LOCKSTEP, False), (STOCK, True)])
def test_only_stock_goes_to_an_older_epoch(behaviour: Behaviour, goes: bool) -> None:
    old, new = release(1, changed=1), release(2, changed=2)
    scene = Scene(behaviour, old)
    scene.deploy(2, new)
    scene.go()
    scene.frontend.current = name(1)
    scene.go()
    assert scene.held() == token(old if goes else new)
    assert scene.upgrades() == (2 if goes else 1, 0, 0)
    assert set(scene.tally.kinds) == {Kind.BACKWARD}


def test_lockstep_trusts_no_nameless_answer_once_it_has_seen_an_epoch() -> None:
    first = release(1)
    scene = Scene(LOCKSTEP, first)
    scene.deploy(2, release(2, changed=2))

    def nameless(ask: Ask) -> Reply | None:
        found = scene.frontend.serve(ask, None, names_missing=True)
        return Answer(found.status, found.body)

    scene.replace = nameless
    scene.go()
    assert (scene.held(), scene.upgrades()) == (token(first), (0, 0, 0))


@settings(deadline=None)
@given(st.integers(), st.booleans(), st.sampled_from(Behaviour))
def test_a_fleet_that_obeys_brings_every_device_to_the_last_release(
    seed: int, names_missing: bool, behaviour: Behaviour
) -> None:
    observed = fleet(seed, names_missing=names_missing)
    tally = Tally()
    client = new_client(tally, observed.random, behaviour)
    while observed.steps:
        go_round(client, observed.answer)
    for _ in range(3):
        go_round(client, observed.answer)
    served = observed.frontends[0]
    assert client.device.held is not None
    assert client.device.held.token == token(served.held[served.current])
    assert tally.good
