"""Manifests: `Manifest.parse`, and what a frontend would be sent for one that it lets through."""

from __future__ import annotations

import hashlib
import json
import posixpath
from dataclasses import asdict
from random import Random
from typing import Any

from orchestrator.domain.activation import Activation, ActivationName, Placement
from orchestrator.domain.described import Described
from orchestrator.domain.difference import difference
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.release import File, Manifest, ota_hash
from orchestrator.ota.answers import read_manifest
from orchestrator.ota.documents import documents, url_path
from orchestrator.ota.layouts import layout
from tests.fuzz.mutation import (
    ABYSSES,
    CONFUSABLES,
    ODD_PATHS,
    mutate_bytes,
    mutate_text,
    mutate_value,
    odd_text,
    pick,
    spelled,
)
from tests.fuzz.target import Target

PLAIN = ("index.html", "js/app.js", "js/b.js", "css/a b.css", "img/é.png", "img/日本/x.svg", "a+b%.txt", "a?b#c", "x")
_PIECES = tuple(
    piece.encode()
    for piece in (
        '"size":',
        '"path":',
        '{"files":[',
        ',"format":1}',
        '"format":1.0',
        '"size":-0',
        '"size":1e0',
        '"\\ud800"',
    )
)


def content(random: Random) -> dict[str, Any]:
    """Size and hashes of some bytes."""
    data = pick(random, (b"", b"a", b"b", random.randbytes(4)))
    md5 = hashlib.md5(data, usedforsecurity=False).digest()
    return {"ota": ota_hash(md5), "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def path(random: Random) -> str:
    """A path that a release may have, or nearly."""
    plain = pick(random, PLAIN)
    match random.randrange(8):
        case 0:
            return mutate_text(random, plain)
        case 1:
            odd = pick(random, (CONFUSABLES, ODD_PATHS))
            return pick(random, (f"{plain}/{pick(random, odd)}", f"{pick(random, odd)}/{plain}"))
        case 2:
            return odd_text(random)
        case _:
            return f"{random.randrange(50)}{plain}"


def rows(random: Random) -> list[dict[str, Any]]:
    """The files of a manifest, most often in order."""
    found = [{"path": path(random), **content(random)} for _ in range(random.randint(1, 5))]
    return sorted(found, key=lambda row: str(row["path"])) if random.random() < 0.9 else found


def canonical(value: Any) -> bytes:
    """Spelled as a manifest must be."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass")


class Manifests(Target[bytes]):
    """Bytes that may be a manifest."""

    name = "manifests"

    def make(self, random: Random) -> bytes:
        document: Any = {"files": rows(random), "format": 1}
        match random.randrange(10):
            case 0 | 1 | 2:
                return canonical(document)
            case 3 | 4 | 5:
                return canonical(mutate_value(random, document))
            case 6:
                return spelled(random, mutate_value(random, document))
            case 7:
                return canonical(document).replace(b'"size":', b'"size":' + pick(random, ABYSSES)[:50_000], 1)
            case _:
                return mutate_bytes(random, canonical(document), _PIECES)

    def check(self, made: bytes) -> bool:
        try:
            manifest = Manifest.parse(made)
        except ReleaseError as error:
            assert str(error).isprintable() or "\n" in str(error)
            str(error).encode()
            return False
        assert manifest.canonical == made
        assert Manifest.parse(manifest.canonical) == manifest
        assert Manifest.of(reversed(manifest.files)) == manifest
        assert manifest.digest == hashlib.sha256(made).hexdigest()
        assert Manifest.of(File(**asdict(file)) for file in manifest) == manifest
        changes = difference(manifest, manifest)
        assert not (changes.added or changes.removed or changes.changed)
        check_paths_inside(manifest)
        for mount in ("/", "/ToDo/"):
            check_sent(manifest, mount)
        return True


def check_paths_inside(manifest: Manifest) -> None:
    """Each file stays below its release, whoever resolves its path, and in nobody's way."""
    paths = {file.path for file in manifest}
    assert len({one.casefold() for one in paths}) == len(manifest.files) > 0
    for one in paths:
        assert posixpath.normpath(f"/r/{one}") == f"/r/{one}"
        assert not any(segment in {"", ".", ".."} for segment in one.split("/"))
        assert not any(c in one for c in "\0\n\r\t\\\x7f\x85\u2028")
        parent = posixpath.dirname(one)
        while parent:
            assert parent not in paths
            parent = posixpath.dirname(parent)


def check_sent(manifest: Manifest, mount: str) -> None:
    """What a frontend is sent stays in its places, and clients read the documents back as they were meant."""
    placement = Placement("ToDo", mount, "1", manifest.digest)
    sent = layout(Activation.of(ActivationName(1, "a" * 16), [placement]), {manifest.digest: Described(manifest)})
    for tree in (sent.activation, *sent.releases):
        assert len(tree.listing()) == len(tree.files) + len(tree.links)
        tree.digest()
        for one in (*tree.files, *tree.links):
            assert posixpath.normpath(f"/r/{one}") == f"/r/{one}"
        assert not set(tree.links) & {one.split("/")[0] for one in tree.files}
    for entry, target in sent.activation.links.items():
        end = posixpath.normpath(f"/root/activations/1/{entry}/../{target}")
        assert end.startswith(f"/root/releases/ToDo/{manifest.digest}")
    read = read_manifest(documents(placement, Described(manifest)).info, mount)
    assert read.files == {url_path(mount + file.path): file.ota for file in manifest if file.size}
