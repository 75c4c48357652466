from __future__ import annotations

import io
import os
import stat
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.adapters.sources import entries
from orchestrator.domain.contents import Plain
from orchestrator.domain.errors import ReleaseError
from tests.unit.releases.reading import read, refused
from tests.unit.releases.trees import Tree, content_of, gather, lay_out, manifest_of, zip_bytes, zip_member

TREE: Tree = {"index.html": b"<html>", "js/app.js": b"x" * 5000, "js/empty": b"", "a b+%?#/日本é.txt": b"1"}
CENTRAL, LOCAL = b"PK\x01\x02", b"PK\x03\x04"


def patched(data: bytes, central: int, local: int, change: Callable[[int], int]) -> bytes:
    """The archive with the 16-bit field at these offsets of the last member's two headers changed."""
    out = bytearray(data)
    for signature, offset in ((CENTRAL, central), (LOCAL, local)):
        place = data.rindex(signature) + offset
        (value,) = struct.unpack_from("<H", data, place)
        struct.pack_into("<H", out, place, change(value))
    return bytes(out)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_brings_its_files(tmp_path: Path, method: int) -> None:
    assert read(tmp_path, zip_bytes(TREE, method=method), "r.zip") == manifest_of(TREE)


def test_what_the_systems_zip_packs_is_read(tmp_path: Path) -> None:
    lay_out(TREE, tmp_path / "tree")
    (tmp_path / "tree/link.html").symlink_to("index.html")
    command = ["zip", "-qry", str(tmp_path / "r.zip"), "."]
    subprocess.run(command, check=True, cwd=tmp_path / "tree", env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert gather(entries(tmp_path / "r.zip")) == manifest_of(TREE | {"link.html": b"<html>"})


def test_directories_and_a_leading_dot_are_no_harm(tmp_path: Path) -> None:
    extra = [(zip_member(name, stat.S_IFDIR | 0o755), b"") for name in ("./", "js/", "./js/", "./new/")]
    assert read(tmp_path, zip_bytes(TREE, *extra, (zip_member("./x"), b"2")), "r.zip") == manifest_of(
        TREE | {"x": b"2"}
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../x", "upwards"),
        ("js/../../x", "upwards"),
        ("/etc/passwd", "absolute"),
        ("C:/x", "absolute"),
        ("..\\..\\x", "backslash"),
        ("js\\app.js", "backslash"),
        ("a//b", "empty segment"),
        ("a\nb", "control character"),
        ("index.html\0.png", "control character"),
        ("e\u0301", "NFC"),
        ("n" * 256, "longer than 255"),
        ("-/x", "reserved"),
        ("precache.MANIFEST", "reserved"),
        ("moduleservices/moduleinfo", "reserved"),
        ("index.html", "there twice"),
        ("./index.html", "there twice"),
        ("Index.html", "differ only by case"),
        ("js", "both a file and a directory"),
        ("index.html/", "both a file and a directory"),
        ("//", "absolute"),
        ("/", "empty segment"),
        ("", "empty segment"),
        (".", "lone dot"),
        ("a/./", "lone dot"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_hostile_name_is_refused(tmp_path: Path, name: str, words: str) -> None:
    mode = stat.S_IFDIR | 0o755 if name.endswith("/") else stat.S_IFREG | 0o644
    error = refused(tmp_path, zip_bytes(TREE, (zip_member(name, mode), b"")), "r.zip")
    assert words in error.problem.what


def without_flag(info: zipfile.ZipInfo) -> bytes:
    return patched(zip_bytes({}, (info, b"1")), 8, 6, lambda flags: flags & ~0x800)


def test_a_name_without_the_flag_for_utf8_is_utf8_where_unix_packed_it(tmp_path: Path) -> None:
    assert read(tmp_path, without_flag(zip_member("caf\xe9.js")), "r.zip") == manifest_of({"caf\xe9.js": b"1"})


def test_a_name_without_the_flag_for_utf8_is_refused_where_another_system_packed_it(tmp_path: Path) -> None:
    info = zip_member("caf\xe9.js")
    info.create_system = 0
    assert "encoding" in refused(tmp_path, without_flag(info), "r.zip").problem.what


def test_a_name_in_another_encoding_is_refused(tmp_path: Path) -> None:
    data = without_flag(zip_member("caf\xe9.js")).replace(b"\xc3\xa9", b"\xe9\xe9")
    error = refused(tmp_path, data, "r.zip")
    assert "UTF-8" in error.problem.what
    assert error.problem.where == "caf\\xe9\\xe9.js"


def test_a_name_that_is_not_the_utf8_it_says_is_refused(tmp_path: Path) -> None:
    data = zip_bytes({"caf\xe9.js": b"1"})
    refused(tmp_path, data.replace(b"\xc3\xa9", b"\xff\xfe"), "r.zip")


@pytest.mark.parametrize("system", [0, 3, 10, 19])
def test_a_link_inside_is_stored_as_its_target_whoever_packed_it(tmp_path: Path, system: int) -> None:
    link = zip_member("js/link", stat.S_IFLNK | 0o777)
    link.create_system = system
    found = read(tmp_path, zip_bytes(TREE, (link, b"../index.html")), "r.zip")
    assert found.by_path["js/link"].content == content_of(b"<html>")


@pytest.mark.parametrize("system", [0, 3, 10, 19])
@pytest.mark.parametrize("target", [b"/etc/passwd", b"../x", b"js", b"link", b"nowhere", b"\xff", b""])
def test_a_link_that_leads_elsewhere_is_refused_whoever_packed_it(tmp_path: Path, target: bytes, system: int) -> None:
    link = zip_member("link", stat.S_IFLNK | 0o777)
    link.create_system = system
    assert refused(tmp_path, zip_bytes(TREE, (link, target)), "r.zip").problem.where == "link"


def test_a_link_with_a_target_without_end_is_refused_unread(tmp_path: Path) -> None:
    link = zip_member("link", stat.S_IFLNK | 0o777)
    assert "too long" in refused(tmp_path, zip_bytes(TREE, (link, b"x" * 4097)), "r.zip").problem.what
    assert "nothing" in refused(tmp_path, zip_bytes(TREE, (link, b"x" * 4096)), "r.zip").problem.what


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFDIR, 0o030000])
def test_a_member_whose_attributes_say_something_odd_is_refused(tmp_path: Path, kind: int) -> None:
    error = refused(tmp_path, zip_bytes(TREE, (zip_member("odd", kind | 0o644), b"")), "r.zip")
    assert error.problem.where == "odd"


def test_a_file_that_says_it_is_a_directory_is_refused(tmp_path: Path) -> None:
    dos = zip_member("odd")
    dos.external_attr = 0x10
    refused(tmp_path, zip_bytes(TREE, (dos, b"1")), "r.zip")
    for mode in (stat.S_IFREG, stat.S_IFLNK):
        refused(tmp_path, zip_bytes(TREE, (zip_member("odd/", mode), b"")), "r.zip")
    refused(tmp_path, zip_bytes(TREE, (zip_member("odd/", stat.S_IFDIR), b"with bytes")), "r.zip")


def test_a_file_without_attributes_is_a_file(tmp_path: Path) -> None:
    info = zip_member("plain", 0)
    info.create_system = 0
    assert read(tmp_path, zip_bytes({}, (info, b"1")), "r.zip") == manifest_of({"plain": b"1"})


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000])
def test_an_encrypted_archive_is_refused(tmp_path: Path, flag: int) -> None:
    error = refused(tmp_path, patched(zip_bytes(TREE), 8, 6, lambda flags: flags | flag), "r.zip")
    assert "encrypted" in error.problem.what


