"""One client's HTTP: few connections, one cookie jar, no redirects. What comes back is not judged here."""

from __future__ import annotations

import asyncio
import ssl
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Self

import httpx

from orchestrator.ota.answers import Answer, NoAnswer
from orchestrator.ota.asking import Got
from orchestrator.ota.lane import Lane, OversizeError
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
    Want.PRECACHE: {"Accept": "application/json"},
    Want.BY_HASH: {"Accept": "*/*"},
    Want.DOCUMENT: {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Dest": "document"},
    Want.PART: {"Accept": "*/*", "Sec-Fetch-Dest": "empty"},
}
#: What is asked for with another stamp each time.
_STAMPED = frozenset({Want.VERSION, Want.PRECACHE})
#: How many built requests are kept.
_REQUESTS = 4_096


@dataclass(frozen=True, slots=True)
class Limits:
    """What one answer may take: seconds from the request to the last byte (the stock clients': 30), bytes of body."""

    seconds: float = 30.0
    body: int = 64 * 1024 * 1024


class Fetcher:
    """Fetches for one client. An asynchronous context manager: it holds a connection, and more while it fetches more
    than one thing at once. Between upgrades a thousand clients should have a thousand connections, not five thousand.
    """

    def __init__(self, target: Target, tally: Tally, limits: Limits, trust: ssl.SSLContext) -> None:
        self._target = target
        self._tally = tally
        self._limits = limits
        self._trust = trust
        self._cookies = httpx.Cookies()
        self._requests: dict[Ask, httpx.Request] = {}
        self._first = self._lane()
        self._more: list[Lane] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close_more()
        await self._first.close()

    async def fetch_all(self, asks: Sequence[Ask]) -> tuple[Got, ...]:
        """What came back to each, asked for at once, over as many connections."""
        if len(asks) == 1:
            return (await self.fetch(asks[0]),)
        while len(self._more) < len(asks) - 1:
            self._more.append(self._lane())
        lanes = (self._first, *self._more)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._fetch(ask, lane)) for ask, lane in zip(asks, lanes, strict=False)]
        return tuple(task.result() for task in tasks)

    async def fetch(self, ask: Ask) -> Got:
        """What came back. Whatever a server does, this is the answer to it: nothing is raised."""
        if self._more:
            await self._close_more()
        return await self._fetch(ask, self._first)

    async def _fetch(self, ask: Ask, lane: Lane) -> Got:
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await self._exchange(ask, lane)
        except (TimeoutError, httpx.TimeoutException):
            fault = Fault(Kind.TIMEOUT, f"the whole answer within {self._limits.seconds:g} s", "not all of it")
        except OversizeError:
            fault = Fault(Kind.OVERSIZE, f"at most {self._limits.body} bytes", "more")
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            fault = Fault(Kind.MALFORMED, "an answer that can be decoded", _named(error))
        except httpx.HTTPError as error:
            fault = Fault(Kind.CONNECTION, "an answer", _named(error))
        return NoAnswer(fault)

    async def _exchange(self, ask: Ask, lane: Lane) -> Answer:
        request = self._request(ask)
        response, body = await lane.exchange(request, self._limits.body)
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

    def _lane(self) -> Lane:
        return Lane(self._trust, self._resent)

    def _resent(self) -> None:
        self._tally.resent += 1

    async def _close_more(self) -> None:
        more, self._more = self._more, []
        for lane in more:
            await lane.close()

    def _request(self, ask: Ask) -> httpx.Request:
        """Building a request costs as much as sending it, and most are asked again."""
        request = self._requests.get(ask)
        if request is None:
            request = httpx.Request("GET", self._target.base_url + ask.url, headers=_HEADERS | _DRESS[ask.want])
            self._cookies.set_cookie_header(request)
            if ask.want not in _STAMPED:
                if len(self._requests) >= _REQUESTS:
                    self._requests.clear()
                self._requests[ask] = request
        return request


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
