"""What a frontend serves, as a client sees it: over HTTP at the frontend's own address, with the activation's pin.

libcurl asks. 36 requests of a verification, over one connection, on two cores that were shared, CPU of this process:
33.4 ms with httpx, 16.5 with urllib3, 10.9 with h11, 10.5 with http.client, 4.8 with libcurl (2.7 with sockets alone,
which check nothing). A client of its own for each frontend: 0.22 ms with httpx, 0.05 with libcurl.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import ssl
import time
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import pycurl

from inventory.model import Fleet, Frontend
from orchestrator.domain.activation import Activation, ActivationName, Placement
from orchestrator.domain.errors import RefusedError, UnansweredError
from orchestrator.ota.documents import activation_document
from orchestrator.ota.expected import Expected
from workers.frontend.answers import LONGEST_ANSWER, printable

REQUEST_SECONDS = 10.0
#: What is read at once, in bytes.
PIECE_BYTES = 256 << 10
#: An answer's header, in bytes: a frontend of ours sends less than a kilobyte.
LONGEST_HEADER = 64 << 10
#: Every answer names the activation that it comes from.
ACTIVATION_HEADER = "Lockstep-Activation"
COOKIE = "lockstep"
WITHOUT_END = "an answer without an end"
#: By this an installed client tells that it is one.
NATIVE = "OutSystems-client-env: native"
_ACTIVATION = ACTIVATION_HEADER.lower().encode()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the header that names an activation ("" for none), and the body's hash and size.

    `cut`: there was more, which nobody read; hash and size are those of the beginning.
    """

    status: int
    activation: str
    sha256: str
    size: int
    cut: bool = False

    def __str__(self) -> str:
        if self.status != HTTPStatus.OK:
            return f"status {self.status}"
        activation = printable(self.activation) or "(not named)"
        if self.cut:
            return f"at least {self.size} bytes from activation {activation}"
        return f"{self.size} bytes of SHA-256 {self.sha256} from activation {activation}"


@dataclass(slots=True)
class _Reading:
    """One answer, while it comes in. What a callback returns other than nothing ends the transfer."""

    most: float
    deadline: float
    digest: Any = field(default_factory=hashlib.sha256)
    size: int = 0
    header_size: int = 0
    header_ended: bool = False
    activation: str | None = None
    #: Why the rest was not read.
    cut: bool = False
    found: str = ""

    def head(self, line: bytes) -> int | None:
        """A line of the header. A new status line begins anew: what came before was no answer yet."""
        self.header_size += len(line)
        if self.header_size > LONGEST_HEADER:
            self.found = "a header without an end"
            return -1
        if line.startswith(b"HTTP/"):
            self.activation, self.header_ended = None, False
        # Behind the body come trailers, which are no header.
        self.header_ended = self.header_ended or not line.strip()
        if self.header_ended:
            return None
        name, colon, value = line.partition(b":")
        if colon and name.lower() == _ACTIVATION:
            text = value.strip().decode("iso-8859-1")
            # Of two there is no telling which is meant: together they are no activation's name.
            self.activation = text if self.activation is None else f"{self.activation}, {text}"
        return None

    def body(self, piece: bytes) -> int | None:
        """The next bytes, as they were sent."""
        # Each piece may come in time, and the last one never.
        if time.monotonic() > self.deadline:
            self.found = WITHOUT_END
            return -1
        self.digest.update(piece)
        self.size += len(piece)
        if self.size > self.most:
            self.cut = True
            return -1
        return None


@cache
def _trust() -> tuple[int, str] | None:
    """Where the system's certificates are, as OpenSSL has it here: libcurl's own wheel knows no system's place.

    A directory by hashes is read as it is needed, a file of all of them anew for each frontend: 10 ms of CPU.
    """
    paths = ssl.get_default_verify_paths()
    chosen = os.environ.get(paths.openssl_cafile_env) is not None
    if not chosen and paths.capath is not None and any(map(_hashed, Path(paths.capath).iterdir())):
        return pycurl.CAPATH, paths.capath
    return None if paths.cafile is None else (pycurl.CAINFO, paths.cafile)


def _hashed(path: Path) -> bool:
    """Whether it is a certificate by its hash, as `openssl rehash` names it."""
    return re.fullmatch(r"[0-9a-f]{8}\.[0-9]+", path.name) is not None


