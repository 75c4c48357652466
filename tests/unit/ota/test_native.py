"""What a store-only activation holds for installed clients, and what proves over HTTP that they get it."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from orchestrator.domain.activation import Activation, ActivationName, Placement
from orchestrator.domain.described import Described
from orchestrator.domain.layout import Layout
from orchestrator.domain.release import Manifest
from orchestrator.ota.documents import documents, token
from orchestrator.ota.expected import Expected, Questions
from orchestrator.ota.layouts import layout
from tests.unit.ota.test_documents import file

NAME = ActivationName(4, "0123456789abcdef")
SHARED = file("lib/a b.js", b"of every version")
RELEASES = {
    version: Described(Manifest.of([file("index.html", version.encode()), SHARED])) for version in ("1.0", "1.1", "2.0")
}
BY_DIGEST = {release.manifest.digest: release for release in RELEASES.values()}
TOP = "-/ToDo"


OLD, NEWER = (RELEASES[version].manifest.digest for version in ("1.0", "1.1"))


def placed(builds: Sequence[str] | None = ()) -> Placement:
    """Store-only with these builds; hybrid where it is None."""
    held = None if builds is None else tuple(sorted(set(builds)))
    return Placement("ToDo", "/ToDo/", "2.0", RELEASES["2.0"].manifest.digest, held)


def token_of(version: str) -> str:
    return token(Placement("ToDo", "/ToDo/", version, RELEASES[version].manifest.digest))


def laid_out(placement: Placement) -> Layout:
    return layout(Activation.of(NAME, [placement]), BY_DIGEST)


def content(made: Layout, path: str) -> bytes:
    return made.generated[made.activation.files[path]]


def below(made: Layout, folder: str) -> set[str]:
    """What lies in a folder of the app's documents."""
    top = f"{TOP}/{folder}/"
    return {path.removeprefix(top) for path in made.activation.files if path.startswith(top)}


def test_a_hybrid_activation_holds_nothing_for_native_clients() -> None:
    made = laid_out(placed(None))

    assert {path for path in made.activation.files if path.startswith(f"{TOP}/")} == {
        f"{TOP}/{name}" for name in ("manifest.json", "moduleversioninfo.json", "moduleinfo.json", "precache.json")
    }


def test_how_an_app_is_distributed_changes_no_token() -> None:
    assert token(placed([OLD])) == token(placed(None)) == token_of("2.0")


def test_builds_of_one_release_are_answered_with_its_documents() -> None:
    """Whichever of them asks without a token: it has this version."""
    made = laid_out(placed([OLD]))

    of_build = documents(placed([OLD]).installed()[0], RELEASES["1.0"])
    assert below(made, "native") == {"store-only", "moduleversioninfo.json", "moduleinfo.json", "precache.json"}
    assert json.loads(content(made, f"{TOP}/native/moduleversioninfo.json")) == {"versionToken": token_of("1.0")}
    assert content(made, f"{TOP}/native/moduleinfo.json") == of_build.info
    assert content(made, f"{TOP}/native/precache.json") == of_build.precache
    # Everybody else goes on getting the release.
    assert json.loads(content(made, f"{TOP}/moduleversioninfo.json")) == {"versionToken": token_of("2.0")}


@pytest.mark.parametrize("builds", [(), (OLD, NEWER)])
def test_where_the_version_is_not_known_there_is_a_marker_alone(builds: Sequence[str]) -> None:
    assert below(laid_out(placed(builds)), "native") == {"store-only"}


def test_every_file_and_the_moduleinfo_of_each_build_are_held_and_found() -> None:
    made = laid_out(placed([OLD, NEWER]))

    held = set(made.objects())
    for version in ("1.0", "1.1"):
        name = token_of(version)
        for entry in RELEASES[version].manifest:
            assert made.by_hash[entry.ota] == entry.sha256 == made.activation.files[f"{TOP}/builds/{name}/{entry.path}"]
            assert entry.sha256 in held
        assert made.by_hash[name] == made.activation.files[f"{TOP}/builds/{name}.json"]
        assert json.loads(content(made, f"{TOP}/builds/{name}.json"))["manifest"]["versionToken"] == name


def test_nothing_of_a_build_hangs_on_its_hash_alone() -> None:
    """A frontend's prune removes objects that only `by-hash` links to."""
    made = laid_out(placed([OLD, NEWER]))

    linked = set(made.activation.files.values()).union(*(tree.files.values() for tree in made.releases))
    assert set(made.by_hash.values()) <= linked


def test_the_builds_do_not_hide_the_release() -> None:
    made = laid_out(placed([OLD]))

    assert made.activation.links == {"ToDo": f"../../releases/ToDo/{RELEASES['2.0'].manifest.digest}"}
    assert [tree.path for tree in made.releases] == [f"releases/ToDo/{RELEASES['2.0'].manifest.digest}"]


def test_an_activation_names_each_release_that_it_holds_once() -> None:
    activation = Activation.of(NAME, [placed([OLD, NEWER])])

    assert sorted(activation.digests()) == sorted(BY_DIGEST)


def asked(builds: Sequence[str] | None) -> list[Expected]:
    activation = Activation.of(NAME, [placed(builds)])
    return [expected for _, expected in Questions.of(activation, BY_DIGEST, {}).asked(None, "seed")]


def test_the_proof_asks_as_a_native_client_with_and_without_a_token() -> None:
    made, version = laid_out(placed([OLD])), "/ToDo/moduleservices/moduleversioninfo"
    told = made.activation.files[f"{TOP}/native/moduleversioninfo.json"]

    proofs = [(e.url, e.native, e.sha256) for e in asked([OLD]) if e.url.startswith(version)]

    assert proofs == [
        (version, False, made.activation.files[f"{TOP}/moduleversioninfo.json"]),
        (version, True, told),
        (f"{version}?{token_of('1.0')}", True, told),
        (f"{version}?{token_of('1.0')}", False, told),
    ]


def test_the_proof_asks_for_what_must_not_be_answered() -> None:
    refused = [e.url for e in asked([OLD, NEWER]) if e.sha256 is None]

    assert refused == [
        "/ToDo/moduleservices/moduleversioninfo", "/ToDo/moduleservices/moduleinfo", "/ToDo/precache.manifest",
    ]  # fmt: skip
    assert all(e.native and e.pinned for e in asked([OLD, NEWER]) if e.sha256 is None)


def test_the_proof_fetches_the_files_of_every_build_by_hash() -> None:
    found = {(e.url, e.sha256) for e in asked([OLD, NEWER]) if e.native and not e.pinned}

    for version in ("1.0", "1.1"):
        for entry in RELEASES[version].manifest:
            assert (f"/ToDo/{entry.path.replace(' ', '%20')}?{entry.ota}", entry.sha256) in found


def test_of_a_hybrid_app_nobody_asks_as_a_native_client() -> None:
    assert not any(e.native for e in asked(None))
