"""The documents that over-the-air clients read, and the layout that serves them."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.activation import Activation, ActivationName, Placement
from orchestrator.domain.contract import Contract
from orchestrator.domain.described import Described
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.release import OTA_HASH, File, Manifest, ota_hash
from orchestrator.ota.documents import documents, token, url_path
from orchestrator.ota.layouts import layout

NAME = ActivationName(4, "0123456789abcdef")


def file(path: str, content: bytes) -> File:
    md5 = hashlib.md5(content, usedforsecurity=False).digest()
    return File(path, len(content), hashlib.sha256(content).hexdigest(), ota_hash(md5))


MANIFEST = Manifest.of(
    [file("index.html", b"<html>"), file("scripts/a b+%.js", b"1"), file("img/ü.png", b"\x89"), file("empty", b"")]
)


def placed(app: str = "ToDo", mount: str = "/ToDo/", manifest: Manifest = MANIFEST) -> Placement:
    return Placement(app, mount, "1.0.0", manifest.digest)


def test_the_version_document_is_the_token_alone() -> None:
    made = documents(placed(), Described(MANIFEST))
    assert json.loads(made.version) == {"versionToken": made.token}


def test_moduleinfo_lists_every_file_that_is_not_empty_under_its_url_with_its_hash() -> None:
    info = json.loads(documents(placed(), Described(MANIFEST)).info)
    assert info["manifest"]["urlVersions"] == {
        "/ToDo/img/%C3%BC.png": f"?{MANIFEST.by_path['img/ü.png'].ota}",
        "/ToDo/index.html": f"?{MANIFEST.by_path['index.html'].ota}",
        "/ToDo/scripts/a%20b+%25.js": f"?{MANIFEST.by_path['scripts/a b+%.js'].ota}",
    }


def test_moduleinfo_has_every_field_that_clients_require() -> None:
    made = documents(placed(), Described(MANIFEST))
    info = json.loads(made.info)
    assert info["manifest"]["versionToken"] == made.token
    assert info["manifest"]["urlMappingsNoCache"] == {}
    entry = f"/ToDo/index.html?{MANIFEST.by_path['index.html'].ota}"
    assert info["manifest"]["urlMappings"] == {
        "/ToDo": entry,
        "/ToDo/": entry,
        "/ToDo/moduleservices/moduleinfo?cached": f"/ToDo/moduleservices/moduleinfo?{made.token}",
    }
    (module,) = info["data"]["modules"].values()
    assert module["moduleName"] == "ToDo"


def test_precache_manifest_has_its_fields_at_the_top() -> None:
    made = documents(placed(), Described(MANIFEST))
    precache = json.loads(made.precache)
    assert precache["versionToken"] == made.token
    assert precache["urlVersions"] == {
        "/ToDo/empty": "?1B2M2Y8AsgTpgAmY7PhCfg",
        **json.loads(made.info)["manifest"]["urlVersions"],
    }
    index = base64.b64encode(hashlib.sha256(b"<html>").digest()).decode()
    assert precache["integrity"]["/ToDo/index.html"] == f"sha256-{index}"
    assert set(precache["integrity"]) == set(precache["urlVersions"])


CONTRACT = Contract(
    format=1, home="Lists", screens={"Lists": "a", "Lists/Häger": "b", "Report": "c"}, uncached=("Report",)
)


def test_every_screen_is_mapped_to_the_entry_document_and_what_is_uncached_apart() -> None:
    info = json.loads(documents(placed(), Described(MANIFEST, CONTRACT)).info)
    entry = f"/ToDo/index.html?{MANIFEST.by_path['index.html'].ota}"
    mappings = info["manifest"]["urlMappings"]
    assert mappings["/ToDo/Lists"] == mappings["/ToDo/Lists/H%C3%A4ger"] == entry
    assert "/ToDo/Report" not in mappings
    assert info["manifest"]["urlMappingsNoCache"] == {"/ToDo/Report": entry}
    (module,) = info["data"]["modules"].values()
    assert module["homeScreenName"] == "Lists"
    assert [screen["screenUrl"] for screen in module["screens"]] == ["Lists", "Lists/H%C3%A4ger", "Report"]
    assert len({screen["screenKey"] for screen in module["screens"]}) == 3


def test_an_app_at_the_root_has_urls_without_a_segment() -> None:
    info = json.loads(documents(placed(mount="/"), Described(MANIFEST)).info)
    assert "/index.html" in info["manifest"]["urlVersions"]
    assert info["manifest"]["urlMappings"]["/"].startswith("/index.html?")


def test_a_release_without_an_entry_document_maps_no_url_to_it() -> None:
    bare = Manifest.of([file("a.js", b"1")])
    mappings = json.loads(documents(placed(manifest=bare), Described(bare)).info)["manifest"]["urlMappings"]
    assert list(mappings) == ["/ToDo/moduleservices/moduleinfo?cached"]


digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(digests)
def test_a_token_has_the_alphabet_of_a_hash_but_no_plus(digest: str) -> None:
    made = token(Placement("ToDo", "/ToDo/", "1", digest))
    assert OTA_HASH.fullmatch(made)
    assert "+" not in made
    assert len(base64.b64decode(made.replace("_", "/") + "==")) == 16


@given(digests)
def test_the_same_content_has_the_same_token_whatever_the_version(digest: str) -> None:
    one, other = (token(Placement("ToDo", "/ToDo/", version, digest)) for version in ("1", "2"))
    assert one == other


def test_two_apps_with_the_same_content_have_different_tokens() -> None:
    tokens = {token(placed(app, mount)) for app in ("ToDo", "Portal") for mount in ("/", "/ToDo/", "/Portal/")}
    assert len(tokens) == 6


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_url_path_holds_only_what_a_url_may_hold(text: str) -> None:
    assert re.fullmatch(r"(?:[A-Za-z0-9/!$&'()*+,;=:@._~-]|%[0-9A-F]{2})+", url_path(text))


def test_the_layout_places_apps_and_documents() -> None:
    activation = Activation.of(NAME, [placed()])
    made = layout(activation, {MANIFEST.digest: Described(MANIFEST)})
    assert made.activation.path == f"activations/{NAME}"
    assert made.activation.links == {"ToDo": f"../../releases/ToDo/{MANIFEST.digest}"}
    assert set(made.activation.files) == {
        "-/activation.json",
        "-/ToDo/manifest.json",
        "-/ToDo/moduleinfo.json",
        "-/ToDo/moduleversioninfo.json",
        "-/ToDo/precache.json",
    }
    assert made.generated[made.activation.files["-/ToDo/manifest.json"]] == MANIFEST.canonical
    assert made.activation.files["-/ToDo/manifest.json"] == MANIFEST.digest
    (release,) = made.releases
    assert release.files == {f.path: f.sha256 for f in MANIFEST}


def test_every_hash_and_token_can_be_looked_up() -> None:
    made = layout(Activation.of(NAME, [placed()]), {MANIFEST.digest: Described(MANIFEST)})
    assert {key: sha for key, sha in made.by_hash.items() if key != token(placed())} == {
        f.ota: f.sha256 for f in MANIFEST
    }
    assert made.generated[made.by_hash[token(placed())]] == documents(placed(), Described(MANIFEST)).info
    assert set(made.objects()) >= {f.sha256 for f in MANIFEST} | set(made.generated)


def test_an_app_at_the_root_is_linked_entry_by_entry() -> None:
    made = layout(Activation.of(NAME, [placed(mount="/")]), {MANIFEST.digest: Described(MANIFEST)})
    release = f"../../releases/ToDo/{MANIFEST.digest}"
    assert made.activation.links == {name: f"{release}/{name}" for name in ("index.html", "scripts", "img", "empty")}
    assert "-/-/moduleinfo.json" in made.activation.files


def test_the_activation_document_names_every_app() -> None:
    portal = Manifest.of([file("index.html", b"portal")])
    activation = Activation.of(NAME, [placed(), placed("Portal", "/Portal/", portal)])
    made = layout(activation, {MANIFEST.digest: Described(MANIFEST), portal.digest: Described(portal)})
    document = json.loads(made.generated[made.activation.files["-/activation.json"]])
    assert (document["epoch"], document["activation"]) == (4, str(NAME))
    assert document["apps"]["Portal"] == {"digest": portal.digest, "mount": "/Portal/", "version": "1.0.0"}


def test_two_files_that_share_a_look_up_hash_are_refused_across_apps() -> None:
    one = file("index.html", b"one")
    forged = Manifest.of([File("index.html", 3, hashlib.sha256(b"two").hexdigest(), one.ota)])
    honest = Manifest.of([one])
    activation = Activation.of(NAME, [placed(manifest=honest), placed("Portal", "/Portal/", forged)])
    with pytest.raises(ReleaseError, match="same OTA hash"):
        layout(activation, {honest.digest: Described(honest), forged.digest: Described(forged)})
