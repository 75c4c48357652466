"""How large a body may be: it is read before anybody is asked who sends it."""

from __future__ import annotations

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api import problems

#: In bytes. Uploads, which are never held in memory, have a limit of their own.
MOST_BYTES = 1024 * 1024
LIMITED = "/api/v1/"
UPLOADS = "/api/v1/releases/"


class Limited:
    """The application, without bodies that are too large for the native API."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 413 at once where the length says so; raise it where more comes than that."""
        path = scope.get("path", "")
        if scope["type"] != "http" or not path.startswith(LIMITED) or path.startswith(UPLOADS):
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "0")
        if length.isascii() and length.isdecimal() and (len(length) > 12 or int(length) > MOST_BYTES):
            await problems.answer(_too_large())(scope, receive, send)
            return
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > MOST_BYTES:
                raise HTTPException(413, f"A body of more than {MOST_BYTES} bytes")
            return message

        await self._app(scope, counted, send)


def _too_large() -> problems.TooLargeError:
    return problems.TooLargeError("the body is too large", expected=f"at most {MOST_BYTES} bytes")
