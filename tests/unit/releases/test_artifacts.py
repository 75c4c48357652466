from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given

from orchestrator.adapters.artifacts import DirectoryArtifacts
from orchestrator.domain.errors import LockstepError, ReleaseError
from orchestrator.domain.release import Manifest
from orchestrator.ports import Artifacts
from tests.unit.releases.trees import Tree, content_of, manifest_of, snapshot, trees

TREE: Tree = {"a": b"1", "b/c": b"22" * 100_000, "b/d": b"1", "empty": b""}
SHA = content_of(b"1").sha256


def store(artifacts: Artifacts, tree: Tree) -> Manifest:
    with artifacts.intake() as intake:
        for data in tree.values():
            assert intake.add([data[:7], data[7:]]) == content_of(data)
        intake.commit(manifest_of(tree))
    return manifest_of(tree)


def content(artifacts: Artifacts, sha256: str) -> bytes:
    with artifacts.open(sha256) as file:
        return file.read()


def test_what_was_stored_is_read_back(tmp_path: Path) -> None:
    artifacts = DirectoryArtifacts(tmp_path / "store")
    manifest = store(artifacts, TREE)
    assert artifacts.manifest(manifest.digest) == manifest
    for f in manifest:
        assert artifacts.has(f.sha256)
        assert content(artifacts, f.sha256) == TREE[f.path]


def test_the_layout_is_the_documented_one_and_read_only(tmp_path: Path) -> None:
    manifest = store(DirectoryArtifacts(tmp_path), TREE)
    expected = {f"objects/{f.sha256[:2]}/{f.sha256}" for f in manifest} | {f"manifests/{manifest.digest}.json"}
    files = {name: mode for name, (mode, _) in snapshot(tmp_path).items() if stat.S_ISREG(mode)}
    assert set(files) == expected
    assert {stat.S_IMODE(mode) for mode in files.values()} == {0o444}
    assert (tmp_path / f"manifests/{manifest.digest}.json").read_bytes() == manifest.canonical
    assert list((tmp_path / "incoming").iterdir()) == []


def test_asking_makes_no_directory(tmp_path: Path) -> None:
    artifacts = DirectoryArtifacts(tmp_path / "store")
    assert not artifacts.has(SHA)
    for ask in (artifacts.open, artifacts.manifest):
        with pytest.raises(ReleaseError, match="artifact store has no"):
            ask(SHA)
    assert not (tmp_path / "store").exists()


def test_an_intake_without_commit_leaves_nothing_behind(tmp_path: Path) -> None:
    artifacts = DirectoryArtifacts(tmp_path)
    with artifacts.intake() as intake:
        intake.add([b"1"])
        assert not artifacts.has(SHA)
    assert list(snapshot(tmp_path)) == ["incoming"]


def test_an_intake_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half of it"
        raise ReleaseError("the source broke off")

    with pytest.raises(ReleaseError, match="broke off"), DirectoryArtifacts(tmp_path).intake() as intake:
        intake.add([b"1"])
        intake.add(chunks())
    assert list(snapshot(tmp_path)) == ["incoming"]


def test_a_commit_stores_only_what_the_manifest_names(tmp_path: Path) -> None:
    artifacts = DirectoryArtifacts(tmp_path)
    with artifacts.intake() as intake:
        other = intake.add([b"other"])
        intake.add([b"1"])
        intake.commit(manifest_of({"a": b"1"}))
    assert artifacts.has(SHA) and not artifacts.has(other.sha256)


def test_a_manifest_whose_content_is_missing_is_not_stored(tmp_path: Path) -> None:
    artifacts = DirectoryArtifacts(tmp_path)
    artifacts.add(SHA, [b"1"])
    manifest = manifest_of({"a": b"1", "b": b"2"})
    with pytest.raises(ReleaseError, match="has no object"):
        artifacts.add_manifest(manifest)
    with pytest.raises(ReleaseError, match="has no manifest"):
        artifacts.manifest(manifest.digest)
    artifacts.add(content_of(b"2").sha256, [b"2"])
    artifacts.add_manifest(manifest)
    assert artifacts.manifest(manifest.digest) == manifest


def test_an_object_under_a_wrong_name_is_refused(tmp_path: Path) -> None:
    artifacts = DirectoryArtifacts(tmp_path)
    with pytest.raises(ReleaseError, match="another hash") as refused:
        artifacts.add(SHA, [b"2"])
    assert refused.value.problem.expected == SHA
    assert not artifacts.has(SHA) and not artifacts.has(content_of(b"2").sha256)