def test_an_archive_that_the_systems_zip_encrypted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("secret")
    subprocess.run(["zip", "-q", "-P", "word", "r.zip", "a"], check=True, cwd=tmp_path)
    with pytest.raises(ReleaseError, match="encrypted"):
        gather(entries(tmp_path / "r.zip"))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_that_unpacks_gigabytes_at_once_is_refused(tmp_path: Path, method: int) -> None:
    error = refused(tmp_path, zip_bytes({"zeros": bytes(1000)}, method=method), "r.zip")
    assert "compression method" in error.problem.what


def test_an_unknown_method_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, patched(zip_bytes({"a": b"1"}), 10, 8, lambda _: 99), "r.zip")


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    data = zip_bytes({"a": b"12345678"}, method=zipfile.ZIP_STORED)
    assert "CRC" in refused(tmp_path, data.replace(b"12345678", b"12345679"), "r.zip").problem.found


def test_a_compressed_stream_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    data = bytearray(zip_bytes({"a": b"1" * 1000}))
    start = data.index(b"a", data.index(LOCAL)) + 1
    data[start : start + 8] = b"\xff" * 8
    assert refused(tmp_path, bytes(data), "r.zip").problem.where == "a"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("claimed", [0, 1, 999, 1001, 2**31])
def test_a_size_that_is_not_the_files_is_refused(tmp_path: Path, method: int, claimed: int) -> None:
    data = bytearray(zip_bytes({"a": b"1" * 1000}, method=method))
    struct.pack_into("<L", data, data.rindex(CENTRAL) + 24, claimed)
    refused(tmp_path, bytes(data), "r.zip")


def test_two_names_for_one_member_are_refused(tmp_path: Path) -> None:
    data = zip_bytes({"good.js": b"1"})
    place = data.rindex(b"good.js")
    refused(tmp_path, data[:place] + b"evil.js" + data[place + 7 :], "r.zip")


def test_an_archive_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = zip_bytes({"a": b"1", "b/c": b"22"})
    for size in range(len(whole)):
        refused(tmp_path, whole[:size], "r.zip")


@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip" * 100, zip_bytes({})])
def test_what_is_no_archive_or_holds_nothing_is_refused(tmp_path: Path, data: bytes) -> None:
    refused(tmp_path, data, "r.zip")


def test_a_member_is_read_by_steps(tmp_path: Path) -> None:
    path = tmp_path / "r.zip"
    path.write_bytes(zip_bytes({"zeros": bytes(5 * 2**20 + 1)}))
    source = entries(path)
    found = next(source)
    assert isinstance(found, Plain)
    sizes = [len(chunk) for chunk in found.chunks]
    assert sum(sizes) == 5 * 2**20 + 1
    assert max(sizes) <= 2**20


def test_an_archive_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.zip"
    path.write_bytes(zip_bytes(TREE))
    with pytest.raises(ReleaseError, match="changed while it was read"):
        for entry in entries(path):
            if isinstance(entry, Plain):
                list(entry.chunks)
            os.utime(path, (1, 1))


def test_nothing_of_an_archive_is_unpacked(tmp_path: Path) -> None:
    buffer = io.BytesIO(zip_bytes({"a": b"1"}, (zip_member("../escaped"), b"2")))
    (tmp_path / "inner").mkdir()
    refused(tmp_path / "inner", buffer.getvalue(), "r.zip")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["inner", "r.zip"]
