from __future__ import annotations

import gzip
import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from orchestrator.adapters.sources import entries
from orchestrator.domain.contents import Plain
from orchestrator.domain.errors import ReleaseError
from tests.unit.releases.archives import BLOCK, pax
from tests.unit.releases.reading import read, refused
from tests.unit.releases.trees import Tree, content_of, gather, lay_out, manifest_of, member, tar_bytes

TREE: Tree = {"index.html": b"<html>", "js/app.js": b"x" * 5000, "js/empty": b"", "long/" * 30 + "é.txt": b"1"}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize("prefix", ["", "./"])
@pytest.mark.parametrize("name", ["r.tar", "r.tar.gz", "R.TGZ"])
def test_an_archive_brings_its_files(tmp_path: Path, form: int, prefix: str, name: str) -> None:
    data = tar_bytes(TREE, prefix=prefix, form=form, compressed=name != "r.tar")
    assert read(tmp_path, data, name) == manifest_of(TREE)


@pytest.mark.parametrize("program", ["tar", "busybox tar"])
@pytest.mark.parametrize("what", [".", "index.html js long"])
def test_what_the_systems_tar_packs_is_read(tmp_path: Path, program: str, what: str) -> None:
    lay_out(TREE, tmp_path / "tree")
    os.link(tmp_path / "tree/index.html", tmp_path / "tree/js/twin.html")
    (tmp_path / "tree/js/link.html").symlink_to("../index.html")
    command = [*program.split(), "-czf", str(tmp_path / "r.tgz"), "-C", str(tmp_path / "tree"), *what.split()]
    subprocess.run(command, check=True)
    twins = {"js/twin.html": b"<html>", "js/link.html": b"<html>"}
    assert gather(entries(tmp_path / "r.tgz")) == manifest_of(TREE | twins)


def test_a_single_top_directory_is_kept(tmp_path: Path) -> None:
    tree = {f"todo-2.0/{path}": data for path, data in TREE.items()}
    assert read(tmp_path, tar_bytes(tree), "r.tar") == manifest_of(tree)


def test_directories_twice_and_the_top_itself_are_no_harm(tmp_path: Path) -> None:
    extra = [member(name, tarfile.DIRTYPE) for name in ("./", ".", "js", "js/", "./js", "new")]
    assert read(tmp_path, tar_bytes(TREE, *extra), "r.tar") == manifest_of(TREE)


def test_a_file_with_the_type_of_the_oldest_tars_is_a_file(tmp_path: Path) -> None:
    assert read(tmp_path, tar_bytes({}, member("old", tarfile.AREGTYPE)), "r.tar") == manifest_of({"old": b""})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../x", "upwards"),
        ("js/../../x", "upwards"),
        ("./../x", "upwards"),
        ("/etc/passwd", "absolute"),
        (".//etc/passwd", "absolute"),
        ("C:/x", "absolute"),
        ("..\\x", "backslash"),
        ("././x", "lone dot"),
        ("a//b", "empty segment"),
        ("a/./b", "lone dot"),
        ("a\nb", "control character"),
        ("a\udce9", "UTF-8"),
        ("e\u0301", "NFC"),
        ("n" * 256, "longer than 255"),
        ("n/" * 600 + "x", "longer than 1024"),
        ("-/x", "reserved"),
        ("./precache.manifest", "reserved"),
        ("ModuleServices/moduleinfo", "reserved"),
        ("index.html", "there twice"),
        ("./index.html", "there twice"),
        ("INDEX.html", "differ only by case"),
        ("JS/b", "differ only by case"),
        ("index.html/x", "both a file and a directory"),
        ("js", "both a file and a directory"),
    ],
)
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_hostile_name_is_refused(tmp_path: Path, name: str, words: str, form: int) -> None:
    error = refused(tmp_path, tar_bytes(TREE, member(name), form=form), "r.tar")
    assert words in error.problem.what
    assert error.problem.where


@pytest.mark.parametrize("name", ["../x", "/x", "", "/"])
def test_a_directory_or_link_with_a_hostile_name_is_refused_too(tmp_path: Path, name: str) -> None:
    for extra in (member(name, tarfile.DIRTYPE), member(name, tarfile.SYMTYPE, target="index.html")):
        refused(tmp_path, tar_bytes(TREE, extra), "r.tar")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../x", "js/../../etc/passwd", "nowhere", "js", "link", "", "..", "js/app.js/"]
)
def test_a_link_that_leads_elsewhere_is_refused(tmp_path: Path, kind: bytes, target: str) -> None:
    assert refused(tmp_path, tar_bytes(TREE, member("link", kind, target=target)), "r.tar").problem.where == "link"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("first", [True, False])
