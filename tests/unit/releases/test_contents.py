from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.contents import MOST_HOPS, Contents, Directory, Entry, Limits, Link, Plain
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.release import Hasher, Manifest
from tests.unit.releases.trees import content_of

DATA = b"the bytes of the file"


def plain(path: str, data: bytes = DATA) -> Plain:
    return Plain(path, iter([data]))


def gather(*entries: Entry, limits: Limits | None = None) -> Manifest:
    contents = Contents(limits) if limits else Contents()
    for entry in entries:
        contents.admit(entry)
        if isinstance(entry, Plain):
            contents.keep(entry.path, Hasher.of(contents.read(entry)))
    return contents.manifest()


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("link", "dir/file"),
        ("link", "./dir/file"),
        ("link", "dir//file"),
        ("link", "dir/../dir/file"),
        ("dir/link", "file"),
        ("dir/link", "../dir/file"),
        ("other/deep/link", "../../dir/file"),
        ("before/link", "../dir/file"),
    ],
)
def test_a_link_inside_the_tree_becomes_a_file_with_the_targets_bytes(path: str, target: str) -> None:
    manifest = gather(Link(path, target), plain("dir/file"))
    assert manifest.by_path[path].content == manifest.by_path["dir/file"].content == content_of(DATA)


def test_a_hard_link_is_named_from_the_top_of_the_tree() -> None:
    manifest = gather(plain("dir/file"), Link("dir/link", "dir/file", hard=True), Link("x", "./dir/file", hard=True))
    assert {f.path for f in manifest} == {"dir/file", "dir/link", "x"}
    with pytest.raises(ReleaseError):
        gather(plain("dir/file"), Link("dir/link", "file", hard=True))


def test_links_over_links_lead_to_the_file() -> None:
    chain = [Link(f"l{n}", f"l{n + 1}") for n in range(MOST_HOPS - 1)]
    manifest = gather(*chain, Link(f"l{MOST_HOPS - 1}", "file"), plain("file"))
    assert manifest.by_path["l0"].content == content_of(DATA)


@pytest.mark.parametrize(
    ("path", "target", "words"),
    [
        ("link", "/etc/passwd", "out of the tree"),
        ("link", "/dir/file", "out of the tree"),
        ("link", "../dir/file", "out of the tree"),
        ("dir/link", "../../release/dir/file", "out of the tree"),
        ("dir/link", "../../../../../../etc/passwd", "out of the tree"),
        ("link", "dir/../../x", "out of the tree"),
        ("link", "nowhere", "nothing"),
        ("link", "dir/nowhere", "nothing"),
        ("link", "link", "circle"),
        ("link", "dir", "to a directory"),
        ("link", "dir/", "to a directory"),
        ("link", ".", "to a directory"),
        ("dir/link", "..", "to a directory"),
        ("link", "", "to a directory"),
        ("link", "dir/file/", "not a directory"),
        ("link", "dir/file/..", "not a directory"),
        ("link", "nowhere/../dir/file", "not a directory"),
    ],
)
def test_a_link_that_leads_elsewhere_is_refused_and_named(path: str, target: str, words: str) -> None:
    with pytest.raises(ReleaseError) as refused:
        gather(plain("dir/file"), Link(path, target))
    assert words in refused.value.problem.what
    assert refused.value.problem.where == path
    assert target in refused.value.problem.found


@pytest.mark.parametrize("length", [2, 3, MOST_HOPS + 1])
def test_links_that_lead_in_a_circle_are_refused(length: int) -> None:
    circle = [Link(f"l{n}", f"l{(n + 1) % length}") for n in range(length)]
    with pytest.raises(ReleaseError, match="circle"):
        gather(plain("file"), *circle)


def test_a_chain_of_too_many_links_is_refused() -> None:
    chain = [Link(f"l{n:02}", f"l{n + 1:02}") for n in range(MOST_HOPS)]
    with pytest.raises(ReleaseError, match="too many others"):
        gather(*chain, Link(f"l{MOST_HOPS:02}", "file"), plain("file"))


def test_a_link_over_a_link_to_a_directory_is_refused() -> None:
    with pytest.raises(ReleaseError, match="not a directory of the tree"):
        gather(plain("dir/file"), Link("a", "via/file"), Link("via", "dir"))


@given(st.dictionaries(st.sampled_from("abcdef"), st.text("abcdef./", max_size=6), max_size=6))
def test_any_links_end_in_the_tree_or_are_refused(links: dict[str, str]) -> None:
    files = {"a/a": b"1", "a/b/c": b"22", "f": b"333"}
    entries = [plain(path, data) for path, data in files.items()]
    try:
        manifest = gather(*entries, *(Link(f"a/b/{path}{path}", target) for path, target in links.items()))
    except ReleaseError:
        return
    assert {f.content for f in manifest} == {content_of(data) for data in files.values()}


def test_a_name_is_refused_before_its_bytes_are_read() -> None:
    def chunks() -> Iterator[bytes]:
        raise AssertionError("the bytes of a refused file were read")
        yield b""

    with pytest.raises(ReleaseError):
        gather(Plain("../x", chunks()))


@pytest.mark.parametrize("entry", [Directory("../x"), Link("../x", "file"), plain("../x")])
def test_every_kind_of_entry_has_its_name_checked(entry: Entry) -> None:
    with pytest.raises(ReleaseError, match="upwards"):
        gather(plain("file"), entry)


@pytest.mark.parametrize("entries", [[], [Directory("a"), Directory("a/b")]])
def test_a_release_without_files_is_refused(entries: list[Entry]) -> None:
    with pytest.raises(ReleaseError, match="empty"):
        gather(*entries)


def test_a_release_stops_being_read_where_it_gets_too_large() -> None:
    read = []

    def endless() -> Iterator[bytes]:
        while True:
            read.append(1)
            yield bytes(10)

    with pytest.raises(ReleaseError, match="too large") as refused:
        gather(plain("a", bytes(95)), Plain("bomb", endless()), limits=Limits(size=100, entries=10))
    assert refused.value.problem.where == "bomb"
    assert len(read) == 1


def test_the_limits_are_what_may_be_reached() -> None:
    manifest = gather(plain("a", bytes(60)), plain("b/c", bytes(40)), limits=Limits(size=100, entries=3))
    assert manifest.size == 100


def test_links_count_with_the_size_of_what_they_lead_to() -> None:
    with pytest.raises(ReleaseError, match="too large"):
        gather(plain("a", bytes(60)), Link("b", "a"), limits=Limits(size=100, entries=3))


@pytest.mark.parametrize(
    "entries",
    [
        [plain("a"), plain("b"), plain("c"), plain("d")],
        [plain("a/b/c/d")],
        [plain("a"), Directory("b"), Directory("c"), Directory("d")],
        [plain("a"), Link("b", "a"), Link("c", "a"), Link("d", "a")],
    ],
)
def test_too_many_entries_of_any_kind_are_refused(entries: list[Entry]) -> None:
    with pytest.raises(ReleaseError, match="too many entries"):
        gather(*entries, limits=Limits(size=1000, entries=3))
