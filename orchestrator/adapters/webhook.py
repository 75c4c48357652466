"""Hooks out over HTTP: a signed POST of an event, in the form of Standard Webhooks (docs/notices.md)."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache

import httpx
from pydantic import AnyHttpUrl

from inventory.hooks import Webhook
from orchestrator.adapters import secrets
from orchestrator.domain.delivery import WEBHOOK_PATIENCE, Answer, event_of, matches
from orchestrator.domain.errors import Problem
from orchestrator.domain.signature import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from orchestrator.domain.trail import Entry
from orchestrator.ports import SEND_SECONDS, Clock

#: How much of an answer's body is read, in bytes. Nothing in it counts.
MOST_READ = 64 * 1024
#: The answer that says that nobody is there any more.
GONE = 410
#: Answers whose `Retry-After` counts.
ASK_TO_WAIT = (429, 503)


@dataclass(frozen=True, slots=True)
class WebhookReceiver:
    """`orchestrator.ports.Receiver`. The address is the operator's own; what may be secret in it is never told."""

    hook: Webhook
    clock: Clock
    seconds: float = SEND_SECONDS

    @property
    def name(self) -> str:
        """What the outbox calls it."""
        return f"webhook/{self.hook.name}"

    @property
    def patience(self) -> timedelta:
        """How long an event is tried."""
        return WEBHOOK_PATIENCE

    def wants(self, entry: Entry) -> bool:
        """Whether it is to be told of this event."""
        return matches(entry, self.hook.events, self.hook.fleets)

    def send(self, delivery: str, entry: Entry) -> Answer:
        """POST it, signed with every key of the file, which is read anew each time. `LockstepError` where it can't be.

        So whoever turns a key over writes the new one above the old one, until the receiver knows it.
        """
        keys = secrets.keys(self.hook.secret_file)
        now = self.clock()
        body = json.dumps(event_of(entry), separators=(",", ":")).encode()
        timestamp = int(now.timestamp())
        headers = {
            "content-type": "application/json",
            "user-agent": "lockstep",
            ID_HEADER: delivery,
            TIMESTAMP_HEADER: str(timestamp),
            SIGNATURE_HEADER: " ".join(sign(key, timestamp, body, delivery) for key in keys),
        }
        return asyncio.run(self._post(body, headers, now))

    async def _post(self, body: bytes, headers: dict[str, str], now: datetime) -> Answer:
        """One request, within the time as a whole, however slowly the other side sends."""
        answers: list[Answer] = []

        def heard(response: httpx.Response) -> None:
            answers.append(_judged(response, place(self.hook.url), now))

        try:
            async with asyncio.timeout(self.seconds):
                await _exchange(str(self.hook.url), body, headers, heard)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
            # What comes after the status counts for nothing.
            return answers[0] if answers else self._unanswered(error)
        return answers[0]

    def _unanswered(self, error: Exception) -> Answer:
        """No answer. The error's own text may repeat the address, so it is not told."""
        what, found = "the receiver can't be reached", type(error).__name__
        if isinstance(error, TimeoutError | httpx.TimeoutException):
            what, found = f"the receiver did not answer within {self.seconds:g} s", ""
        elif any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(error)):
            found = "its TLS certificate is not trusted"
        elif any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
            found = "no TLS that both sides know"
        return Answer(taken=False, problem=Problem(what, where=place(self.hook.url), found=found))


async def _exchange(url: str, body: bytes, headers: dict[str, str], heard: Callable[[httpx.Response], None]) -> None:
    """Send the request, tell `heard` of the answer's head, and read the beginning of its body."""
    async with (
        httpx.AsyncClient(verify=_tls(), follow_redirects=False, timeout=SEND_SECONDS) as client,
        client.stream("POST", url, content=body, headers=headers) as response,
    ):
        heard(response)
        read = 0
        async for chunk in response.aiter_raw():
            read += len(chunk)
            if read > MOST_READ:
                return


def place(url: AnyHttpUrl) -> str:
    """An address as it may be told: without user, password, path and query, all of which may be secret."""
    return f"{url.scheme}://{url.host}:{url.port}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came of."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _judged(response: httpx.Response, where: str, now: datetime) -> Answer:
    status = response.status_code
    if 200 <= status < 300:
        return Answer(taken=True, status=status)
    remedy = ""
    if 300 <= status < 400:
        remedy = "redirects are not followed: put the last address into hooks.yml"
    elif status == GONE:
        remedy = "the receiver wants nothing any more: remove it from hooks.yml"
    problem = Problem("the receiver did not take it", where=where, expected="2xx", found=str(status), remedy=remedy)
    wait = _retry_after(response.headers.get("retry-after", ""), now) if status in ASK_TO_WAIT else None
    return Answer(taken=False, status=status, problem=problem, wait=wait, gone=status == GONE)


def _retry_after(text: str, now: datetime) -> float | None:
    """`Retry-After` in seconds from now, as a number or as a date; None for anything else (RFC 9110, 10.2.3)."""
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
        return (when - now).total_seconds()
    except (ValueError, TypeError, OverflowError):
        # No date, or one without a zone.
        return None


@cache
def _tls() -> ssl.SSLContext:
    """Certificates are checked, against SSL_CERT_FILE or SSL_CERT_DIR where one is set. Made once: it takes long."""
    return httpx.create_ssl_context()