def test_a_link_inside_is_stored_as_its_target_wherever_that_stands(tmp_path: Path, kind: bytes, first: bool) -> None:
    link = tar_bytes({}, member("link", kind, target="./js/app.js"))[:BLOCK]
    files = tar_bytes(TREE, form=tarfile.GNU_FORMAT)
    data = link + files if first else tar_bytes(TREE, member("link", kind, target="./js/app.js"))
    assert read(tmp_path, data, "r.tar").by_path["link"].content == content_of(TREE["js/app.js"])


def test_a_link_that_takes_the_place_of_a_directory_is_refused(tmp_path: Path) -> None:
    link = member("out", tarfile.SYMTYPE, target="/tmp")
    assert "both" in refused(tmp_path, tar_bytes(TREE, link, member("out/x")), "r.tar").problem.what


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    one, two = member("one", tarfile.SYMTYPE, target="two"), member("two", tarfile.LNKTYPE, target="one")
    assert "circle" in refused(tmp_path, tar_bytes(TREE, one, two), "r.tar").problem.what


@pytest.mark.parametrize("kind", [b"3", b"4", b"6", b"7", b"V", b"M", b"D", b"N", b"A", b"z", b"9"])
def test_a_member_of_an_odd_type_is_refused(tmp_path: Path, kind: bytes) -> None:
    error = refused(tmp_path, tar_bytes(TREE, member("odd", kind)), "r.tar")
    assert (error.problem.what, error.problem.where) == ("not a file", "odd")


def test_a_sparse_file_is_refused_in_every_spelling(tmp_path: Path) -> None:
    assert (
        "--sparse" in refused(tmp_path, tar_bytes(TREE, member("odd", tarfile.GNUTYPE_SPARSE)), "r.tar").problem.remedy
    )
    for record in (
        b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n30 GNU.sparse.name=index2.html\n",
        b"20 GNU.sparse.size=5\n",
        b"21 GNU.sparse.map=0,1\n",
        b"24 GNU.sparse.realsize=5\n",
        b"27 GNU.sparse.name=other.js\n",
    ):
        refused(tmp_path, pax(record) + tar_bytes({"a": b"12345"}, form=tarfile.USTAR_FORMAT), "r.tar")


def test_what_gnu_tar_packs_as_sparse_is_refused(tmp_path: Path) -> None:
    hole = tmp_path / "tree/hole"
    hole.parent.mkdir()
    with hole.open("wb") as file:
        file.truncate(2**20)
        file.write(b"end")
    for form in ("gnu", "posix"):
        path = tmp_path / f"{form}.tar"
        subprocess.run(["tar", "-S", f"--format={form}", "-cf", path, "-C", tmp_path / "tree", "hole"], check=True)
        with pytest.raises(ReleaseError, match="sparse"):
            gather(entries(path))


def test_an_archive_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.tar"
    path.write_bytes(tar_bytes(TREE))
    with pytest.raises(ReleaseError, match="changed while it was read"):
        for entry in entries(path):
            if isinstance(entry, Plain):
                list(entry.chunks)
            os.utime(path, (1, 1))


def test_a_member_is_read_by_steps(tmp_path: Path) -> None:
    path = tmp_path / "r.tgz"
    path.write_bytes(gzip.compress(tar_bytes({"zeros": bytes(5 * 2**20 + 1)}), 1))
    source = entries(path)
    found = next(source)
    assert isinstance(found, Plain)
    sizes = [len(chunk) for chunk in found.chunks]
    assert sum(sizes) == 5 * 2**20 + 1
    assert max(sizes) <= 2**20


def test_nothing_of_an_archive_is_unpacked(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("a", "../escaped", "/tmp/escaped-from-a-release"):
            tar.addfile(member(name, size=1), io.BytesIO(b"1"))
    (tmp_path / "inner").mkdir()
    refused(tmp_path / "inner", buffer.getvalue(), "r.tar")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["inner", "r.tar"]
    assert not Path("/tmp/escaped-from-a-release").exists()
