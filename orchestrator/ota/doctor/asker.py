"""Asks an address its questions, one after the other on one connection. What comes back is not judged here.

As the observer asks (docs/observe.md): no redirects, no proxies of the environment, limits on time and size, nothing
raised whatever a server does. No cookies: it asks as a client that was never there.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import httpx

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import LockstepError
from orchestrator.domain.paths import show
from orchestrator.domain.release import Hasher
from orchestrator.ota.answers import MalformedError, ServedManifest, read_manifest, read_version
from orchestrator.ota.doctor.observations import OK, Reply, Silence, Visit
from orchestrator.ota.doctor.questions import Kind, Question, Wanted, of_served
from orchestrator.ota.target import Target

#: How long one answer may take, in seconds.
ANSWER_SECONDS = 10.0
#: After so many questions in a row without an answer, an address is asked no more.
PATIENCE = 3
#: How many addresses are asked at once.
AT_ONCE = 128
#: What of an answer is read beyond what the release says, in bytes: enough to see that it is something else.
BEYOND = 64 * 1024
#: The longest answer of which nothing is known, in bytes.
UNKNOWN_BYTES = 64 * 1024 * 1024
#: The headers by which caches, and what else stands between, show themselves.
CACHE_HEADERS = ("age", "cache-control", "cache-status", "cf-cache-status", "via", "warning", "x-cache", "x-cache-hits")
X_CACHE_STATUS = ("x-cache-status", "x-proxy-cache", "x-served-by", "x-varnish")

_DRESS = {
    Kind.VERSION: {"Accept": "application/json"},
    Kind.INFO: {"Accept": "application/json"},
    Kind.ENTRY: {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Dest": "document"},
    Kind.BY_PATH: {"Accept": "*/*", "Sec-Fetch-Dest": "empty"},
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to ask: a frontend's name ("" for the public address), ``scheme://host[:port]``, and the Host header."""

    name: str
    url: str
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Subject:
    """What the documents are read for: the app's mount, and the URL path of the file that was asked about, if any."""

    mount: str
    file: str = ""


async def ask_all(
    addresses: Sequence[Address], questions: Sequence[Question], subject: Subject, seconds: float = ANSWER_SECONDS
) -> list[Visit]:
    """Ask every address every question, all addresses side by side; the visits in the addresses' order."""
    trust = ssl.create_default_context()
    turn = asyncio.Semaphore(AT_ONCE)

    async def visit(address: Address) -> Visit:
        async with turn, Asker(address, subject, trust, seconds) as asker:
            return Visit(address.name, address.url, await asker.ask(questions))

    return list(await asyncio.gather(*(visit(address) for address in addresses)))


async def ask_alone(
    address: Address, target: Target, stamp: int, choose: Callable[[ServedManifest], Sequence[str]]
) -> tuple[Visit, ServedManifest | None]:
    """Ask an address of which nothing else is known: its own manifest says what must come back.

    `choose` picks the URL paths of the files to ask for. The manifest is None where there was none.
    """
    trust = ssl.create_default_context()
    async with Asker(address, Subject(target.mount), trust, ANSWER_SECONDS) as asker:
        check = Question(Kind.VERSION, target.version(stamp).url, Wanted())
        replies = dict(await asker.ask([check]))
        reply = replies[check]
        if isinstance(reply, Reply) and reply.token:
            info = Question(Kind.INFO, target.manifest(reply.token).url, Wanted())
            replies.update(await asker.ask([info]))
        manifest = asker.manifest
        if manifest is not None:
            replies.update(await asker.ask(of_served(target, manifest, choose(manifest), stamp)))
        return Visit(address.name, address.url, replies), manifest


class Asker:
    """One address. An asynchronous context manager: it holds a connection."""

    def __init__(self, address: Address, subject: Subject, trust: ssl.SSLContext, seconds: float) -> None:
        self._address = address
        self._subject = subject
        self._seconds = seconds
        self._transport = httpx.AsyncHTTPTransport(
            verify=trust,
            # No proxy of the environment may stand in between.
            trust_env=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
        )
        self._headers = {
            "User-Agent": f"lockstep-doctor/{version('lockstep-deploy')}",
            "Lockstep-Observer": "1",
            "Accept-Encoding": "gzip, deflate",
            **({"Host": address.host} if address.host else {}),
        }
        #: The moduleinfo that was read last.
        self.manifest: ServedManifest | None = None

    async def __aenter__(self) -> Asker:
        await self._transport.__aenter__()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._transport.aclose()

    async def ask(self, questions: Iterable[Question]) -> Mapping[Question, Reply | Silence]:
        """Every question's answer; after too many silences in a row, none is waited for any more."""
        replies: dict[Question, Reply | Silence] = {}
        silent = 0
        for question in questions:
            if silent >= PATIENCE:
                replies[question] = Silence(f"not asked any more after {PATIENCE} questions without an answer")
                continue
            reply = replies[question] = await self.one(question)
            silent = silent + 1 if isinstance(reply, Silence) else 0
        return replies

    async def one(self, question: Question) -> Reply | Silence:
        """One question's answer."""
        try:
            async with asyncio.timeout(self._seconds):
                try:
                    return await self._exchange(question)
                except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                    # A server may close a kept connection just as a request goes out: it is sent once more.
                    return await self._exchange(question)
        except (TimeoutError, httpx.TimeoutException):
            return Silence(f"no whole answer within {self._seconds:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return Silence(show(f"{type(error).__name__}: {error}"))

    async def _exchange(self, question: Question) -> Reply:
        headers = {**self._headers, **_DRESS.get(question.kind, {"Accept": "*/*"})}
        request = httpx.Request("GET", self._address.url + question.url, headers=headers)
        response = await self._transport.handle_async_request(request)
        try:
            return await self._read(question, response)
        finally:
            await response.aclose()

    async def _read(self, question: Question, response: httpx.Response) -> Reply:
        hasher, size = Hasher(), 0
        keeps = question.kind in (Kind.VERSION, Kind.INFO, Kind.PRECACHE)
        kept: list[bytes] = []
        known = question.expected.size
        limit = UNKNOWN_BYTES if known is None else known + BEYOND
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > limit:
                return self._reply(question, response, "", "", limit, b"")
            hasher.update(chunk)
            if keeps:
                kept.append(chunk)
        content = hasher.content()
        return self._reply(question, response, content.sha256, content.ota, size, b"".join(kept))

    def _reply(
        self, question: Question, response: httpx.Response, sha256: str, ota: str, size: int, body: bytes
    ) -> Reply:
        headers = response.headers
        cookies = headers.get_list("set-cookie")
        token, listed = self._documents(question, response.status_code, body)
        return Reply(
            status=response.status_code,
            sha256=sha256,
            ota=ota,
            size=size,
            name=_name(headers.get("lockstep-activation")),
            token=token,
            listed=listed,
            pin=any(cookie.startswith("lockstep=") for cookie in cookies),
            cache={name: show(headers[name]) for name in (*CACHE_HEADERS, *X_CACHE_STATUS) if name in headers},
        )

    def _documents(self, question: Question, status: int, body: bytes) -> tuple[str, str]:
        """The token of a document, and the hash that it lists for the file that was asked about."""
        if status != OK or not body:
            return "", ""
        try:
            if question.kind is Kind.INFO:
                self.manifest = read_manifest(body, self._subject.mount)
                return self.manifest.token, self.manifest.files.get(self._subject.file, "")
            return read_version(body), ""
        except MalformedError:
            return "", ""


def _name(header: str | None) -> ActivationName | None:
    try:
        return None if header is None else ActivationName.parse(header)
    except LockstepError:
        return None
