from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.release import File, Hasher, Manifest, ota_hash
from tests.unit.releases.trees import Tree, manifest_of, trees

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
SHA, OTA = "ab" * 32, "A" * 22


def row(path: Any = "a", size: Any = 1, sha256: Any = SHA, ota: Any = OTA) -> dict[str, Any]:
    return {"ota": ota, "path": path, "sha256": sha256, "size": size}


def raw(*rows: Any, **document: Any) -> bytes:
    whole = {"files": list(rows), "format": 1} | document
    return json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def parse_or_refuse(data: bytes) -> None:
    """Canonical bytes come back as they are; anything else is a `ReleaseError` and no other error."""
    try:
        manifest = Manifest.parse(data)
    except ReleaseError as error:
        assert str(error).encode()
        return
    assert manifest.canonical == data
    assert manifest.digest == hashlib.sha256(data).hexdigest()
    assert Manifest.of(reversed(manifest.files)).canonical == data


@given(trees())
def test_a_manifest_comes_back_from_its_canonical_bytes(tree: Tree) -> None:
    manifest = manifest_of(tree)
    assert Manifest.parse(manifest.canonical) == manifest
    assert {f.path: f.size for f in manifest} == {path: len(data) for path, data in tree.items()}


@given(trees(), st.randoms(use_true_random=False))
def test_the_digest_does_not_depend_on_the_order_of_files(tree: Tree, random: Any) -> None:
    files = list(manifest_of(tree).files)
    random.shuffle(files)
    assert Manifest.of(files).digest == manifest_of(tree).digest


@given(trees(), st.data())
def test_other_content_has_another_digest(tree: Tree, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(tree)))
    assert manifest_of(tree | {path: tree[path] + b"."}).digest != manifest_of(tree).digest
    assert manifest_of(tree | {"one/more": b""}).digest != manifest_of(tree).digest or "one/more" in tree


@given(st.binary())
def test_any_bytes_are_a_manifest_or_refused(data: bytes) -> None:
    parse_or_refuse(data)


@given(JSON)
def test_any_json_is_a_manifest_or_refused(document: Any) -> None:
    parse_or_refuse(json.dumps(document).encode())


@given(st.lists(st.fixed_dictionaries({"path": JSON, "size": JSON, "sha256": JSON, "ota": JSON}), max_size=3))
@example([row()])
@example([row(path="\ud800")])
def test_any_rows_are_a_manifest_or_refused(rows: list[dict[str, Any]]) -> None:
    parse_or_refuse(raw(*rows))


@given(trees(), st.data())
def test_one_changed_byte_is_refused_or_another_manifest(tree: Tree, data: st.DataObject) -> None:
    canonical = bytearray(manifest_of(tree).canonical)
    position = data.draw(st.integers(0, len(canonical) - 1))
    canonical[position] = data.draw(st.integers(0, 255))
    parse_or_refuse(bytes(canonical))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda canonical: canonical + b"\n",
        lambda canonical: b" " + canonical,
        lambda canonical: b"\xef\xbb\xbf" + canonical,
        lambda canonical: canonical.replace(b'"format":1', b'"format":1.0'),
        lambda canonical: canonical.replace(b'"format":1', b'"format":2'),
        lambda canonical: canonical.replace(b'"format":1', b'"format":1,"more":0'),
        lambda canonical: canonical.replace(b'"path":"a"', b'"path":"\\u0061"'),
        lambda canonical: canonical.decode().encode("utf-16"),
        lambda canonical: canonical[:-1],
        lambda canonical: b"[" * 100_000,
        lambda canonical: b"",
    ],
)
def test_what_canonical_would_not_have_written_is_refused(spoil: Callable[[bytes], bytes]) -> None:
    canonical = raw(row())
    assert Manifest.parse(canonical).canonical == canonical
    with pytest.raises(ReleaseError):
        Manifest.parse(spoil(canonical))


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row("b"), row("a")],
        [row("a"), row("a")],
        [row("a"), row("A")],
        [row("a"), row("a/b")],
        [row("../a")],
        [row("moduleservices/moduleinfo")],
        [row("\ud800")],
        [row(size=-1)],
        [row(size=True)],
        [row(size=1.0)],
        [row(size=2**53)],
        [row(sha256=SHA.upper())],
        [row(sha256=SHA + "\n")],
        [row(ota=OTA + "=")],
        [row(ota="/" + OTA[1:])],
        [row("a"), row("b", size=2)],
        [row("a"), row("b", ota="B" * 22)],
        [row("a") | {"mode": 420}],
        [{"path": "a"}],
        ["a"],
    ],
)
def test_rows_that_no_release_has_are_refused(rows: list[Any]) -> None:
    with pytest.raises(ReleaseError):
        Manifest.parse(raw(*rows))


def test_two_contents_with_one_ota_hash_are_refused_and_both_named() -> None:
    files = [File("a.js", 1, SHA, OTA), File("b.js", 1, "cd" * 32, OTA)]
    with pytest.raises(ReleaseError) as refused:
        Manifest.of(files).check()
    assert "same OTA hash" in refused.value.problem.what
    assert refused.value.problem.where == "b.js"
    assert "a.js" in refused.value.problem.found


def test_the_same_content_at_two_paths_is_allowed() -> None:
    Manifest.of([File("a.js", 1, SHA, OTA), File("b.js", 1, SHA, OTA)]).check()


@given(st.lists(st.binary(max_size=200)))
def test_hashing_in_pieces_is_hashing_the_whole(chunks: list[bytes]) -> None:
    whole = b"".join(chunks)
    found = Hasher.of(chunks)
    assert found.size == len(whole)
    assert found.sha256 == hashlib.sha256(whole).hexdigest()
    assert found.ota == ota_hash(hashlib.md5(whole, usedforsecurity=False).digest())
