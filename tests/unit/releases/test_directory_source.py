from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.adapters.sources import entries
from orchestrator.adapters.sources.stamp import Stamp
from orchestrator.domain.contents import Link, Plain
from orchestrator.domain.errors import ReleaseError, UsageError
from tests.unit.releases.trees import Tree, content_of, gather, lay_out, manifest_of

TREE: Tree = {"index.html": b"<html>", "js/app.js": b"let x", "js/empty": b"", "a b+%?#'\"/日本.txt": b"\x00\xff"}


def test_a_directory_brings_every_file_below_it(tmp_path: Path) -> None:
    lay_out(TREE, tmp_path)
    (tmp_path / "empty directory").mkdir()
    assert gather(entries(tmp_path)) == manifest_of(TREE)


def test_a_directory_named_by_a_link_is_read(tmp_path: Path) -> None:
    lay_out(TREE, tmp_path / "real")
    (tmp_path / "current").symlink_to("real")
    assert gather(entries(tmp_path / "current")) == manifest_of(TREE)


def test_modes_and_times_do_not_count(tmp_path: Path) -> None:
    lay_out(TREE, tmp_path)
    (tmp_path / "js/app.js").chmod(0o4711)
    os.utime(tmp_path / "js", (1, 1))
    os.utime(tmp_path / "js/app.js", (0, 0))
    assert gather(entries(tmp_path)) == manifest_of(TREE)


def test_a_file_with_several_hard_links_is_a_file(tmp_path: Path) -> None:
    lay_out(TREE, tmp_path / "tree")
    os.link(tmp_path / "tree/js/app.js", tmp_path / "outside")
    os.link(tmp_path / "tree/js/app.js", tmp_path / "tree/twin")
    assert gather(entries(tmp_path / "tree")) == manifest_of(TREE | {"twin": TREE["js/app.js"]})


def test_a_symbolic_link_inside_the_tree_is_stored_as_its_target(tmp_path: Path) -> None:
    lay_out(TREE, tmp_path)
    (tmp_path / "js/main.js").symlink_to("../index.html")
    assert gather(entries(tmp_path)).by_path["js/main.js"].content == content_of(b"<html>")


@pytest.mark.parametrize(
    "target", ["../secret", "{top}/index.html", "/etc/passwd", "js", ".", "nowhere", "link", "js/../../tree/index.html"]
)
def test_a_symbolic_link_that_leads_elsewhere_is_refused_unread(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").write_text("not for the world")
    top = lay_out(TREE, tmp_path / "tree")
    (top / "link").symlink_to(target.format(top=top))
    with pytest.raises(ReleaseError) as refused:
        gather(entries(top))
    assert refused.value.problem.where == "link"


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a named pipe"),
        (lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), "a socket"),
        (lambda path: os.mknod(path, 0o020600, os.makedev(1, 3)), "a character device"),
        (lambda path: os.mknod(path, 0o060600, os.makedev(7, 200)), "a block device"),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_is_no_file_is_refused_by_its_kind(tmp_path: Path, make: Callable[[Path], None], kind: str) -> None:
    top = lay_out(TREE, tmp_path)
    try:
        make(top / "js/odd")
    except PermissionError:
        pytest.skip("only root makes devices")
    with pytest.raises(ReleaseError) as refused:
        gather(entries(top))
    assert (refused.value.problem.where, refused.value.problem.found) == ("js/odd", kind)


@pytest.mark.parametrize("name", [b"a\xe9.txt", b"a\nb", b"a\\b", "e\u0301".encode(), b"-", b"moduleservices"])
def test_a_name_that_no_release_has_is_refused(tmp_path: Path, name: bytes) -> None:
    lay_out(TREE, tmp_path)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(b"x")
    with pytest.raises(ReleaseError) as refused:
        gather(entries(tmp_path))
    assert refused.value.problem.where.isprintable()


def test_names_that_differ_only_by_case_are_refused(tmp_path: Path) -> None:
    lay_out({"js/app.js": b"1", "JS/other.js": b"2"}, tmp_path)
    with pytest.raises(ReleaseError, match="differ only by case"):
        gather(entries(tmp_path))


def test_a_directory_without_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    with pytest.raises(ReleaseError, match="empty"):
        gather(entries(tmp_path))