def _client(seconds: float, *, secure: bool) -> pycurl.Curl:
    """A client without proxies, cookies and redirects, which waits so long for a connection, or for the next bytes."""
    curl = pycurl.Curl()
    for option, value in (
        (pycurl.PROXY, ""),
        (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
        (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
        (pycurl.FOLLOWLOCATION, 0),
        (pycurl.PATH_AS_IS, 1),
        # Steps run in threads.
        (pycurl.NOSIGNAL, 1),
        (pycurl.BUFFERSIZE, PIECE_BYTES),
        (pycurl.CONNECTTIMEOUT_MS, max(1, round(seconds * 1000))),
        (pycurl.LOW_SPEED_LIMIT, 1),
        (pycurl.LOW_SPEED_TIME, math.ceil(seconds)),
    ):
        curl.setopt(option, value)
    if secure and (trust := _trust()) is not None:
        curl.setopt(*trust)
    return curl


class Site:
    """An HTTP client of one base URL. Proxies of the environment are ignored: it is this place that is asked.

    What it reads must have come within `seconds`. One connection serves all requests, one after the other.
    """

    def __init__(self, name: str, base_url: str, seconds: float, host: str | None = None) -> None:
        self._where = f"{name} at {base_url}"
        self._base = base_url
        self._host = [f"Host: {host}"] if host else []
        self._deadline = time.monotonic() + seconds
        self._seconds = min(REQUEST_SECONDS, seconds)
        self._curl: pycurl.Curl | None = None
        self._said: list[str] = []
        self.requests = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._curl is not None:
            self._curl.close()
            self._curl = None

    def get(
        self,
        url: str,
        pin: ActivationName | None,
        accept: str = "*/*",
        *,
        native: bool = False,
        most: int | None = None,
    ) -> Answer:
        """What comes back, of a body longer than `most` bytes the beginning.

        Raises `UnansweredError` where nothing does.
        """
        self.requests += 1
        reading = _Reading(math.inf if most is None else most, self._deadline)
        curl = self._asking(url, self._headers(pin, accept, native), reading)
        try:
            curl.perform()
        except pycurl.error as error:
            if not reading.cut:
                raise self._unanswered(self._words(error, reading)) from error
        status = curl.getinfo(pycurl.RESPONSE_CODE)
        return Answer(status, reading.activation or "", reading.digest.hexdigest(), reading.size, reading.cut)

    def _asking(self, url: str, headers: list[str], reading: _Reading) -> pycurl.Curl:
        """The client, told what is asked next."""
        if self._curl is None:
            self._curl = _client(self._seconds, secure=self._base.startswith("https:"))
        curl = self._curl
        if headers != self._said:
            curl.setopt(pycurl.HTTPHEADER, headers)
            self._said = headers
        curl.setopt(pycurl.URL, self._base + url)
        curl.setopt(pycurl.HEADERFUNCTION, reading.head)
        curl.setopt(pycurl.WRITEFUNCTION, reading.body)
        curl.setopt(pycurl.TIMEOUT_MS, max(1, round((self._deadline - time.monotonic()) * 1000)))
        return curl

    def _words(self, error: pycurl.error, reading: _Reading) -> str:
        """Why there was no answer."""
        code, text = error.args
        if code == pycurl.E_OPERATION_TIMEDOUT and reading.header_size and time.monotonic() >= self._deadline:
            return WITHOUT_END
        return reading.found or printable(str(text)) or f"libcurl's error {code}"

    def _headers(self, pin: ActivationName | None, accept: str, native: bool) -> list[str]:
        headers = [f"Accept: {accept}", "Accept-Encoding: identity", "User-Agent: lockstep", *self._host]
        if native:
            headers.append(NATIVE)
        if pin is not None:
            headers.append(f"Cookie: {COOKIE}={pin}")
        return headers

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
        answer = self.get(f"/-/lockstep/manifest/{placement.segment}", name, most=LONGEST_ANSWER)
        return answer.sha256 if answer.status == HTTPStatus.OK and not answer.cut else ""

    def check(self, expected: Expected, name: ActivationName) -> None:
        """Ask and compare. Raises `RefusedError` where anything else than the expected bytes comes back."""
        most = LONGEST_ANSWER if expected.size is None else expected.size
        answer = self.get(expected.url, name, expected.accept, native=expected.native, most=most)
        if expected.sha256 is None:
            right, wanted = answer.status == HTTPStatus.NOT_FOUND, "status 404"
        else:
            right = answer.status == HTTPStatus.OK and answer.sha256 == expected.sha256
            wanted = f"SHA-256 {expected.sha256}"
        if not right or (expected.pinned and answer.activation != str(name)):
            raise self._differs(
                f"serves something else at {expected.url}" + (" to native clients" if expected.native else ""),
                f"{wanted} from activation {name}" if expected.pinned else wanted,
                str(answer),
            )

    def check_activation(self, activation: Activation, pin: ActivationName | None) -> None:
        """What `/-/lockstep/activation` answers, with a pin or as a new client sees it."""
        document = activation_document(activation)
        answer = self.get("/-/lockstep/activation", pin, most=len(document))
        wanted = hashlib.sha256(document).hexdigest()
        if answer.status != HTTPStatus.OK or answer.sha256 != wanted:
            found = printable(answer.activation) or str(answer)
            raise self._differs("serves another activation", str(activation.name), found)

    def drained(self) -> bool:
        """Whether its own health answer keeps it out of rotation."""
        return self.get("/-/lockstep/health", None, most=LONGEST_ANSWER).status != HTTPStatus.OK

    def _differs(self, what: str, expected: str, found: str) -> RefusedError:
        return RefusedError(
            what,
            where=self._frontend.name,
            expected=expected,
            found=found,
            remedy="see that its web server has the recipe and serves the root that the inventory names",
        )
