"""One connection that is kept, and what goes over it: one request at a time."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import httpx


class OversizeError(Exception):
    """A body is longer than the limit."""


class Lane:
    """It uses httpx's transport without httpx's client: what the client adds, above all redirects, is not wanted here,
    and costs as much as the request. `on_resent` hears of each request that was sent again.
    """

    def __init__(self, trust: ssl.SSLContext, on_resent: Callable[[], None]) -> None:
        self._on_resent = on_resent
        self._kept = False
        self._transport = httpx.AsyncHTTPTransport(
            verify=trust,
            # No proxy of the environment may stand in between.
            trust_env=False,
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
        )

    async def exchange(self, request: httpx.Request, limit: int) -> tuple[httpx.Response, bytes]:
        """The answer, and its body of at most `limit` bytes, else `OversizeError`. Raises what httpx raises."""
        response = await self._send(request)
        try:
            body = await _read(response, limit)
        finally:
            await response.aclose()
        self._kept = True
        return response, body

    async def close(self) -> None:
        """End the connection."""
        await self._transport.aclose()

    async def _send(self, request: httpx.Request) -> httpx.Response:
        kept, self._kept = self._kept, False
        try:
            return await self._transport.handle_async_request(request)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            # A server may close a kept connection just as a request goes out; every client asks again then
            # (RFC 9110, section 9.2.2). On a new connection there is no such excuse.
            if not kept:
                raise
        self._on_resent()
        return await self._transport.handle_async_request(request)


async def _read(response: httpx.Response, limit: int) -> bytes:
    chunks = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > limit:
            raise OversizeError
        chunks.append(chunk)
    return b"".join(chunks)