def test_the_deepest_path_is_read_and_a_deeper_one_refused(tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    for _ in range(511):
        os.mkdir("d", dir_fd=handle)
        inner = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    assert [f.path for f in gather(entries(tmp_path))] == ["d/" * 511 + "f"]
    os.mkdir("d", dir_fd=handle)
    os.close(os.open("d/f", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)
    with pytest.raises(ReleaseError, match="longer than 1024 bytes"):
        gather(entries(tmp_path))


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replace(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def rewrite_and_set_the_time_back(path: Path) -> None:
    status = path.stat()
    path.write_bytes(bytes(status.st_size))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def swap_for_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def swap_for_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


CHANGES = [grow, replace, rewrite_and_set_the_time_back, Path.unlink, swap_for_a_link, swap_for_a_pipe]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("when", ["before it is opened", "while it is read"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, change: Callable[[Path], None], when: str
) -> None:
    lay_out({"big": bytes(3 * 2**20)}, tmp_path)
    source = entries(tmp_path)
    found = next(source)
    assert isinstance(found, Plain)
    if when == "while it is read":
        next(found.chunks)
    change(tmp_path / "big")
    with pytest.raises(ReleaseError) as refused:
        for _ in found.chunks:
            assert when == "while it is read", "a file that had changed before was read"
    assert refused.value.problem.where == "big"


def test_a_link_that_took_a_files_place_is_not_followed(tmp_path: Path) -> None:
    lay_out({"a": b"1"}, tmp_path)
    source = entries(tmp_path)
    found = next(source)
    assert isinstance(found, Plain)
    swap_for_a_link(tmp_path / "a")
    with pytest.raises(ReleaseError) as refused:
        next(found.chunks)
    assert refused.value.problem.found == os.strerror(errno.ELOOP)


@pytest.mark.skipif(not Path("/proc/sys/kernel/ostype").exists(), reason="needs Linux's /proc")
def test_a_file_that_holds_more_than_its_size_says_is_refused() -> None:
    with pytest.raises(ReleaseError, match="changed while it was read"):
        for entry in entries(Path("/proc/sys/kernel/random")):
            assert isinstance(entry, Plain)
            list(entry.chunks)


@pytest.mark.parametrize("place", range(5))
def test_each_part_of_a_stamp_counts(place: int) -> None:
    def stamp(values: list[int]) -> Stamp:
        device, inode, size, modified, changed = values
        parts = (0, inode, device, 1, 0, 0, size, 0, 0, 0)
        return Stamp.of(os.stat_result(parts, {"st_mtime_ns": modified, "st_ctime_ns": changed}))

    values = [1, 2, 3, 4, 5]
    assert stamp(values) == stamp(list(values))
    values[place] += 1
    assert stamp(values) != stamp([1, 2, 3, 4, 5])


@pytest.mark.parametrize("place", [".", "js"])
def test_a_directory_to_which_a_file_is_added_while_it_is_read_is_refused(tmp_path: Path, place: str) -> None:
    lay_out(TREE, tmp_path)
    with pytest.raises(ReleaseError, match="changed while it was read"):
        for entry in entries(tmp_path):
            if isinstance(entry, Plain):
                list(entry.chunks)
            if entry.path == "js/app.js":
                (tmp_path / place / "a late file").touch()


def test_a_directory_that_becomes_a_link_is_not_entered(tmp_path: Path) -> None:
    top = lay_out(TREE, tmp_path / "tree")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret").touch()
    seen = []
    with pytest.raises(ReleaseError) as refused:
        for entry in entries(top):
            seen.append(entry.path)
            if entry.path == "js":
                (top / "js").rename(tmp_path / "moved")
                (top / "js").symlink_to(tmp_path / "elsewhere")
    assert refused.value.problem.where == "js/"
    assert not [path for path in seen if "secret" in path]


def test_links_are_told_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    assert list(entries(tmp_path)) == [Link("link", "/etc/passwd")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    lay_out(TREE, tmp_path)
    (tmp_path / "index.html").chmod(0)
    with pytest.raises(ReleaseError) as refused:
        gather(entries(tmp_path))
    assert refused.value.problem.where == "index.html"


@pytest.mark.parametrize("name", ["nothing", "release.rar", "release", "pipe.tar"])
def test_a_source_that_is_none_is_a_usage_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "release.rar").touch()
    (tmp_path / "release").touch()
    os.mkfifo(tmp_path / "pipe.tar")
    with pytest.raises(UsageError) as refused:
        entries(tmp_path / name)
    assert refused.value.problem.where == str(tmp_path / name)
