from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.adapters.artifacts import DirectoryArtifacts
from orchestrator.adapters.sources import entries
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.contents import Entry, Limits, Plain
from orchestrator.domain.errors import ConflictError, LockstepError, ReleaseError, UsageError
from orchestrator.domain.upgrade import Kind
from orchestrator.ports import ReleaseRecord, Releases
from orchestrator.services.releases import ReleaseName, Releasing, described
from orchestrator.settings import Settings
from tests.unit.releases.records import Records
from tests.unit.releases.trees import Tree, lay_out, manifest_of, snapshot, tar_bytes

TREE: Tree = {"index.html": b"<html>", "js/app.js": b"let x", "js/copy.js": b"let x"}
NAME = ReleaseName("ToDo", "1.0.0")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

#: Two different messages of 128 bytes with one MD5, published by Wang and Yu in 2005.
COLLISION = bytearray.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f89"
    "55ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5b"
    "d8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0"
    "e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"
)


def plain(tree: Tree) -> Iterator[Entry]:
    return (Plain(path, iter([data])) for path, data in tree.items())


@dataclass
class Place:
    """A store and a ledger of releases, both new."""

    store: Path
    records: Releases

    @property
    def releasing(self) -> Releasing:
        return Releasing(self.records, DirectoryArtifacts(self.store), lambda: NOON)

    def untouched(self) -> bool:
        stored = [name for name in snapshot(self.store) if name != "incoming"] if self.store.exists() else []
        return not stored and not self.records.releases()


@pytest.fixture(params=["in memory", "SQL"])
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    if request.param == "in memory":
        return Place(tmp_path / "store", Records())
    return Place(tmp_path / "store", Lockstep(Settings.read({"LOCKSTEP_HOME": str(tmp_path / "home")})).ledger)


def test_a_build_stores_the_release_and_records_it(place: Place) -> None:
    built = place.releasing.build(plain(TREE), NAME)
    manifest = manifest_of(TREE)
    assert built.record == ReleaseRecord("ToDo", "1.0.0", manifest.digest, 3, 16, NOON)
    assert (built.new, built.objects, built.size) == (True, 2, 11)
    assert place.releasing.show(NAME) == (built.record, manifest)


def test_the_same_content_again_is_already_there(place: Place, tmp_path: Path) -> None:
    first = place.releasing.build(plain(TREE), NAME)
    (tmp_path / "r.tar").write_bytes(tar_bytes(TREE))
    again = place.releasing.build(entries(tmp_path / "r.tar"), NAME)
    assert (again.new, again.objects, again.size) == (False, 0, 0)
    assert again.record == first.record
    assert place.records.releases() == [first.record]


def test_other_content_under_the_same_version_is_refused_and_not_stored(place: Place) -> None:
    place.releasing.build(plain(TREE), NAME)
    before = snapshot(place.store)
    for attempt in (place.releasing.build, place.releasing.preview):
        with pytest.raises(ConflictError) as refused:
            attempt(plain(TREE | {"new": b"1"}), NAME)
        assert refused.value.problem.expected == f"digest {manifest_of(TREE).digest}"
        assert "new version" in refused.value.problem.remedy
    assert snapshot(place.store) == before
    assert place.releasing.show(NAME)[1] == manifest_of(TREE)


def test_the_same_content_may_be_two_versions_and_two_apps(place: Place) -> None:
    names = [NAME, ReleaseName("ToDo", "1.0.1"), ReleaseName("Portal", "1.0.0")]
    assert [place.releasing.build(plain(TREE), name).new for name in names] == [True] * 3
    assert len({r.digest for r in place.records.releases()}) == 1


def test_two_builders_of_one_version_agree_on_one_content(place: Place) -> None:
    def attempt(n: int) -> str | None:
        try:
            return place.releasing.build(plain({"a": b"%d" % (n % 2)}), NAME).record.digest
        except ConflictError:
            return None

    with ThreadPoolExecutor(4) as builders:
        digests = set(builders.map(attempt, range(8)))
    (record,) = place.records.releases()
    assert digests == {record.digest, None}


