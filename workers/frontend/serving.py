"""What a frontend serves, as a client sees it: over HTTP at the frontend's own address, with the activation's pin."""

from __future__ import annotations

import hashlib
import ssl
import time
from dataclasses import dataclass
from functools import cache
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from typing import Self
from urllib.request import Request

import httpx

from inventory.model import Fleet, Frontend
from orchestrator.domain.activation import Activation, ActivationName, Placement
from orchestrator.domain.errors import RefusedError, UnansweredError
from orchestrator.ota.documents import activation_document
from orchestrator.ota.expected import Expected
from workers.frontend.answers import printable

REQUEST_SECONDS = 10.0
#: Every answer names the activation that it comes from.
ACTIVATION_HEADER = "Lockstep-Activation"
COOKIE = "lockstep"
#: By this an installed client tells that it is one.
NATIVE = {"OutSystems-client-env": "native"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the header that names an activation ("" for none), and the body's hash and size."""

    status: int
    activation: str
    sha256: str
    size: int

    def __str__(self) -> str:
        if self.status != httpx.codes.OK:
            return f"status {self.status}"
        return (
            f"{self.size} bytes of SHA-256 {self.sha256} from activation {printable(self.activation) or '(not named)'}"
        )


class _NoCookies(CookieJar):
    """Each request says its own pin, or none: what a frontend sets is not kept."""

    def extract_cookies(self, response: HTTPResponse, request: Request) -> None:
        """Whatever it is."""


@cache
def _trust() -> ssl.SSLContext:
    """Read once: that takes as long as many requests."""
    return httpx.create_ssl_context(trust_env=False)


class Site:
    """An HTTP client of one base URL. Proxies of the environment are ignored: it is this place that is asked.

    What it reads must have come within `seconds`.
    """

    def __init__(self, name: str, base_url: str, seconds: float, host: str | None = None) -> None:
        self._where = f"{name} at {base_url}"
        self._client = httpx.Client(
            base_url=base_url,
            headers={"Accept-Encoding": "identity", **({"Host": host} if host else {})},
            timeout=min(REQUEST_SECONDS, seconds),
            cookies=_NoCookies(),
            verify=_trust(),
            trust_env=False,
        )
        self._deadline = time.monotonic() + seconds
        self.requests = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def get(self, url: str, pin: ActivationName | None, accept: str = "*/*", *, native: bool = False) -> Answer:
        """What comes back. Raises `UnansweredError` where nothing does."""
        headers = {"Accept": accept, **(NATIVE if native else {})}
        if pin is not None:
            headers["Cookie"] = f"{COOKIE}={pin}"
        digest, size = hashlib.sha256(), 0
        self.requests += 1
        try:
            with self._client.stream("GET", url, headers=headers) as answer:
                for piece in answer.iter_raw():
                    # Each piece may come in time, and the last one never.
                    if time.monotonic() > self._deadline:
                        raise self._unanswered("an answer without an end")
                    digest.update(piece)
                    size += len(piece)
                return Answer(answer.status_code, answer.headers.get(ACTIVATION_HEADER, ""), digest.hexdigest(), size)
        except httpx.HTTPError as error:
            raise self._unanswered(printable(str(error)) or type(error).__name__) from error

    def _unanswered(self, found: str) -> UnansweredError:
        return UnansweredError(
            "the frontend's web server does not answer",
            where=self._where,
            expected="an answer to HTTP",
            found=found,
            remedy="see that its web server runs and that `url` in the inventory is its own address",
        )


class Served(Site):
    """A client of one frontend. `seconds` are the fleet's `verify_seconds` where none are given."""

    def __init__(self, fleet: Fleet, frontend: Frontend, seconds: float | None = None) -> None:
        limit = fleet.policy.verify_seconds if seconds is None else seconds
        super().__init__(frontend.name, frontend.base_url, limit, fleet.host)
        self._frontend = frontend

    def manifest_digest(self, placement: Placement, name: ActivationName) -> str:
        """The SHA-256 of the app's manifest as it is served under the pin; "" where none is."""
        answer = self.get(f"/-/lockstep/manifest/{placement.segment}", name)
        return answer.sha256 if answer.status == httpx.codes.OK else ""

    def check(self, expected: Expected, name: ActivationName) -> None:
        """Ask and compare. Raises `RefusedError` where anything else than the expected bytes comes back."""
        answer = self.get(expected.url, name, expected.accept, native=expected.native)
        if expected.sha256 is None:
            right, wanted = answer.status == httpx.codes.NOT_FOUND, "status 404"
        else:
            right = answer.status == httpx.codes.OK and answer.sha256 == expected.sha256
            wanted = f"SHA-256 {expected.sha256}"
        if not right or (expected.pinned and answer.activation != str(name)):
            raise self._differs(
                f"serves something else at {expected.url}" + (" to native clients" if expected.native else ""),
                f"{wanted} from activation {name}" if expected.pinned else wanted,
                str(answer),
            )

    def check_activation(self, activation: Activation, pin: ActivationName | None) -> None:
        """What `/-/lockstep/activation` answers, with a pin or as a new client sees it."""
        answer = self.get("/-/lockstep/activation", pin)
        wanted = hashlib.sha256(activation_document(activation)).hexdigest()
        if answer.status != httpx.codes.OK or answer.sha256 != wanted:
            found = printable(answer.activation) or str(answer)
            raise self._differs("serves another activation", str(activation.name), found)

    def drained(self) -> bool:
        """Whether its own health answer keeps it out of rotation."""
        return self.get("/-/lockstep/health", None).status != httpx.codes.OK

    def _differs(self, what: str, expected: str, found: str) -> RefusedError:
        return RefusedError(
            what,
            where=self._frontend.name,
            expected=expected,
            found=found,
            remedy="see that its web server has the recipe and serves the root that the inventory names",
        )
