"""What a release declares of itself: read strictly, refused with the field that is wrong."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.contract import NO_CONTRACT, Contract
from orchestrator.domain.declaration import MOST_BYTES
from orchestrator.domain.described import Described
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.native import NO_NATIVE, Native
from orchestrator.domain.release import File, Manifest, ota_hash

CONTRACT = {
    "format": 1,
    "home": "Lists",
    "splash": "Splash",
    "screens": {"Lists": "Jx0h+/=_:.-", "Lists/Edit": "p", "Splash": "s", "Über uns": "u"},
    "uncached": ["Lists/Edit"],
    "actions": {"SaveItem": "sha256:91ab", "admin/Drop.All-2": "x"},
}
NATIVE = {
    "format": 1,
    "app_name": "ToDo",
    "icon": "img/icon.png",
    "primary_color": "#1068EB",
    "splash": "img/splash.png",
    "plugins": {"camera": {"version": "7.0.0", "configuration": {"quality": 80}}, "nfc": {"version": "1"}},
    "resources": ["google-services.json"],
    "platforms": {"android": {"minSdkVersion": 26}, "ios": None},
    "entry_module": {"key": "46303306", "name": "ToDo"},
    "extensibility": [1, {"a": None}],
}


def raw(document: object) -> bytes:
    return json.dumps(document).encode()


def file(path: str, content: bytes) -> File:
    md5 = hashlib.md5(content, usedforsecurity=False).digest()
    return File(path, len(content), hashlib.sha256(content).hexdigest(), ota_hash(md5))


def release(files: dict[str, bytes]) -> Described:
    return Described.of(Manifest.of(file(path, content) for path, content in files.items()), lambda f: files[f.path])


def test_every_field_is_read() -> None:
    contract, native = Contract.parse(raw(CONTRACT)), Native.parse(raw(NATIVE))
    assert contract.screens["Über uns"] == "u"
    assert contract.uncached == ("Lists/Edit",)
    assert native.files == ("img/icon.png", "img/splash.png", "google-services.json")
    assert native.plugins["nfc"].configuration is None


def test_a_release_without_declarations_declares_nothing() -> None:
    made = release({"index.html": b"x"})
    assert (made.contract, made.native) == (NO_CONTRACT, NO_NATIVE)


def test_a_declaration_below_the_top_is_a_file_like_any_other() -> None:
    assert release({"sub/contract.json": b"not JSON", "sub/native.json": b""}).contract == NO_CONTRACT


@pytest.mark.parametrize("path", ["contract.json", "native.json"])
def test_a_release_whose_declaration_can_t_be_read_is_none(path: str) -> None:
    with pytest.raises(ReleaseError) as caught:
        release({"index.html": b"x", path: b"{"})
    assert caught.value.problem.where == path
    assert caught.value.problem.remedy


@pytest.mark.parametrize("named", [{"icon": "gone.png"}, {"splash": "gone.png"}, {"resources": ["gone.json"]}])
def test_what_native_json_names_must_be_in_the_release(named: dict[str, Any]) -> None:
    with pytest.raises(ReleaseError, match="does not have"):
        release({"index.html": b"x", "native.json": raw({"format": 1, **named})})


NESTED = b'{"format":1,"extensibility":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'{"format": 2}',
        b'{"format": "1"}',
        b'{"format": true}',
        b'{"format": 1} x',
        b'{"format": 1, "format": 1}',
        b'{"format": 1, "screens": {"A": "1", "A": "2"}}',
        b'{"format": 1, "screen": {}}',
        b'{"format": 1, "screens": []}',
        b'{"format": 1, "actions": {"A": NaN}}',
        raw({"format": 1, "actions": {"A": "x" * MOST_BYTES}}),
        *(
            raw({"format": 1, "screens": {screen: "1"}})
            for screen in ("", "/A", "A/", "../A", "A/../B", "A.html", "-", "moduleservices/x", "A\nB", "A\\B", "A//B")
        ),
        *(raw({"format": 1, "actions": {name: "1"}}) for name in ("", "1A", "A B", "Ä", "A" * 129, "A\n")),
        *(raw({"format": 1, "actions": {"A": sum_}}) for sum_ in ("", "a b", "a" * 129, "é", "a\n", 1, None)),
        *(raw({"format": 1, field: "Nowhere"}) for field in ("home", "splash")),
        raw({"format": 1, "uncached": ["Nowhere"]}),
        raw({"format": 1, "uncached": "Nowhere"}),
    ],
)
def test_a_contract_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(ReleaseError) as caught:
        Contract.parse(text)
    assert caught.value.problem.expected
    assert len(str(caught.value)) < 1_000


WRONG: list[dict[str, Any]] = [
    {"app_name": 1},
    {"primary_color": "blue"},
    {"primary_color": "#12345G"},
    {"primary_color": "#123456\n"},
    {"icon": "../icon.png"},
    {"icon": "/etc/passwd"},
    {"resources": ["a", 1]},
    {"resources": "a"},
    {"plugins": {"camera": "7.0.0"}},
    {"plugins": {"camera": {}}},
    {"plugins": {"camera": {"version": "1", "config": {}}}},
    {"entry_module": "ToDo"},
    {"entry_module": {"key": "1"}},
    {"entry_module": {"key": "1", "name": "a", "more": 1}},
    {"colour": "#000000"},
]


@pytest.mark.parametrize(
    "text",
    [
        NESTED,
        *(raw({"format": 1, **wrong}) for wrong in WRONG),
    ],
)
def test_a_native_declaration_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(ReleaseError) as caught:
        Native.parse(text)
    assert len(str(caught.value)) < 1_000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([(Contract, CONTRACT), (Native, NATIVE)]), st.data())
def test_whatever_a_field_holds_it_is_read_or_refused(kind: Any, data: st.DataObject) -> None:
    reader, whole = kind
    field = data.draw(st.sampled_from(sorted(whole)))
    document = {**whole, field: data.draw(json_values)}
    try:
        made = reader.parse(raw(document))
    except ReleaseError:
        return
    assert made.format == 1


@given(st.binary(max_size=64))
def test_bytes_are_read_or_refused(text: bytes) -> None:
    for reader in (Contract, Native):
        with pytest.raises(ReleaseError):
            reader.parse(text)
