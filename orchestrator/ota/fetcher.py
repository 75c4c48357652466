"""One client's HTTP: one connection that is kept, one cookie jar, no redirects. What comes back is not judged here."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Self

import httpx

from orchestrator.ota.answers import Answer, NoAnswer
from orchestrator.ota.tally import Fault, Kind, Tally
from orchestrator.ota.target import Ask, Target, Want

_HEADERS = {
    "User-Agent": f"lockstep-observe/{version('lockstep-deploy')}",
    "Lockstep-Observer": "1",
    "Accept-Encoding": "gzip, deflate",
}
#: How requests are dressed. Devices send no Sec-Fetch-Dest; documents and parts are asked for as a browser does.
_DRESS = {
    Want.VERSION: {"Accept": "application/json"},
    Want.MANIFEST: {"Accept": "application/json"},
    Want.BY_HASH: {"Accept": "*/*"},
    Want.DOCUMENT: {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Dest": "document"},
    Want.PART: {"Accept": "*/*", "Sec-Fetch-Dest": "empty"},
}
#: How many built requests are kept.
_REQUESTS = 4_096


@dataclass(frozen=True, slots=True)
class Limits:
    """What one answer may take: seconds from the request to the last byte (the stock clients': 30), bytes of body."""

    seconds: float = 30.0
    body: int = 64 * 1024 * 1024


class OversizeError(Exception):
    """A body is longer than the limit."""


class Fetcher:
    """Fetches for one client. An asynchronous context manager: it holds a connection.

    It uses httpx's transport without httpx's client: what the client adds, above all redirects, is not wanted here,
    and costs as much as the request.
    """

    def __init__(self, target: Target, tally: Tally, limits: Limits, trust: ssl.SSLContext) -> None:
        self._target = target
        self._tally = tally
        self._limits = limits
        self._cookies = httpx.Cookies()
        self._requests: dict[Ask, httpx.Request] = {}
        self._kept = False
        self._transport = httpx.AsyncHTTPTransport(
            verify=trust,
            # No proxy of the environment may stand in between.
            trust_env=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
        )

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.__aexit__(kind, error, trace)

    async def fetch(self, ask: Ask) -> Answer | NoAnswer:
        """What came back. Whatever a server does, this is the answer to it: nothing is raised."""
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await self._exchange(ask)
        except (TimeoutError, httpx.TimeoutException):
            fault = Fault(Kind.TIMEOUT, f"the whole answer within {self._limits.seconds:g} s", "not all of it")
        except OversizeError:
            fault = Fault(Kind.OVERSIZE, f"at most {self._limits.body} bytes", "more")
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            fault = Fault(Kind.MALFORMED, "an answer that can be decoded", _named(error))
        except httpx.HTTPError as error:
            fault = Fault(Kind.CONNECTION, "an answer", _named(error))
        return NoAnswer(fault)

    async def _exchange(self, ask: Ask) -> Answer:
        request = self._request(ask)
        response = await self._send(request)
        try:
            body = await self._read(response)
        finally:
            await response.aclose()
        self._kept = True
        headers = response.headers
        if "set-cookie" in headers:
            response.request = request
            self._keep_cookies(response)
            # Built requests carry the cookies of the time when they were built.
            self._requests.clear()
        return Answer(response.status_code, body, headers.get("lockstep-activation"), headers.get("location"))

    def _keep_cookies(self, response: httpx.Response) -> None:
        """What is no cookie, and what could not be sent back, is left out."""
        # Python's jar warns of what is no cookie as of a fault of its own.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._cookies.extract_cookies(response)
        for cookie in list(self._cookies.jar):
            text = f"{cookie.name}{cookie.value or ''}{cookie.path}{cookie.domain}"
            if not text.isascii() or not text.isprintable():
                self._cookies.jar.clear(cookie.domain, cookie.path, cookie.name)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        kept, self._kept = self._kept, False
        try:
            return await self._transport.handle_async_request(request)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            # A server may close a kept connection just as a request goes out; every client asks again then
            # (RFC 9110, section 9.2.2). On a new connection there is no such excuse.
            if not kept:
                raise
        self._tally.resent += 1
        return await self._transport.handle_async_request(request)

    async def _read(self, response: httpx.Response) -> bytes:
        chunks = []
        size = 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > self._limits.body:
                raise OversizeError
            chunks.append(chunk)
        return b"".join(chunks)

    def _request(self, ask: Ask) -> httpx.Request:
        """Building a request costs as much as sending it, and most are asked again."""
        request = self._requests.get(ask)
        if request is None:
            request = httpx.Request("GET", self._target.base_url + ask.url, headers=_HEADERS | _DRESS[ask.want])
            self._cookies.set_cookie_header(request)
            if ask.want is not Want.VERSION:
                if len(self._requests) >= _REQUESTS:
                    self._requests.clear()
                self._requests[ask] = request
        return request


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
