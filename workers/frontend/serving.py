"""What a frontend serves, as a client sees it: over HTTP at the frontend's own address, with the activation's pin."""

from __future__ import annotations

import hashlib
import random
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from urllib.request import Request

import httpx

from inventory.model import Fleet, Frontend
from orchestrator.domain.activation import Activation, ActivationName, Placement
from orchestrator.domain.described import Described
from orchestrator.domain.errors import RefusedError, UnansweredError
from orchestrator.domain.release import Manifest
from orchestrator.ota.documents import ENTRY, activation_document, documents, url_path
from orchestrator.ota.native import installed_documents, native_files
from workers.frontend.answers import printable

REQUEST_SECONDS = 10.0
#: Every answer names the activation that it comes from.
ACTIVATION_HEADER = "Lockstep-Activation"
COOKIE = "lockstep"
#: By this an installed client tells that it is one.
NATIVE = {"OutSystems-client-env": "native"}


@dataclass(frozen=True, slots=True)
class Expected:
    """One request and the bytes that must come back; None: 404. `pinned`: the pin's activation answers, and says so.

    `native`: it is asked as an installed client asks.
    """

    url: str
    sha256: str | None
    pinned: bool = True
    accept: str = "*/*"
    native: bool = False


def expectations(
    activation: Activation,
    releases: Mapping[str, Described],
    previous: Mapping[str, Manifest],
    sample: int | None,
    seed: str,
) -> Iterator[tuple[Placement, Expected]]:
    """What to ask for: each app's documents and entry, the files that changed, and `sample` of the rest (None: all).

    `previous` maps apps to the manifests that were served before. `seed` chooses the sample, so that each frontend of
    a fleet is asked for others.
    """
    for placement in activation.placements:
        release = releases[placement.digest]
        manifest = release.manifest
        made = documents(placement, release)
        services = f"{placement.mount}moduleservices/"
        for url, content, pinned in (
            (f"{services}moduleversioninfo", made.version, True),
            (f"{services}moduleinfo?{made.token}", made.info, False),
            (f"{placement.mount}precache.manifest", made.precache, True),
        ):
            yield placement, Expected(url, hashlib.sha256(content).hexdigest(), pinned)
        entry = manifest.by_path.get(ENTRY)
        if entry is not None:
            yield placement, Expected(placement.mount, entry.sha256, accept="text/html")
        for path in chosen(manifest, previous.get(placement.app), sample, f"{seed}/{placement.app}"):
            file = manifest.by_path[path]
            url = url_path(placement.url(path))
            yield placement, Expected(url, file.sha256)
            yield placement, Expected(f"{url}?{file.ota}", file.sha256, pinned=False)
        for expected in native_expectations(placement, releases, sample, seed):
            yield placement, expected


def native_expectations(
    placement: Placement, releases: Mapping[str, Described], sample: int | None, seed: str
) -> Iterator[Expected]:
    """What installed clients of a store-only app must be answered: the version that they have, and nothing newer."""
    if not placement.store_only:
        return
    version, info, precache = (
        f"{placement.mount}{document}"
        for document in ("moduleservices/moduleversioninfo", "moduleservices/moduleinfo", "precache.manifest")
    )
    installed = installed_documents(placement, releases)
    files = native_files(placement, installed)
    for url, name in ((version, "moduleversioninfo"), (info, "moduleinfo"), (precache, "precache")):
        content = files.get(f"native/{name}.json")
        yield Expected(url, None if content is None else hashlib.sha256(content).hexdigest(), native=True)
    for held, made in installed.items():
        told = hashlib.sha256(made.version).hexdigest()
        # By the header, and by the token alone.
        yield Expected(f"{version}?{made.token}", told, native=True)
        yield Expected(f"{version}?{made.token}", told)
        yield Expected(f"{info}?{made.token}", hashlib.sha256(made.info).hexdigest(), pinned=False, native=True)
        manifest = releases[held.digest].manifest
        for path in chosen(manifest, manifest, sample, f"{seed}/{placement.app}/{made.token}"):
            file = manifest.by_path[path]
            url = f"{url_path(placement.url(path))}?{file.ota}"
            yield Expected(url, file.sha256, pinned=False, native=True)


def chosen(manifest: Manifest, previous: Manifest | None, sample: int | None, seed: str) -> list[str]:
    """The paths to check: those whose content is new, and `sample` of the others."""
    before = {} if previous is None else previous.by_path
    changed = [f.path for f in manifest if f.path not in before or before[f.path].sha256 != f.sha256]
    rest = sorted(set(manifest.by_path) - set(changed))
    if sample is None:
        return sorted(manifest.by_path)
    # Not for secrecy: the choice only spreads the checks.
    picked = random.Random(seed).sample(rest, min(sample, len(rest)))  # noqa: S311
    return sorted([*(changed if previous is not None else _spread(changed, sample, seed)), *picked])


def _spread(changed: Sequence[str], sample: int, seed: str) -> list[str]:
    """Of an app's first release everything is new; the sample stands for all of it."""
    return random.Random(seed).sample(changed, min(max(sample, 1), len(changed)))  # noqa: S311


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


class Served:
    """An HTTP client of one frontend. Proxies of the environment are ignored: it is this frontend that is asked.

    What it reads must have come within the fleet's `verify_seconds`.
    """

    def __init__(self, fleet: Fleet, frontend: Frontend) -> None:
        self._frontend = frontend
        headers = {"Accept-Encoding": "identity", **({"Host": fleet.host} if fleet.host else {})}
        self._client = httpx.Client(
            base_url=frontend.base_url,
            headers=headers,
            timeout=REQUEST_SECONDS,
            cookies=_NoCookies(),
            verify=_trust(),
            trust_env=False,
        )
        self._deadline = time.monotonic() + fleet.policy.verify_seconds
        self.requests = 0

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def manifest_digest(self, placement: Placement, name: ActivationName) -> str:
        """The SHA-256 of the app's manifest as it is served under the pin; "" where none is."""
        answer = self._get(f"/-/lockstep/manifest/{placement.segment}", name)
        return answer.sha256 if answer.status == httpx.codes.OK else ""

    def check(self, expected: Expected, name: ActivationName) -> None:
        """Ask and compare. Raises `RefusedError` where anything else than the expected bytes comes back."""
        answer = self._get(expected.url, name, expected.accept, native=expected.native)
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
        answer = self._get("/-/lockstep/activation", pin)
        wanted = hashlib.sha256(activation_document(activation)).hexdigest()
        if answer.status != httpx.codes.OK or answer.sha256 != wanted:
            found = printable(answer.activation) or str(answer)
            raise self._differs("serves another activation", str(activation.name), found)

    def drained(self) -> bool:
        """Whether its own health answer keeps it out of rotation."""
        return self._get("/-/lockstep/health", None).status != httpx.codes.OK

    def _get(self, url: str, pin: ActivationName | None, accept: str = "*/*", *, native: bool = False) -> Answer:
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
            where=f"{self._frontend.name} at {self._frontend.base_url}",
            expected="an answer to HTTP",
            found=found,
            remedy="see that its web server runs and that `url` in the inventory is its own address",
        )

    def _differs(self, what: str, expected: str, found: str) -> RefusedError:
        return RefusedError(
            what,
            where=self._frontend.name,
            expected=expected,
            found=found,
            remedy="see that its web server has the recipe and serves the root that the inventory names",
        )
