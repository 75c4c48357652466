"""The documents that clients read, and a whole round of the observer against servers that answer anything."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from random import Random
from typing import Any
from urllib.parse import urlsplit

from orchestrator.ota.answers import (
    Answer,
    MalformedError,
    NoAnswer,
    read_manifest,
    read_name,
    read_precache,
    read_version,
)
from orchestrator.ota.attempt import PARALLEL, RETRIES
from orchestrator.ota.behaviour import Behaviour
from orchestrator.ota.client import CHANGED, MORE, PARTS, Client
from orchestrator.ota.tally import Fault, Kind, Tally
from orchestrator.ota.target import Ask, Want
from orchestrator.ota.target import Target as Observed
from tests.fuzz.mutation import ABYSSES, ODD_PATHS, mutate_bytes, mutate_text, mutate_value, odd_text, pick, spelled
from tests.fuzz.target import Target

#: Status, body, the header that names an activation, Location. Status 0: nothing came back.
Reply = tuple[int, bytes, str | None, str | None]
#: The mount, and the replies in the order in which they are given, over and over.
Replies = tuple[str, tuple[Reply, ...]]

MOUNT = "/ToDo/"
_CONTENTS = (b"<!doctype html>\n", b"start()\n", b"")
_NAMES = ("7-00112233445566aa", "8-00112233445566aa", f"6-{'f' * 16}", f"0-{'0' * 16}")
_STATUSES = (200, 200, 200, 200, 200, 200, 0, 204, 301, 302, 304, 404, 410, 500, 503, 999)
_PIECES = tuple(
    piece.encode()
    for piece in (
        *(
            '"versionToken":',
            '"urlVersions":',
            '"urlMappings":',
            '"?',
            "{",
            "}",
            "null",
            "/ToDo/",
            "/ToDo/../",
            "%2e%2e/",
        ),
        *("%00", "%0a", "//evil.example/", "\\u0000", "\\ud800", "?x", "#x", '"":""', "NaN", "1e999"),
    )
)


def document(token: str, mount: str = MOUNT) -> dict[str, Any]:
    """A moduleinfo that a client takes."""
    paths = ("index.html", "js/app.js", "empty")
    versions = {f"{mount}{path}": f"?{Answer(200, body).ota}" for path, body in zip(paths, _CONTENTS, strict=True)}
    manifest = {
        "versionToken": token,
        "urlVersions": versions,
        "urlMappings": {mount: f"{mount}index.html{versions[f'{mount}index.html']}"},
        "urlMappingsNoCache": {},
    }
    return {"manifest": manifest, "data": {"modules": {}}}


def body(random: Random) -> bytes:
    """A document, whole or not, or a file's content."""
    token = pick(random, ("aaaaaaaaaaaaaaaaaaaaaa", "b" * 22, "c" * 64))
    kind = random.randrange(12)
    if kind < 2:
        return pick(random, _CONTENTS)
    mount = pick(random, (MOUNT, MOUNT, "/"))
    whole: Any = {"versionToken": token} if kind < 5 else document(token, mount)
    if kind == 4:
        whole["integrity"] = {f"{mount}js/app.js": pick(random, (Answer(200, _CONTENTS[1]).integrity, "sha256-x"))}
    if kind >= 5 and random.random() < 0.2:
        versions = whole["manifest"]["urlVersions"]
        versions[mount + pick(random, (*ODD_PATHS, odd_text(random)))] = pick(random, list(versions.values()))
    match random.randrange(8):
        case 0 | 1:
            return spelled(random, whole)
        case 2 | 3 | 4:
            return spelled(random, mutate_value(random, whole))
        case 5 if random.random() < 0.2:
            return json.dumps(whole).encode().replace(b'"versionToken":', b'"versionToken":' + pick(random, ABYSSES), 1)
        case _:
            return mutate_bytes(random, json.dumps(whole).encode(), _PIECES)


def reply(random: Random) -> Reply:
    """Any answer."""
    name = pick(random, (*_NAMES, *_NAMES, None))
    if name is not None and random.random() < 0.1:
        name = mutate_text(random, name)
    location = pick(random, (None, None, "/x", "https://evil.example/", "\x1b[2J", "x" * 5000))
    return pick(random, _STATUSES), body(random), name, location


