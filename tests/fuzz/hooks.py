"""What hooks in read of others: a delivery's headers, its body through a template, and a zone's query."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from random import Random
from typing import Any

from orchestrator.domain.errors import LockstepError, UnauthenticatedError
from orchestrator.domain.signature import sign, verify
from orchestrator.domain.zone import PARAMETERS, Step, content, failure, request_of
from orchestrator.services.versions import document, versions
from tests.fuzz.mutation import mutate_bytes, mutate_text, mutate_value, odd_text, pick, spelled
from tests.fuzz.target import Target

NOW = 1_777_636_800
KEYS = (b"k" * 32, b"o" * 32)
WINDOW = 300

#: "signature", id, time, signature, body; "template", the template, "", "", body; "zone", and its query as JSON.
Made = tuple[str, str, str, str, bytes]

_BODY = {"release": {"version": "1.2.0", "tag": "v1.2.0", "build": 17}, "refs": ["a", "b"], "none": None}
_TEMPLATES = (
    "{{ body.release.version }}",
    "{{ body.release.tag | removeprefix('v') }}",
    "1.0.{{ body['release']['build'] }}",
    "{{ body.missing | default('1.0') | upper }}",
    "{{ body.refs[0] }}-{{ body.refs[1] }}",
)
_WORDS = (
    *("{{", "}}", "{%", "%}", "{#", "#}", "{{ body", "| default(", "| map(", ".__class__", "['", "']", "(", ")"),
    *("for x in body", "'x' * 9999999", "9 ** 9 ** 9", "range(9)", "body.items()", "lipsum", "cycler", "~", "[::]"),
)
_SIGNS = ("v1,", "v1a,", " ", "=", "==", "+", "/", "\u0661", "\uff11", ".", "\n", "-", "1e9", "0x", "_")
_GUID = "07897a77-3f58-4e5b-b926-a48605c0b6d0"
_FILE = re.compile(r"[0-9A-Fa-f-]{36}_[0-9A-Fa-f-]{36}\.(?:preparedone|deploydone|configsdone|undeploydone)", re.ASCII)


class Hooks(Target[Made]):
    """A delivery, a body with its template, or a zone's query."""

    name = "hooks"
    short = 1500

    def make(self, random: Random) -> Made:
        kind = random.randrange(3)
        return _signature(random) if kind == 0 else _template(random) if kind == 1 else _zone(random)

    def check(self, made: Made) -> bool:
        kind = made[0]
        try:
            taken = _taken(made) if kind == "signature" else _version(made) if kind == "template" else _named(made)
        except LockstepError as error:
            assert len(str(error)) < 2000
            assert all(line.isprintable() for line in str(error).split("\n")), str(error)
            json.dumps(error.problem.as_dict(), ensure_ascii=False).encode()
            return False
        return taken


def _signature(random: Random) -> Made:
    body = spelled(random, _BODY)
    at = NOW + random.randint(-WINDOW - 5, WINDOW + 5)
    headers = ["msg_1", str(at), sign(pick(random, KEYS), at, body, "msg_1")]
    if random.random() < 0.3:
        headers[2] = f"{sign(b'x' * 32, at, body, 'msg_1')} {headers[2]}"
    if random.random() < 0.6:
        place = random.randrange(4)
        if place == 3:
            body = mutate_bytes(random, body)
        else:
            headers[place] = mutate_text(random, headers[place], _SIGNS)
    return "signature", *headers, body  # type: ignore[return-value]


def _taken(made: Made) -> bool:
    _, delivery, moment, signature, body = made
    try:
        assert verify(KEYS, (delivery, moment, signature), body, NOW, WINDOW) == delivery
    except UnauthenticatedError as error:
        assert signature not in str(error) or not signature.strip()
        raise
    assert abs(int(moment) - NOW) <= WINDOW
    text = f"{delivery}.{moment}.".encode() + body
    right = {"v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode() for key in KEYS}
    assert right & set(signature.split(" "))
    return True


def _template(random: Random) -> Made:
    template, body = pick(random, _TEMPLATES), spelled(random, _BODY)
    match random.randrange(5):
        case 0:
            template = mutate_text(random, template, _WORDS)
        case 1:
            body = spelled(random, mutate_value(random, _BODY))
        case 2:
            body = mutate_bytes(random, body)
        case 3:
            template = mutate_text(random, mutate_text(random, template, _WORDS), _WORDS)
    return "template", template, "", "", body


def _version(made: Made) -> bool:
    _, template, _, _, body = made
    found = versions({"ToDo": template}, document(body))["ToDo"]
    assert re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,63}", found, re.ASCII)
    return True


def _zone(random: Random) -> Made:
    given = {
        "ApplicationName": "ToDo",
        "ApplicationKey": _GUID,
        "OperationId": _GUID,
        "ModuleNames": json.dumps(["ToDo", "ToDo_CS"]),
    }
    if random.random() < 0.5:
        name = pick(random, PARAMETERS)
        given[name] = mutate_text(random, given.get(name, ""), (_GUID, "../", "\\", "\0", '["', "[[", "{}", "null"))
    packed = {name: base64.b64encode(value.encode(errors="surrogatepass")).decode() for name, value in given.items()}
    if random.random() < 0.2:
        name = pick(random, (*PARAMETERS, "Version"))
        packed[name] = mutate_text(random, packed.get(name, ""), ("=", "+", " ", "/", "-", "_", odd_text(random)))
    return "zone", pick(random, list(Step)), json.dumps(packed), "", b""


def _named(made: Made) -> bool:
    given: Mapping[str, Any] = json.loads(made[2])
    request = request_of(Step(made[1]), given)
    assert _FILE.fullmatch(request.file)
    assert len(request.name) <= 255
    held = json.loads(content(failure(request.application)))
    assert held == {"Error": {"Message": request.application}}
    return True
