"""What a frontend serves, as a client sees it: over HTTP at the frontend's own address, with the activation's pin.

libcurl asks. 36 requests of a verification, over one connection, on two cores that were shared, CPU of this process:
33.4 ms with httpx, 16.5 with urllib3, 10.9 with h11, 10.5 with http.client, 4.8 with libcurl (2.7 with sockets alone,
which check nothing). A client of its own for each frontend: 0.22 ms with httpx, 0.05 with libcurl.

64 frontends from 48 threads, 80 requests each, one nginx on the same two cores, CPU of this process: 0.9 to 2.7 s where
each thread runs its own transfers (the more, the more they meet at the interpreter's lock), 0.5 to 0.7 s by way of the
exchange; 0.9 to 2.0 s until all are done, and 0.6 to 1.3. One frontend at a time costs more that way: 16 ms, not 11.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Self, TypeVar

import pycurl

from inventory.model import Fleet, Frontend
from orchestrator.domain.activation import Activation, ActivationName, Placement
from orchestrator.domain.errors import RefusedError, UnansweredError
from orchestrator.ota.documents import activation_document
from orchestrator.ota.expected import Expected
from workers.frontend.answers import LONGEST_ANSWER, printable
from workers.frontend.exchange import EXCHANGE, Exchange, Failure, Series
from workers.frontend.reading import WITHOUT_END, Answer, Reading

T = TypeVar("T")

REQUEST_SECONDS = 10.0
#: What is read at once, in bytes.
PIECE_BYTES = 256 << 10
COOKIE = "lockstep"
#: By this an installed client tells that it is one.
NATIVE = "OutSystems-client-env: native"


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


def _own() -> pycurl.CurlShare:
    """What a client shares with no other: in the exchange they would use each other's connections, and leave theirs.

    It ends what it still has when it is closed.
    """
    share = pycurl.CurlShare()
    share.share(pycurl.LOCK_DATA_CONNECT, pycurl.LOCK_DATA_DNS, pycurl.LOCK_DATA_SSL_SESSION)
    return share


def _client(seconds: float, share: pycurl.CurlShare, *, secure: bool) -> pycurl.Curl:
    """A client without proxies, cookies and redirects, which waits so long for a connection, or for the next bytes."""
    curl = pycurl.Curl()
    for option, value in (
        (pycurl.PROXY, ""),
        (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
        (pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1),
        (pycurl.FOLLOWLOCATION, 0),
        (pycurl.PATH_AS_IS, 1),
        (pycurl.SHARE, share),
        # It is no main thread's.
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

    def __init__(
        self, name: str, base_url: str, seconds: float, host: str | None = None, exchange: Exchange = EXCHANGE
    ) -> None:
        self._where = f"{name} at {base_url}"
        self._base = base_url
        self._host = [f"Host: {host}"] if host else []
        self._deadline = time.monotonic() + seconds
        self._exchange = exchange
        self._own = _own()
        secure = base_url.startswith("https:")
        self._curl = _client(min(REQUEST_SECONDS, seconds), self._own, secure=secure)
        self._said: list[str] = []
        self.requests = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._curl.close()
        self._own.close()

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
        return self._run(self._asked(url, pin, accept, native=native, most=most))

    def _run(self, series: Series[T]) -> T:
        """All requests of a series, one after the other."""
        return self._exchange.ask(self._curl, series)

    def _asked(
        self,
        url: str,
        pin: ActivationName | None,
        accept: str = "*/*",
        *,
        native: bool = False,
        most: int | None = None,
    ) -> Series[Answer]:
        """One request of a series."""
        self.requests += 1
        reading = Reading(math.inf if most is None else most, self._deadline)
        curl = self._told(url, self._headers(pin, accept, native), reading)
        failure = yield
        # What was cut short on purpose is a failure to libcurl alone.
        if why := reading.wrong or ("" if failure is None or reading.cut else self._words(failure, reading)):
            raise self._unanswered(why)
        return reading.answer(curl.getinfo(pycurl.RESPONSE_CODE))

    def _told(self, url: str, headers: list[str], reading: Reading) -> pycurl.Curl:
        """The client, told what is asked next."""
        curl = self._curl
        if headers != self._said:
            curl.setopt(pycurl.HTTPHEADER, headers)
            self._said = headers
        curl.setopt(pycurl.URL, self._base + url)
        curl.setopt(pycurl.HEADERFUNCTION, reading.lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, reading.body)
        curl.setopt(pycurl.TIMEOUT_MS, max(1, round((self._deadline - time.monotonic()) * 1000)))
        return curl

    def _words(self, failure: Failure, reading: Reading) -> str:
        """Why there was no answer."""
        code, text = failure
        # libcurl's clock has whole milliseconds.
        over = time.monotonic() >= self._deadline - 0.002
        if code == pycurl.E_OPERATION_TIMEDOUT and reading.lines and over:
            return WITHOUT_END
        # The multi handle gives no words of its own where the transfer has left none.
        said = text.encode(errors="surrogateescape").decode(errors="replace") or pycurl.easy_strerror(code)
        return printable(said) or f"libcurl's error {code}"

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


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verification saw: the served manifests' SHA-256 by app ("" for none), and how many answers were right."""

    digests: Mapping[str, str]
    files: int


