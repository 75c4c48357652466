"""HTTP itself: what the worker's checks and the observer make of any bytes that come back from a socket."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
import socket
import ssl
import zlib
from random import Random
from types import TracebackType
from typing import Self

from pydantic import AnyHttpUrl

from inventory.model import Fleet, Frontend, MountedApp
from orchestrator.domain.activation import Activation, ActivationName, Placement
from orchestrator.domain.errors import LockstepError, RefusedError, UnansweredError
from orchestrator.ota.answers import Answer, NoAnswer
from orchestrator.ota.documents import activation_document
from orchestrator.ota.expected import Expected
from orchestrator.ota.fetcher import Fetcher, Limits
from orchestrator.ota.tally import Tally
from orchestrator.ota.target import Target as Observed
from tests.fuzz.mutation import mutate_bytes, mutate_text, odd_bytes, pick
from tests.fuzz.sockets import Replier
from tests.fuzz.target import Target
from tests.unit.inventory.documents import host_key
from workers.frontend.serving import Served

#: Who asks, and all that comes back.
Said = tuple[str, bytes]

NAME = ActivationName(7, "00112233445566aa")
_PLACEMENT = Placement("ToDo", "/ToDo/", "1", "ab" * 32)
_ACTIVATION = Activation.of(NAME, [_PLACEMENT])
#: What an answer's body may be at most, and what may be read of one that is too large.
LIMIT = 100_000
_BODIES = (
    *(b"", b"start()\n", b'{"versionToken":"aaaaaaaaaaaaaaaaaaaaaa"}', activation_document(_ACTIVATION)),
    *(b"x" * 5000, b"y" * (LIMIT + 1)),
)
_BOMB = gzip.compress(bytes(30 * 2**20), 9, mtime=0)
ASKED = ("digest", "check", "activation", "drained", "observe", "observe", "observe")
_HEADERS = (
    *(f"Lockstep-Activation: {NAME}", f"Lockstep-Activation: 8-{'a' * 16}", "Lockstep-Activation: \u00e9\x01"),
    *(
        "Location: /elsewhere",
        "Location: http://[",
        "Location: \x7f",
        "Set-Cookie: lockstep=7-x; Path=/",
        "Set-Cookie: =",
    ),
    *("Set-Cookie: a=b; Expires=Thu, 99 Foo 9999 99:99:99 GMT; Max-Age=1e9; Domain=..; Version=x", "Set-Cookie: \x00"),
    *("Content-Type: text/html; charset=\u00ff", "Content-Type: x; charset=rot13", "Connection: close", "Date: x"),
    *(
        "Content-Encoding: gzip",
        "Content-Encoding: deflate",
        "Content-Encoding: br",
        "Content-Encoding: gzip, gzip, gzip",
    ),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Upgrade: h2c", "Trailer: x", ": x", "x"),
    *(
        "Content-Length: 0",
        "Content-Length: -1",
        "Content-Length: 5, 6",
        f"Content-Length: {10**30}",
        "x: " + "y" * 9000,
    ),
    " folded: x",
)
_STATUSES = ("200 OK", "404 Not Found", "302 x", "304 x", "204 x", "100 x", "500 x", "503 x", "999 x", "0 x", "x")
_PIECES = tuple(
    piece.encode()
    for piece in (
        *("\r\n", "\r\n\r\n", "\n", "HTTP/1.1 200 OK\r\n", "HTTP/1.0 ", "HTTP/2 ", "HTTP/0.9", " 100 Continue\r\n\r\n"),
        *(
            "0\r\n\r\n",
            "ffffffffffffffff\r\n",
            "-1\r\n",
            "5;x=y\r\n",
            "Content-Length: 3\r\n",
            "Set-Cookie: ",
            ": ",
            "\r",
        ),
    )
)


class Http(Target[Said]):
    """One answer over HTTP. A request that is sent again on a new connection gets the same."""

    name = "http"
    short = 350

    def __enter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._replier = Replier(listener)
        frontend = Frontend(
            name="f", address="127.0.0.1", user="d", root="/r", url=AnyHttpUrl(self._url), host_key=host_key(1)
        )
        self._fleet = Fleet(
            environment="P", name="w", apps=(MountedApp(name="ToDo", mount="/ToDo/"),), frontends=(frontend,)
        )
        self._trust = ssl.create_default_context()
        self._runner = asyncio.Runner()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.close()
        self._replier.close()

    def make(self, random: Random) -> Said:
        answer = _answer(random)
        if random.random() < 0.6:
            answer = mutate_bytes(random, answer, _PIECES)
        return pick(random, ASKED), answer

    def check(self, made: Said) -> bool:
        asked, reply = made
        self._replier.reply = reply
        return self._observe() if asked == "observe" else self._ask(asked)

    def _ask(self, asked: str) -> bool:
        """As a worker does."""
        try:
            with Served(self._fleet, self._fleet.frontends[0]) as served:
                match asked:
                    case "digest":
                        digest = served.manifest_digest(_PLACEMENT, NAME)
                        assert re.fullmatch("[0-9a-f]{64}", digest) or not digest
                    case "check":
                        served.check(Expected("/x", hashlib.sha256(_BODIES[1]).hexdigest()), NAME)
                    case "activation":
                        served.check_activation(_ACTIVATION, NAME)
                    case _:
                        served.drained()
        except LockstepError as error:
            assert type(error) in (RefusedError, UnansweredError), type(error)
            _check_shown(str(error))
            return False
        return True

    def _observe(self) -> bool:
        """As the observer does, twice: the second time with what cookies it got."""
        target, tally = Observed.of(self._url, "ToDo"), Tally()

        async def fetch() -> list[Answer | NoAnswer]:
            async with Fetcher(target, tally, Limits(seconds=20, body=LIMIT), self._trust) as fetcher:
                return [await fetcher.fetch(ask) for ask in (target.version(1), target.part("/ToDo/x"))]

        found = self._runner.run(fetch())
        for one in found:
            if isinstance(one, NoAnswer):
                str(one.fault).encode("utf-8", "surrogatepass")
            else:
                assert len(one.body) <= LIMIT
                assert 100 <= one.status <= 999
        json.dumps(tally.document())
        return all(isinstance(one, Answer) for one in found)


def _answer(random: Random) -> bytes:
    body = pick(random, _BODIES)
    headers = [pick(random, _HEADERS) for _ in range(pick(random, (0, 1, 1, 2, 3)))]
    packed = random.randrange(12)
    if packed == 0:
        headers.append("Content-Encoding: gzip")
        body = _BOMB if random.random() < 0.02 else gzip.compress(body, 1, mtime=0)
    elif packed == 1:
        headers.append("Content-Encoding: deflate")
        body = zlib.compress(body)
    if random.random() < 0.02:
        headers = headers * 200
    if random.random() < 0.7:
        headers.append(f"Content-Length: {len(body)}")
    elif random.random() < 0.5:
        headers.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    status = pick(
        random, ("200 OK", "200 OK", "200 OK", "404 Not Found", "302 x", "304 x", "204 x", "100 x", "999 x", "0 x")
    )
    if random.random() < 0.1 and headers:
        place = random.randrange(len(headers))
        headers[place] = mutate_text(random, headers[place])
    head = f"HTTP/1.1 {status}\r\n" + "".join(f"{header}\r\n" for header in headers) + "\r\n"
    return head.encode("utf-8", "surrogatepass") + body + (odd_bytes(random) if random.random() < 0.05 else b"")


def _check_shown(text: str) -> None:
    text.encode()
    assert all(line.isprintable() for line in text.split("\n")), text
    assert len(text) < 5000
