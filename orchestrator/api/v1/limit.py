"""How large a body may be: it is read before anybody is asked who sends it. And that a refusal arrives."""

from __future__ import annotations

from anyio import move_on_after
from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api import problems

#: In bytes. Uploads, which are never held in memory, have a limit of their own.
MOST_BYTES = 1024 * 1024
LIMITED = "/api/v1/"
UPLOADS = "/api/v1/releases/"
#: How much of a body that nobody wants is read all the same, in bytes and in seconds. A connection that is closed
#: while its client still sends takes the refusal with it.
READ_ON_BYTES = 64 * 1024 * 1024
READ_ON_SECONDS = 5.0


class Limited:
    """The application, without bodies that are too large for the native API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 at once where the length says so; raise it where more comes than that."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(LIMITED):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limited = not path.startswith(UPLOADS)
        body = _Body(receive, send, MOST_BYTES if limited else None, headers.get("expect") is not None)
        length = headers.get("content-length", "0")
        if limited and length.isascii() and length.isdecimal() and (len(length) > 12 or int(length) > MOST_BYTES):
            await problems.answer(_too_large())(scope, body.receive, body.send)
            return
        await self._app(scope, body.receive, body.send)


class _Body:
    """One request's body on its way in."""

    def __init__(self, receive: Receive, send: Send, most: int | None, waits: bool) -> None:
        self._receive, self._send, self._most = receive, send, most
        #: Whether the client sends nothing before it is asked to.
        self._waits = waits
        self._taken = 0
        self._ended = False

    async def receive(self) -> Message:
        """The next part of it."""
        message = await self._next()
        if self._most is not None and self._taken > self._most:
            raise HTTPException(413, f"A body of more than {self._most} bytes")
        return message

    async def send(self, message: Message) -> None:
        """Pass an answer on; a refusal once the client has sent what it sends."""
        if message["type"] == "http.response.start" and message["status"] >= 400 and not (self._ended or self._waits):
            with move_on_after(READ_ON_SECONDS):
                most = self._taken + READ_ON_BYTES
                while not self._ended and self._taken < most:
                    await self._next()
        await self._send(message)

    async def _next(self) -> Message:
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        self._ended = self._ended or not message.get("more_body", False)
        self._waits = False
        return message


def _too_large() -> problems.TooLargeError:
    return problems.TooLargeError("the body is too large", expected=f"at most {MOST_BYTES} bytes")