class Served(Site):
    """A client of one frontend. `seconds` are the fleet's `verify_seconds` where none are given."""

    def __init__(
        self, fleet: Fleet, frontend: Frontend, seconds: float | None = None, exchange: Exchange = EXCHANGE
    ) -> None:
        limit = fleet.policy.verify_seconds if seconds is None else seconds
        super().__init__(frontend.name, frontend.base_url, limit, fleet.host, exchange)
        self._frontend = frontend

    def verifying(
        self, activation: Activation, expected: Iterable[Expected], *, unpinned: bool = False
    ) -> AbstractContextManager[Callable[[], Verified]]:
        """All of a verification, in one series that ends at the first answer that is wrong, while the caller goes on.

        What the context gives waits for the end of it; who leaves the context before gives it up.

        First the manifests; where they are right also the activation's document and all that is expected. `unpinned`:
        last what a new client is served. `expected` is drawn from in the exchange's thread, as the answers come.

        That raises `RefusedError` where anything else comes back, `UnansweredError` where nothing does.
        """
        return self._exchange.asking(self._curl, self._verified(activation, expected, unpinned=unpinned))

    def manifest_digest(self, placement: Placement, name: ActivationName) -> str:
        """The SHA-256 of the app's manifest as it is served under the pin; "" where none is."""
        return self._run(self._manifest_digest(placement, name))

    def check(self, expected: Expected, name: ActivationName) -> None:
        """Ask and compare. Raises `RefusedError` where anything else than the expected bytes comes back."""
        self._run(self._checked(expected, name))

    def check_activation(self, activation: Activation, pin: ActivationName | None) -> None:
        """What `/-/lockstep/activation` answers, with a pin or as a new client sees it."""
        self._run(self._checked_activation(activation, pin))

    def drained(self) -> bool:
        """Whether its own health answer keeps it out of rotation."""
        return self.get("/-/lockstep/health", None, most=LONGEST_ANSWER).status != HTTPStatus.OK

    def _verified(self, activation: Activation, expected: Iterable[Expected], *, unpinned: bool) -> Series[Verified]:
        name, digests, files = activation.name, dict[str, str](), 0
        for placement in activation.placements:
            digests[placement.app] = yield from self._manifest_digest(placement, name)
        # Where a digest differs, the fleet's verdict says so; asking for files would only repeat it.
        if all(digests[p.app] == p.digest for p in activation.placements):
            yield from self._checked_activation(activation, name)
            for one in expected:
                yield from self._checked(one, name)
                files += 1
        if unpinned:
            yield from self._checked_activation(activation, None)
        return Verified(digests, files)

    def _manifest_digest(self, placement: Placement, name: ActivationName) -> Series[str]:
        answer = yield from self._asked(f"/-/lockstep/manifest/{placement.segment}", name, most=LONGEST_ANSWER)
        return answer.sha256 if answer.status == HTTPStatus.OK and not answer.cut else ""

    def _checked(self, expected: Expected, name: ActivationName) -> Series[None]:
        most = LONGEST_ANSWER if expected.size is None else expected.size
        answer = yield from self._asked(expected.url, name, expected.accept, native=expected.native, most=most)
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

    def _checked_activation(self, activation: Activation, pin: ActivationName | None) -> Series[None]:
        document = activation_document(activation)
        answer = yield from self._asked("/-/lockstep/activation", pin, most=len(document))
        wanted = hashlib.sha256(document).hexdigest()
        if answer.status != HTTPStatus.OK or answer.sha256 != wanted:
            found = printable(answer.activation) or str(answer)
            raise self._differs("serves another activation", str(activation.name), found)

    def _differs(self, what: str, expected: str, found: str) -> RefusedError:
        return RefusedError(
            what,
            where=self._frontend.name,
            expected=expected,
            found=found,
            remedy="see that its web server has the recipe and serves the root that the inventory names",
        )
