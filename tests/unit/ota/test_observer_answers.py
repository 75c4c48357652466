from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.domain.activation import ActivationName, Placement
from orchestrator.domain.described import Described
from orchestrator.domain.release import File, Manifest, ota_hash
from orchestrator.ota.answers import Answer, MalformedError, ServedManifest, read_manifest, read_name, read_version
from orchestrator.ota.documents import documents
from orchestrator.ota.tally import Kind

HASH = "a+b_" + "c" * 18
OTHER = "d" * 22


def module_info() -> dict[str, Any]:
    return {
        "manifest": {
            "versionToken": "gUSAs_s6ttp50Ug5Pu5N1A",
            "urlVersions": {"/ToDo/index.html": f"?{HASH}", "/ToDo/css/a%20b.css": f"?{OTHER}"},
            "urlMappings": {"/ToDo": f"/ToDo/index.html?{HASH}"},
            "urlMappingsNoCache": {},
        },
        "data": {"modules": {}},
    }


def read(document: object) -> ServedManifest:
    return read_manifest(json.dumps(document).encode(), "/ToDo/")


def test_a_manifest_is_read() -> None:
    manifest = read(module_info())
    assert manifest.token == "gUSAs_s6ttp50Ug5Pu5N1A"
    assert manifest.files == {"/ToDo/index.html": HASH, "/ToDo/css/a%20b.css": OTHER}
    assert manifest.entry == "/ToDo/index.html"


@pytest.mark.parametrize("mount", ["/ToDo/", "/"])
def test_the_documents_that_lockstep_makes_are_read(mount: str) -> None:
    files = [File(path, 1, "0" * 64, HASH) for path in ("index.html", "50%/a?b.js", "ü/é.css")]
    made = documents(Placement("ToDo", mount, "1", "1" * 64), Described(Manifest.of(files)))
    manifest = read_manifest(made.info, mount)
    assert manifest.token == made.token == read_version(made.version)
    assert len(manifest.files) == 3
    assert manifest.entry == f"{mount}index.html"


def drop(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *way, last = keys
        for key in way:
            document = document[key]
        del document[last]

    return change


def put(value: object, *keys: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *way, last = keys
        for key in way:
            document = document[key]
        document[last] = value

    return change


REQUIRED = [
    ("manifest",),
    ("manifest", "versionToken"),
    ("manifest", "urlVersions"),
    ("manifest", "urlMappings"),
    ("manifest", "urlMappingsNoCache"),
    ("data",),
    ("data", "modules"),
]


@pytest.mark.parametrize("keys", REQUIRED)
def test_a_manifest_without_a_field_that_clients_need_is_malformed(keys: tuple[str, ...]) -> None:
    for change in (drop(*keys), put(None, *keys), put([], *keys), put(7, *keys)):
        document = module_info()
        change(document)
        with pytest.raises(MalformedError):
            read(document)


@pytest.mark.parametrize("value", [None, 7, "", HASH, "?", "?short", f"?{HASH}x", f"?{HASH[:-1]}/", f"?{HASH}\n"])
def test_a_file_without_a_hash_is_malformed(value: object) -> None:
    document = module_info()
    put(value, "manifest", "urlVersions", "/ToDo/index.html")(document)
    with pytest.raises(MalformedError):
        read(document)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "index.html",
        "/Other/index.html",
        "/ToDo",
        "/ToDo/",
        "/ToDo//a.js",
        "/ToDo/a/",
        "/ToDo/../a.js",
        "/ToDo/./a.js",
        "/ToDo/%2e%2e/a.js",
        "/ToDo/a%2F..%2Fb.js",
        "/ToDo/a.js?x",
        "/ToDo/a.js#x",
        "/ToDo/a%zz.js",
        "/ToDo/a%",
        "/ToDo/a\n.js",
        "/ToDo/a%0a.js",
        "/ToDo/a%00.js",
        "/ToDo/\ud800.js",
        "http://elsewhere/ToDo/a.js",
    ],
)
def test_a_path_that_is_no_files_below_the_mount_is_malformed(path: str) -> None:
    document = module_info()
    put(f"?{HASH}", "manifest", "urlVersions", path)(document)
    with pytest.raises(MalformedError):
        read(document)


@pytest.mark.parametrize(
    ("mappings", "entry"),
    [
        ({"/ToDo": f"/ToDo/index.html?{HASH}"}, "/ToDo/index.html"),
        ({"/ToDo/": f"/ToDo/index.html?{HASH}"}, "/ToDo/index.html"),
        ({"/ToDo/Login": f"/ToDo/css/a%20b.css?{HASH}"}, "/ToDo/css/a%20b.css"),
        ({"/ToDo": "/ToDo/not-listed.html?x"}, "/ToDo/index.html"),
        ({"/ToDo": 7}, "/ToDo/index.html"),
        ({}, "/ToDo/index.html"),
    ],
)
def test_the_entry_is_what_the_mount_is_mapped_to_if_it_is_listed(mappings: dict[str, object], entry: str) -> None:
    document = module_info()
    put(mappings, "manifest", "urlMappings")(document)
    assert read(document).entry == entry


def test_a_release_may_have_no_entry_document() -> None:
    document = module_info()
    put({"/ToDo/a.js": f"?{HASH}"}, "manifest", "urlVersions")(document)
    assert read(document).entry is None


def test_only_what_differs_has_changed() -> None:
    before = ServedManifest("t", {"/a": HASH, "/b": HASH, "/c": HASH}, None)
    after = ServedManifest("u", {"/a": HASH, "/b": OTHER, "/d": HASH}, None)
    assert after.changed(before) == ["/b", "/d"]
    assert after.changed(None) == ["/a", "/b", "/d"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"null", b"\xff", b"{}", b'{"versionToken":7}', b'{"versionToken":"a b"}']
)
def test_a_version_that_is_none_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedError) as raised:
        read_version(body)
    assert raised.value.fault.kind is Kind.MALFORMED


def test_a_document_that_is_nested_without_end_is_malformed() -> None:
    with pytest.raises(MalformedError):
        read_version(b"[" * 200_000)


@settings(deadline=None)
@given(st.binary())
def test_no_bytes_make_the_reading_fail_otherwise(body: bytes) -> None:
    for reading in (read_version, lambda raw: read_manifest(raw, "/ToDo/")):
        with pytest.raises(MalformedError):
            reading(body)


def test_the_token_of_other_servers_is_read() -> None:
    assert read_version(b'{"versionToken":"gUSAs+s6ttp50Ug5Pu5N1A=="}') == "gUSAs+s6ttp50Ug5Pu5N1A=="


def test_an_activation_is_read_strictly() -> None:
    assert read_name(Answer(200, b"")) is None
    assert read_name(Answer(200, b"", "7-00000000000000aa")) == ActivationName(7, "00000000000000aa")
    for text in ("", "7", "7-xx", "07-00000000000000aa", "7-00000000000000aa, 8-00000000000000aa"):
        with pytest.raises(MalformedError):
            read_name(Answer(200, b"", text))


def test_a_bodys_hash_is_the_clients() -> None:
    # The MD5 of nothing is d41d8cd98f00b204e9800998ecf8427e.
    assert Answer(200, b"").ota == ota_hash(bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e"))
    assert Answer(200, b"").ota == "1B2M2Y8AsgTpgAmY7PhCfg"