def test_storing_the_same_again_touches_nothing(tmp_path: Path) -> None:
    artifacts = DirectoryArtifacts(tmp_path)
    store(artifacts, TREE)
    before = {path: path.stat().st_ino for path in (tmp_path / "objects").rglob("*")}
    store(artifacts, TREE)
    artifacts.add(SHA, [b"1"])
    assert {path: path.stat().st_ino for path in (tmp_path / "objects").rglob("*")} == before


def test_an_object_that_a_crash_cut_off_is_replaced(tmp_path: Path) -> None:
    artifacts = DirectoryArtifacts(tmp_path)
    manifest = store(artifacts, TREE)
    large = manifest.by_path["b/c"].sha256
    place = tmp_path / "objects" / large[:2] / large
    place.chmod(0o644)
    os.truncate(place, 10)
    store(artifacts, TREE)
    assert content(artifacts, large) == TREE["b/c"]


@pytest.mark.parametrize("spoil", [b"", b"{}", b"not json", manifest_of({"other": b"1"}).canonical])
def test_a_manifest_that_is_not_itself_is_refused(tmp_path: Path, spoil: bytes) -> None:
    artifacts = DirectoryArtifacts(tmp_path)
    manifest = store(artifacts, TREE)
    place = tmp_path / f"manifests/{manifest.digest}.json"
    place.chmod(0o644)
    place.write_bytes(spoil)
    with pytest.raises(ReleaseError, match="damaged"):
        artifacts.manifest(manifest.digest)


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", "a" * 65, "/" + "a" * 63]
)
def test_a_name_that_is_no_hash_never_reaches_the_disk(tmp_path: Path, name: str) -> None:
    artifacts = DirectoryArtifacts(tmp_path / "store")
    for ask in (artifacts.has, artifacts.open, artifacts.manifest, lambda sha: artifacts.add(sha, [b"1"])):
        with pytest.raises(ReleaseError, match="not a SHA-256"):
            ask(name)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_many_builders_at_once_store_every_release_whole(tmp_path: Path) -> None:
    releases: list[Tree] = [{f"own-{n}": b"%d" % n, "shared": b"s" * 100_000, "b": b"%d" % (n % 3)} for n in range(8)]
    with ThreadPoolExecutor(8) as builders:
        manifests = list(builders.map(lambda tree: store(DirectoryArtifacts(tmp_path), tree), releases * 4))
    artifacts = DirectoryArtifacts(tmp_path)
    for manifest in manifests:
        assert artifacts.manifest(manifest.digest) == manifest
        for f in manifest:
            assert content_of(content(artifacts, f.sha256)) == f.content
    assert list((tmp_path / "incoming").iterdir()) == []


BUILDER = """
import sys
from pathlib import Path
from orchestrator.adapters.artifacts import DirectoryArtifacts
with DirectoryArtifacts(Path(sys.argv[1])).intake() as intake:
    intake.add([b"left behind"])
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_what_a_killed_builder_left_is_swept_up_and_a_living_ones_is_not(tmp_path: Path) -> None:
    artifacts = DirectoryArtifacts(tmp_path)
    command = [sys.executable, "-c", BUILDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as builder:
        assert builder.stdout is not None
        assert builder.stdout.readline() == b"ready\n"
        artifacts.add(SHA, [b"1"])
        (left,) = (tmp_path / "incoming").iterdir()
        assert list(left.iterdir())
        builder.kill()
        builder.wait(60)
    assert left.is_dir()
    artifacts.add(SHA, [b"1"])
    assert not left.exists()


def test_a_stray_file_among_the_intakes_is_no_harm(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming/.DS_Store").touch()
    assert store(DirectoryArtifacts(tmp_path), TREE)


def test_a_store_that_can_not_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where a directory should be")
    with pytest.raises(LockstepError) as refused:
        DirectoryArtifacts(tmp_path / "store").add(SHA, [b"1"])
    assert refused.value.problem.where == str(tmp_path / "store")
    assert refused.value.problem.remedy


def test_a_full_disk_says_so_and_leaves_nothing_behind(tmp_path: Path) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"1"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(LockstepError, match="can't be used") as refused:
        DirectoryArtifacts(tmp_path).add(SHA, chunks())
    assert "No space left" in refused.value.problem.found
    assert list(snapshot(tmp_path)) == ["incoming"]


@given(trees())
def test_any_release_is_read_back(tree: Tree) -> None:
    with TemporaryDirectory() as name:
        artifacts = DirectoryArtifacts(Path(name))
        manifest = store(artifacts, tree)
        assert artifacts.manifest(manifest.digest) == manifest
        assert {f.path: content(artifacts, f.sha256) for f in manifest} == tree
