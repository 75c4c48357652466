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
from orchestrator.domain.release import Manifest

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
        text = f"{placement.app}\n{placement.mount}\n{placement.digest}\n{salt or ''}"
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


def documents(placement: Placement, manifest: Manifest) -> Documents:
    """The documents of `placement`, whose release has this manifest."""
    name = token(placement)
    versions = {url_path(placement.url(file.path)): f"?{file.ota}" for file in manifest}
    info = {
        "data": _data(placement),
        "manifest": {
            "urlMappings": _mappings(placement, manifest, name),
            "urlMappingsNoCache": {},
            "urlVersions": versions,
            "versionToken": name,
        },
    }
    return Documents(
        token=name,
        manifest=manifest.canonical,
        version=_json({"versionToken": name}),
        info=_json(info),
        precache=_json({"urlVersions": versions, "versionToken": name}),
    )


def activation_document(activation: Activation) -> bytes:
    """What ``/-/lockstep/activation`` answers."""
    return _json(activation.document())


def _mappings(placement: Placement, manifest: Manifest, name: str) -> dict[str, str]:
    services = f"{placement.mount}moduleservices/moduleinfo"
    mappings = {f"{services}?cached": f"{services}?{name}"}
    entry = manifest.by_path.get(ENTRY)
    if entry is not None:
        target = f"{url_path(placement.url(ENTRY))}?{entry.ota}"
        mappings[placement.mount] = target
        mappings[placement.mount.rstrip("/") or "/"] = target
    return mappings


def _data(placement: Placement) -> dict[str, object]:
    module = {
        "homeScreenName": "",
        "moduleName": placement.app,
        "screens": [],
        "splashScreenName": "",
        "staticEntities": {},
    }
    key = str(uuid.uuid5(uuid.NAMESPACE_URL, f"lockstep:app:{placement.app}"))
    return {
        "applicationDefaultTimeout": 0,
        "entityModuleNames": [],
        "hasTracingEnabled": False,
        "moduleDefinitions": {},
        "modules": {key: module},
    }


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
