"""What a lockstep device makes of precache.manifest, which is navigation and may come from a newer release."""

from __future__ import annotations

import json

import pytest

from orchestrator.ota.answers import Answer, MalformedError, read_precache
from orchestrator.ota.behaviour import Behaviour
from orchestrator.ota.client import MORE, PARTS
from orchestrator.ota.tally import Kind
from orchestrator.ota.target import Ask, Want
from tests.unit.ota.served import ENTRY, go_round, name, precache, token
from tests.unit.ota.test_device_upgrades import FAILED, LOCKSTEP, STOCK, Reply, Scene, release

GOOD = Answer(200, b"x").integrity


def offered(behaviour: Behaviour = LOCKSTEP) -> Scene:
    scene = Scene(behaviour, release(1))
    scene.deploy(2, release(2, changed=3))
    return scene


def answering(scene: Scene, reply: Reply) -> Scene:
    scene.replace = lambda ask: reply if ask.want is Want.PRECACHE else None
    return scene


def wrong(**changes: object) -> bytes:
    """The precache.manifest of the new release, one file of which has another SHA-256."""
    document = json.loads(precache(release(2, changed=3)).removeprefix(b"precache "))
    document["integrity"]["/A/000.js"] = GOOD
    return json.dumps({**document, **changes}).encode()


@pytest.mark.parametrize(("behaviour", "ended"), [(LOCKSTEP, (0, 1, 0)), (STOCK, (1, 0, 0))])
def test_a_file_of_the_right_hash_and_another_sha256_is_torn_for_lockstep(
    behaviour: Behaviour, ended: tuple[int, int, int]
) -> None:
    scene = answering(offered(behaviour), Answer(200, wrong(), str(name(2))))
    scene.go()
    assert scene.upgrades() == ended
    assert set(scene.tally.kinds) == ({Kind.OTHER_BYTES} if behaviour is LOCKSTEP else set())


@pytest.mark.parametrize(
    "reply",
    [
        Answer(404, b"", str(name(2))),
        Answer(410, b""),
        Answer(200, b'{"versionToken": "%s"}' % token(release(2, changed=3)).encode(), str(name(2))),
        Answer(200, b"#1 text, then " + wrong(integrity={}), str(name(2))),
    ],
)
def test_without_integrity_an_upgrade_goes_by_the_hashes_alone(reply: Reply) -> None:
    scene = answering(offered(), reply)
    scene.go()
    assert scene.upgrades() == (1, 0, 0)
    assert scene.tally.good


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Answer(500, b"", str(name(2))), Kind.STATUS),
        (Answer(302, b"", location="/x"), Kind.REDIRECT),
        (Answer(200, b"<html>", str(name(2))), Kind.MALFORMED),
        (Answer(200, b"{}", "1-xyz"), Kind.MALFORMED),
        *FAILED[-3:],
    ],
)
def test_without_an_answer_that_can_be_read_the_upgrade_fails_before_any_file_of_it(reply: Reply, kind: Kind) -> None:
    scene = answering(offered(), reply)
    asked, whole = go_round(scene.client, scene.answer)
    assert [ask.want for ask in asked[3:]] == [*[Want.BY_HASH] * MORE, Want.DOCUMENT, *[Want.PART] * PARTS]
    assert not whole
    assert scene.upgrades() == (0, 1, 0)
    assert dict(scene.tally.kinds) == {kind: 1}


def test_an_older_epoch_is_backward_there_too() -> None:
    scene = offered()
    scene.go()
    scene.deploy(3, release(3, changed=3))
    answering(scene, Answer(200, precache(release(1)), str(name(1))))
    scene.go()
    assert scene.tally.kinds[Kind.BACKWARD] == 1


def test_one_activation_that_gives_another_token_there_is_mixed() -> None:
    scene = answering(offered(), Answer(200, precache(release(7, changed=1)), str(name(2))))
    scene.go()
    assert dict(scene.tally.kinds) == {Kind.MIXED: 1}


def test_integrity_of_another_version_is_not_held_against_this_one() -> None:
    scene = answering(offered(), Answer(200, wrong(versionToken="other")))
    scene.go()
    assert (scene.upgrades(), dict(scene.tally.kinds)) == ((1, 0, 0), {Kind.UNNAMED: 1})


@pytest.mark.parametrize("entry", [True, False])
def test_a_release_that_is_newer_than_the_one_wanted_is_waited_for(entry: bool) -> None:
    """The pin is that of the newest release from then on, so nothing of the page may be held against the old one."""
    scene = offered()
    new = {path: b"new" for path in release(1) if entry or path != ENTRY}

    def flip(ask: Ask) -> None:
        if ask.want is Want.PRECACHE and scene.frontend.current == name(2):
            scene.deploy(3, new)

    scene.replace = flip
    asked = scene.go()
    assert [ask.want for ask in asked[:3]] == [Want.VERSION, Want.MANIFEST, Want.PRECACHE]
    # The files of what was dropped are looked at all the same: every frontend must have them.
    assert {ask.want for ask in asked[3:]} == {Want.BY_HASH}
    assert {"/A/000.js", "/A/001.js", "/A/002.js"} <= {ask.url.partition("?")[0] for ask in asked[3:]}
    assert (scene.held(), scene.upgrades()) == (token(release(1)), (0, 0, 0))
    scene.go()
    assert (scene.held(), scene.upgrades()) == (token(new), (1, 0, 0))
    assert scene.tally.good, scene.tally.document()


def test_the_same_release_under_a_newer_epoch_is_gone_on_with() -> None:
    scene = offered()

    def flip(ask: Ask) -> None:
        if ask.want is Want.PRECACHE:
            scene.deploy(3, release(2, changed=3))

    scene.replace = flip
    scene.go()
    assert (scene.upgrades(), scene.tally.good) == ((1, 0, 0), True)


@pytest.mark.parametrize(
    ("body", "integrity"),
    [
        (b'{"versionToken": "t"}', {}),
        (b'text\n{"versionToken": "t", "integrity": {"/A/x": "%s"}}' % GOOD.encode(), {"/A/x": GOOD}),
    ],
)
def test_the_document_is_read_from_its_first_brace_on(body: bytes, integrity: dict[str, str]) -> None:
    found = read_precache(body)
    assert (found.token, found.integrity) == ("t", integrity)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"text",
        b"[]",
        b'{"integrity": {}}',
        b'{"versionToken": "t", "integrity": []}',
        b'{"versionToken": "t", "integrity": {"/A/x": null}}',
        b'{"versionToken": "t", "integrity": {"/A/x": "%s"}}' % GOOD[:-1].encode(),
        b'{"versionToken": "t", "integrity": {"/A/x": "%s %s"}}' % (GOOD.encode(), GOOD.encode()),
        b'{"versionToken": "t", "integrity": {"/A/x": "sha384-x"}}',
    ],
)
def test_what_is_no_such_document_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError):
        read_precache(body)