class Versions(Target[Replies]):
    """The replies to one observer, in its first three rounds."""

    name = "versions"
    short = 750

    def make(self, random: Random) -> Replies:
        mount = pick(random, (MOUNT, MOUNT, "/"))
        if random.random() < 0.5:
            return mount, tuple(reply(random) for _ in range(random.randint(1, 4)))
        # A good beginning: else no round gets any further than its first answer.
        token = "a" * 22
        good = (spelled(random, {"versionToken": token}), spelled(random, document(token, mount)), *_CONTENTS)
        replies: list[Reply] = [(200, each, _NAMES[0], None) for each in good]
        if random.random() < 0.5:
            # And an upgrade: a token and its manifest come as answers to the next round's questions, or nearly so.
            upgrade = spelled(random, {"versionToken": "b" * 22}), spelled(random, document("b" * 22, mount))
            replies += [(200, _CONTENTS[0], _NAMES[0], None)] * random.randrange(6)
            replies += [(200, each, _NAMES[1], None) for each in (*upgrade, upgrade[0], *_CONTENTS)]
        for _ in range(random.randint(0, 2)):
            replies[random.randrange(len(replies))] = reply(random)
        return mount, tuple(replies)

    def check(self, made: Replies) -> bool:
        mount, replies = made
        read = [_check_read(one, mount) for one in replies]
        for behaviour in Behaviour:
            tally = _observe(Observed.of("http://frontend.example", "ToDo", mount), replies, behaviour)
            json.dumps(tally.document()).encode()
            for finding in tally.samples:
                assert all(text.isprintable() for text in finding.document().values() if isinstance(text, str))
        return all(read)


def _check_read(one: Reply, mount: str) -> bool:
    status, content, name, location = one
    good = 0
    try:
        found = read_name(Answer(status, content, name, location))
        assert found is None or str(found) == name
        good += 1
    except MalformedError as error:
        _check_fault(error)
    try:
        assert re.fullmatch(r"[A-Za-z0-9+/_=-]{1,64}", read_version(content))
        good += 1
    except MalformedError as error:
        _check_fault(error)
    try:
        manifest = read_manifest(content, mount)
        _check_paths(manifest.files, mount)
        assert manifest.entry is None or manifest.entry in manifest.files
        good += 1
    except MalformedError as error:
        _check_fault(error)
    _check_precache(content)
    return good >= 2


def _check_precache(content: bytes) -> None:
    try:
        precache = read_precache(content)
    except MalformedError as error:
        _check_fault(error)
        return
    assert re.fullmatch(r"[A-Za-z0-9+/_=-]{1,64}", precache.token)
    assert all(re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", value) for value in precache.integrity.values())


def _check_fault(error: MalformedError) -> None:
    assert error.fault.kind is Kind.MALFORMED
    assert error.fault.expected
    assert len(error.fault.found) < 6000


def _check_paths(files: Mapping[str, str], mount: str) -> None:
    for path, ota in files.items():
        assert path.startswith(mount)
        assert re.fullmatch(r"[A-Za-z0-9+_]{22}", ota)
        for ask in (Observed.by_hash(path, ota), Observed.document(path), Observed.part(path)):
            assert ask.url.isascii()
            parts = urlsplit(f"http://frontend.example{ask.url}")
            assert parts.netloc == "frontend.example"
            assert not {".", ".."} & set(parts.path.split("/"))
            assert " " not in ask.url


def _observe(target: Observed, replies: tuple[Reply, ...], behaviour: Behaviour) -> Tally:
    """Three rounds of a client. Every round comes to an end, and asks no more than it may."""
    tally = Tally()
    client = Client(target, tally, random=Random(1), elapsed=lambda: 1.0, stamp=lambda: 1, behaviour=behaviour)
    given = 0
    for _ in range(3):
        steps = client.round()
        asked = 0
        try:
            asks = next(steps)
            while True:
                assert 1 <= len(asks) <= PARALLEL
                answers = []
                for ask in asks:
                    _check_ask(ask)
                    answers.append(_answer(replies[given % len(replies)]))
                    given += 1
                asked += len(asks)
                # An upgrade fetches what it lacks of a few files, and tries again a few times.
                assert asked <= 4 + CHANGED + RETRIES + MORE + PARTS
                asks = steps.send(tuple(answers))
        except StopIteration as end:
            assert isinstance(end.value, bool)
    return tally


def _answer(one: Reply) -> Answer | NoAnswer:
    status, content, name, location = one
    return Answer(status, content, name, location) if status else NoAnswer(Fault(Kind.TIMEOUT, "an answer", "none"))


def _check_ask(ask: Ask) -> None:
    assert isinstance(ask.want, Want)
    assert ask.url.startswith("/")
    assert ask.url.isascii()
    assert ask.url.isprintable()
    assert " " not in ask.url
