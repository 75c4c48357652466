"""What an over-the-air client asks, and of which app."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, urlsplit

from inventory.names import is_app, is_mount
from orchestrator.domain.errors import UsageError

#: RFC 3986: what a URL's path may hold as it is. ``%`` among it: a manifest's paths are encoded already.
_PLAIN = "/!$&'()*+,;=:@-._~%"
#: A host name, or an IP address without its brackets. Some readers of URLs take a backslash, say, for the host's end.
_HOST = re.compile(r"[A-Za-z0-9._~-]+|[0-9A-Fa-f:.]+")


class Want(StrEnum):
    """What an answer is wanted for. It decides how the request is dressed: see docs/protocol.md, "Serving"."""

    VERSION = "version"
    MANIFEST = "manifest"
    PRECACHE = "precache"
    BY_HASH = "by-hash"
    DOCUMENT = "document"
    PART = "part"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: what for, and the URL's path and query, percent-encoded."""

    want: Want
    url: str


@dataclass(frozen=True, slots=True)
class Target:
    """An app behind an address: ``scheme://host[:port]``, the app's name, and its mount path."""

    base_url: str
    app: str
    mount: str

    @classmethod
    def of(cls, url: str, app: str, mount: str | None = None) -> Target:
        """Check what an operator typed; the mount is ``/<app>/`` unless given. Raises `UsageError`."""
        if not is_app(app):
            raise UsageError("not an app's name", expected="a letter, then letters, digits, '_' and '-'", found=app)
        mount = f"/{app}/" if mount is None else mount
        if not is_mount(mount):
            raise UsageError("not a mount path", expected="/ or /Segment/", found=mount)
        return cls(_base(url), app, mount)

    def version(self, stamp: int) -> Ask:
        """Which version is served? `stamp`, in milliseconds, keeps caches out, as the stock clients do it."""
        return Ask(Want.VERSION, f"{self.mount}moduleservices/moduleversioninfo?{stamp}")

    def manifest(self, token: str) -> Ask:
        """The manifest that has this token."""
        return Ask(Want.MANIFEST, f"{self.mount}moduleservices/moduleinfo?{quote(token, safe='')}")

    def precache(self, stamp: int) -> Ask:
        """The list of files of what is served, with their SHA-256; `stamp` as with `version`."""
        return Ask(Want.PRECACHE, f"{self.mount}precache.manifest?{stamp}")

    @staticmethod
    def by_hash(path: str, ota: str) -> Ask:
        """The file of a manifest, by its hash. The ``+`` of a hash goes as it is, as the stock clients send it."""
        return Ask(Want.BY_HASH, f"{quote(path, safe=_PLAIN)}?{ota}")

    @staticmethod
    def document(path: str) -> Ask:
        """The file of a manifest as a page that somebody opens: navigation."""
        return Ask(Want.DOCUMENT, quote(path, safe=_PLAIN))

    @staticmethod
    def part(path: str) -> Ask:
        """The file of a manifest as a part of the page that is open."""
        return Ask(Want.PART, quote(path, safe=_PLAIN))


def _base(url: str) -> str:
    expected = "a scheme, an address and a port at most, such as https://apps.example.org or http://10.0.0.11:8080"
    try:
        parts = urlsplit(url)
        known = _HOST.fullmatch(parts.hostname or "") is not None
        whole = known and parts.scheme in {"http", "https"} and parts.path in {"", "/"}
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError as error:
        raise UsageError("not a URL", expected=expected, found=f"{url[:200]} ({error})") from error
    more = parts.query or parts.fragment or parts.username or parts.password
    if not whole or more or not url.isascii() or not url.isprintable() or " " in url:
        raise UsageError("not a URL that can be observed", expected=expected, found=url[:200])
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    return f"{parts.scheme}://{host}{port}"
