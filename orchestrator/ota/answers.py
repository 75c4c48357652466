"""An answer, and the documents in it as a client reads them. Everything in it is hostile until it is checked.

The formats are those of docs/protocol.md, "Documents"; the fields that a manifest must have are those without which
the stock clients refuse it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.errors import LockstepError
from orchestrator.domain.release import OTA_HASH, ota_hash
from orchestrator.ota.tally import Fault, Kind

#: Tokens of other servers may hold base64's whole alphabet.
TOKEN = re.compile(r"[A-Za-z0-9+/_=-]{1,64}")
#: A SHA-256 in the form of Subresource Integrity (W3C).
_INTEGRITY = re.compile(r"sha256-[A-Za-z0-9+/]{43}=")
_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the body, and the headers ``Lockstep-Activation`` and ``Location`` if any."""

    status: int
    body: bytes
    activation: str | None = None
    location: str | None = None

    @property
    def ota(self) -> str:
        """The OTA hash of the body."""
        return ota_hash(hashlib.md5(self.body, usedforsecurity=False).digest())

    @property
    def integrity(self) -> str:
        """The SHA-256 of the body, as `sha256-<base64>`."""
        return f"sha256-{base64.b64encode(hashlib.sha256(self.body).digest()).decode()}"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nothing came back that could be judged, and why."""

    fault: Fault


class MalformedError(LockstepError):
    """An answer that is not what its format asks for."""

    @property
    def fault(self) -> Fault:
        """The same, to be counted."""
        return Fault(Kind.MALFORMED, self.problem.expected, self.problem.found)


@dataclass(frozen=True, slots=True)
class ServedManifest:
    """A manifest as a client holds it: token, URL path of each file -> its OTA hash, and the entry document's path."""

    token: str
    files: Mapping[str, str]
    entry: str | None

    def changed(self, before: ServedManifest | None) -> list[str]:
        """The paths that `before` does not list with the same hash."""
        held = {} if before is None else before.files
        return [path for path, ota in self.files.items() if held.get(path) != ota]


@dataclass(frozen=True, slots=True)
class Precache:
    """A precache.manifest: the token, and URL path of each file -> its SHA-256 as `sha256-<base64>`, where it says."""

    token: str
    integrity: Mapping[str, str]


def read_name(answer: Answer) -> ActivationName | None:
    """The activation that an answer names, None where it names none. Raises `MalformedError`."""
    if answer.activation is None:
        return None
    try:
        return ActivationName.parse(answer.activation)
    except LockstepError as error:
        raise MalformedError(
            "not an activation", expected="Lockstep-Activation: <epoch>-<nonce>", found=answer.activation
        ) from error


def read_version(body: bytes) -> str:
    """The version token of a moduleversioninfo body. Raises `MalformedError`."""
    return _token(_object(_json(body), "the body"))


def read_manifest(body: bytes, mount: str) -> ServedManifest:
    """The manifest of a moduleinfo body of the app at `mount`. Raises `MalformedError`."""
    document = _object(_json(body), "the body")
    _object(_object(document.get("data"), "data").get("modules"), "data.modules")
    manifest = _object(document.get("manifest"), "manifest")
    _object(manifest.get("urlMappingsNoCache"), "manifest.urlMappingsNoCache")
    versions = _object(manifest.get("urlVersions"), "manifest.urlVersions")
    mappings = _object(manifest.get("urlMappings"), "manifest.urlMappings")
    files = {_path(path, mount): _hash(path, value) for path, value in versions.items()}
    return ServedManifest(_token(manifest), files, _entry(files, mappings, mount))


def read_precache(body: bytes) -> Precache:
    """A precache.manifest body, which may have text before its first ``{``. Raises `MalformedError`."""
    document = _object(_json(body[max(body.find(b"{"), 0) :]), "the body")
    integrity = _object(document.get("integrity", {}), "integrity")
    return Precache(_token(document), {path: _sha256(path, value) for path, value in integrity.items()})


def _json(body: bytes) -> object:
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        found = f"{type(error).__name__}: {error}; it begins with {body[:60]!r}"
        raise MalformedError("not JSON", expected="JSON", found=found) from error
    return document


def _object(value: object, name: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise MalformedError(f"{name} is not an object", expected=f"{name} is an object", found=_brief(value))
    return value


def _token(holder: Mapping[str, object]) -> str:
    token = holder.get("versionToken")
    if not isinstance(token, str) or TOKEN.fullmatch(token) is None:
        raise MalformedError("not a token", expected=f"versionToken matches {TOKEN.pattern}", found=_brief(token))
    return token


def _path(path: str, mount: str) -> str:
    """A path as it may be asked for: below the mount, encoded or not, and nothing that a server would resolve."""
    decoded = unquote(path, errors="surrogateescape")
    below = decoded[len(mount) :].split("/")
    odd = _PERCENT.search(path) or "?" in path or "#" in path or not _encodable(path)
    controls = any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in decoded)
    if not path.startswith(mount) or odd or controls or not {"", ".", ".."}.isdisjoint(below):
        raise MalformedError("not a path", expected=f"the URL path of a file below {mount}", found=_brief(path))
    return path


def _encodable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hash(path: str, value: object) -> str:
    if not isinstance(value, str) or value[:1] != "?" or OTA_HASH.fullmatch(value[1:]) is None:
        found = f"{_brief(value)} of {_brief(path)}"
        raise MalformedError("not a hash", expected="? and an OTA hash of 22 characters", found=found)
    return value[1:]


def _sha256(path: str, value: object) -> str:
    if not isinstance(value, str) or _INTEGRITY.fullmatch(value) is None:
        found = f"{_brief(value)} of {_brief(path)}"
        raise MalformedError("not a SHA-256", expected="sha256- and 44 characters of base64", found=found)
    return value


def _entry(files: Mapping[str, str], mappings: Mapping[str, object], mount: str) -> str | None:
    """What the mount is mapped to; else what any screen is; else ``index.html``; but only what the manifest lists."""
    targets = [mappings.get(mount.rstrip("/") or "/"), mappings.get(mount), *mappings.values(), f"{mount}index.html"]
    paths = (target.partition("?")[0] for target in targets if isinstance(target, str))
    return next((path for path in paths if path in files), None)


def _brief(value: object) -> str:
    return repr(value)[:120]
