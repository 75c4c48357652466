"""The documents that over-the-air clients read, made from a release's manifest (docs/protocol.md, "Documents").

The formats are those of OutSystems 11 mobile apps. Pure: bytes out, the same for the same input.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from dataclasses import dataclass
from itertools import count
from urllib.parse import quote

from orchestrator.domain.activation import Activation, Placement
from orchestrator.domain.described import Described

#: The documents' form. A token stands for the very bytes of its documents on every frontend and for good, so another
#: form gives other tokens: raise it with each change of what is generated here.
FORM = 2

#: The file that answers for an app's mount and for its screens.
ENTRY = "index.html"

#: RFC 3986: what a path segment may hold as it is, and the slash. Everything else is percent-encoded.
_PLAIN = "/!$&'()*+,;=:@-._~"


def url_path(text: str) -> str:
    """A path as clients send it, percent-encoded."""
    return quote(text, safe=_PLAIN)


def token(placement: Placement) -> str:
    """The version token: 22 characters of the OTA hash's alphabet, without ``+`` (clients encode it differently).

    From the app, its mount and the manifest's digest: the documents of two apps with the same content differ, so
    their tokens must.
    """
    for salt in count():
        text = f"{FORM}\n{placement.app}\n{placement.mount}\n{placement.digest}\n{salt or ''}"
        spelled = base64.b64encode(hashlib.sha256(text.encode()).digest()[:16]).decode()
        if "+" not in spelled:
            return spelled.replace("/", "_").rstrip("=")
    raise AssertionError("unreachable: the salts have no end")


@dataclass(frozen=True, slots=True)
class Documents:
    """One app's documents of one release: the file's name below ``-/<Segment>/`` -> its bytes."""

    token: str
    manifest: bytes
    version: bytes
    info: bytes
    precache: bytes

    def files(self) -> dict[str, bytes]:
        """By the name under which a frontend holds them."""
        return {
            "manifest.json": self.manifest,
            "moduleinfo.json": self.info,
            "moduleversioninfo.json": self.version,
            "precache.json": self.precache,
        }

    def native(self) -> dict[str, bytes]:
        """Those of them that an installed client asks for without a token."""
        return {name: content for name, content in self.files().items() if name != "manifest.json"}


def documents(placement: Placement, release: Described) -> Documents:
    """The documents of `placement`, whose release this is."""
    name = token(placement)
    manifest = release.manifest
    versions = {url_path(placement.url(file.path)): f"?{file.ota}" for file in manifest}
    # The stock clients take an empty answer for a failed one, and so would never get past an empty file.
    empty = {url_path(placement.url(file.path)) for file in manifest if file.size == 0}
    mappings, uncached = _mappings(placement, release, name)
    info = {
        "data": _data(placement, release),
        "manifest": {
            "urlMappings": mappings,
            "urlMappingsNoCache": uncached,
            "urlVersions": {path: version for path, version in versions.items() if path not in empty},
            "versionToken": name,
        },
    }
    integrity = {url_path(placement.url(file.path)): _integrity(file.sha256) for file in manifest}
    return Documents(
        token=name,
        manifest=manifest.canonical,
        version=_json({"versionToken": name}),
        info=_json(info),
        precache=_json({"integrity": integrity, "urlVersions": versions, "versionToken": name}),
    )


def activation_document(activation: Activation) -> bytes:
    """What ``/-/lockstep/activation`` answers."""
    return _json(activation.document())


def _mappings(placement: Placement, release: Described, name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Which file answers for which URL: those that clients hold, and those that they ask the server for each time."""
    contract = release.contract
    services = f"{placement.mount}moduleservices/moduleinfo"
    mappings = {f"{services}?cached": f"{services}?{name}"}
    entry = release.manifest.by_path.get(ENTRY)
    if entry is None or entry.size == 0:
        return mappings, {}
    target = f"{url_path(placement.url(entry.path))}?{entry.ota}"
    mappings[placement.mount] = target
    mappings[placement.mount.rstrip("/") or "/"] = target
    screens = {screen: url_path(placement.url(screen)) for screen in contract.screens}
    uncached = {url: target for screen, url in screens.items() if screen in contract.uncached}
    mappings.update({url: target for url in screens.values() if url not in uncached})
    return mappings, uncached


def _data(placement: Placement, release: Described) -> dict[str, object]:
    contract = release.contract
    module = {
        "homeScreenName": contract.home,
        "moduleName": placement.app,
        "screens": [
            {"screenKey": _key(placement, f"screen:{screen}"), "screenName": screen, "screenUrl": url_path(screen)}
            for screen in sorted(contract.screens)
        ],
        "splashScreenName": contract.splash,
        "staticEntities": {},
    }
    return {
        "applicationDefaultTimeout": 0,
        "entityModuleNames": [],
        "hasTracingEnabled": False,
        "moduleDefinitions": {},
        "modules": {_key(placement, ""): module},
    }


def _key(placement: Placement, of: str) -> str:
    """A key that is the same at every run: of the app, or of something in it."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"lockstep:app:{placement.app}{of and ':'}{of}"))


def _integrity(sha256: str) -> str:
    """A hash in the form of Subresource Integrity (W3C)."""
    return f"sha256-{base64.b64encode(bytes.fromhex(sha256)).decode()}"


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