def test_a_preview_says_what_a_build_would_do_and_changes_nothing(place: Place) -> None:
    before = place.releasing.preview(plain(TREE), NAME)
    assert place.untouched() and not place.store.exists()
    built = place.releasing.build(plain(TREE), NAME)
    assert before == built
    stored = snapshot(place.store)
    after = place.releasing.preview(plain(TREE | {"new": b"123"}), ReleaseName("ToDo", "1.0.1"))
    assert (after.new, after.objects, after.size) == (True, 1, 3)
    assert snapshot(place.store) == stored
    assert len(place.records.releases()) == 1


def test_content_that_the_store_lost_is_stored_again(place: Place) -> None:
    place.releasing.build(plain(TREE), NAME)
    for path in place.store.glob("*/**/*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(ReleaseError, match="has no manifest"):
        place.releasing.show(NAME)
    built = place.releasing.build(plain(TREE), NAME)
    assert (built.new, built.objects) == (False, 2)
    assert place.releasing.show(NAME)[1] == manifest_of(TREE)


@pytest.mark.parametrize(
    "tree", [{}, {"../x": b"1"}, {"a": b"1", "A": b"2"}, {"ok": b"1", "moduleservices/x": b"2"}, {"a": b"", "a/b": b""}]
)
def test_a_refused_source_changes_nothing(place: Place, tree: Tree) -> None:
    with pytest.raises(ReleaseError):
        place.releasing.build(plain(tree), NAME)
    assert place.untouched()


def test_two_files_that_clients_can_not_tell_apart_are_refused(place: Place, tmp_path: Path) -> None:
    twin = bytearray(COLLISION)
    for position in (19, 45, 59, 83, 109, 123):
        twin[position] ^= 0x80
    assert twin != COLLISION
    lay_out({"one.js": bytes(COLLISION), "two.js": bytes(twin)}, tmp_path / "tree")
    with pytest.raises(ReleaseError, match="MD5 collision"):
        place.releasing.build(entries(tmp_path / "tree"), NAME)
    assert place.untouched()


@pytest.mark.parametrize("app", ["", "1app", "a b", "a/b", "../a", "a\n", "é", "a" * 64])
def test_an_app_that_can_not_be_a_name_is_refused_unread(place: Place, app: str) -> None:
    for attempt in (place.releasing.build, place.releasing.preview):
        with pytest.raises(UsageError, match="not an app's name"):
            attempt(unreadable(), ReleaseName(app, "1"))
    assert place.untouched()


@pytest.mark.parametrize("version", ["", "-1", "1 2", "1/2", "..", "1\n", "é", "1" * 65])
def test_a_version_that_can_not_be_one_is_refused_unread(place: Place, version: str) -> None:
    with pytest.raises(UsageError, match="not a version"):
        place.releasing.build(unreadable(), ReleaseName("ToDo", version))
    assert place.untouched()


def unreadable() -> Iterator[Entry]:
    raise AssertionError("the source was read")
    yield


def test_limits_hold_for_every_source(place: Place, tmp_path: Path) -> None:
    lay_out(TREE, tmp_path / "tree")
    (tmp_path / "r.tgz").write_bytes(tar_bytes(TREE, compressed=True))
    for limits in (Limits(size=15, entries=10), Limits(size=16, entries=3)):
        releasing = Releasing(place.records, DirectoryArtifacts(place.store), lambda: NOON, limits)
        for source in ("tree", "r.tgz"):
            with pytest.raises(ReleaseError, match="too"):
                releasing.build(entries(tmp_path / source), NAME)
    assert place.untouched()
    exact = Releasing(place.records, DirectoryArtifacts(place.store), lambda: NOON, Limits(size=16, entries=4))
    assert exact.build(entries(tmp_path / "tree"), NAME).new


def test_the_watcher_hears_how_much_has_been_read(place: Place) -> None:
    heard: list[tuple[int, int]] = []
    place.releasing.build(plain(TREE), NAME, lambda files, size: heard.append((files, size)))
    assert heard == [(1, 6), (2, 11), (3, 16)]


def test_a_release_that_does_not_exist_is_named_beside_those_that_do(place: Place) -> None:
    place.releasing.build(plain(TREE), NAME)
    with pytest.raises(UsageError) as refused:
        place.releasing.show(ReleaseName("ToDo", "2.0.0"))
    assert "ToDo 2.0.0" in refused.value.problem.what
    assert "1.0.0" in refused.value.problem.expected
    with pytest.raises(LockstepError):
        place.releasing.diff(NAME, ReleaseName("Portal", "1.0.0"))


def test_a_difference_is_told_from_one_release_to_the_other(place: Place) -> None:
    later = ReleaseName("ToDo", "2.0.0")
    place.releasing.build(plain(TREE), NAME)
    place.releasing.build(plain({"index.html": b"<html lang>", "js/app.js": b"let x", "new": b""}), later)
    found = place.releasing.diff(NAME, later)
    assert [f.path for f in found.added] == ["new"]
    assert [f.path for f in found.removed] == ["js/copy.js"]
    assert [(c.after.path, c.before.size, c.after.size) for c in found.changed] == [("index.html", 6, 11)]


DECLARED = b'{"format": 1, "actions": {"Save": "1"}}'


@pytest.mark.parametrize("path", ["contract.json", "native.json"])
@pytest.mark.parametrize("content", [b"", b"{}", b'{"format": 1, "colour": "red"}', b"[" * 2_000_000])
def test_a_declaration_that_can_t_be_read_is_refused_when_the_release_is_built(
    place: Place, path: str, content: bytes
) -> None:
    for attempt in (place.releasing.build, place.releasing.preview):
        with pytest.raises(ReleaseError) as refused:
            attempt(plain({**TREE, path: content}), NAME)
        assert refused.value.problem.where == path
    assert place.untouched()


def test_a_declaration_is_a_file_of_the_release(place: Place) -> None:
    tree = {**TREE, "contract.json": DECLARED, "native.json": b'{"format": 1, "icon": "index.html"}'}
    place.releasing.build(plain(tree), NAME)
    record, manifest = place.releasing.show(NAME)
    assert manifest == manifest_of(tree)
    found = described(DirectoryArtifacts(place.store), record.digest)
    assert found.contract.actions == {"Save": "1"}
    assert found.native.icon == "index.html"


def test_a_declaration_that_is_a_link_is_refused(place: Place, tmp_path: Path) -> None:
    lay_out({**TREE, "made.json": DECLARED}, tmp_path / "tree")
    (tmp_path / "tree" / "contract.json").symlink_to("made.json")
    with pytest.raises(ReleaseError, match="json is a link") as refused:
        place.releasing.build(entries(tmp_path / "tree"), NAME)
    assert "copy" in refused.value.problem.remedy
    assert place.untouched()


def test_releases_of_one_app_are_compared_and_of_two_are_not(place: Place) -> None:
    other = ReleaseName("ToDo", "2.0.0")
    place.releasing.build(plain(TREE), NAME)
    place.releasing.build(plain({**TREE, "contract.json": DECLARED}), other)
    assert place.releasing.compare(NAME, other).kind is Kind.SEAMLESS
    assert place.releasing.compare(other, NAME).kind is Kind.ATTENTION
    place.releasing.build(plain(TREE), ReleaseName("Portal", "1.0.0"))
    with pytest.raises(UsageError, match="two apps"):
        place.releasing.compare(NAME, ReleaseName("Portal", "1.0.0"))
    with pytest.raises(UsageError, match="no release ToDo 3"):
        place.releasing.compare(NAME, ReleaseName("ToDo", "3"))
