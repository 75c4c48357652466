"""What lies on a frontend, in the form in which the frontend's script reports it."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.domain.layout import Layout, Tree

#: Paths of releases hold no line ends; all else that a text can hold may be in them.
paths = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\x00"), min_size=1, max_size=12)
hashes = st.sampled_from(["a" * 64, "b" * 64, "c" * 64])
targets = st.sampled_from(["../x", "../../releases/ToDo/" + "a" * 64])
contents = st.dictionaries(paths, hashes, max_size=5)
trees = st.builds(Tree, st.just("tree"), contents, st.dictionaries(paths, targets, max_size=3))


def test_a_listing_names_every_entry_and_where_it_leads() -> None:
    tree = Tree("releases/ToDo/x", {"b.js": "b" * 64, "a b/ü.js": "a" * 64}, {"index": "b.js"})
    assert tree.listing() == [f"f {'a' * 64} a b/ü.js", f"f {'b' * 64} b.js", "l b.js index"]


@given(trees)
def test_a_listing_has_one_line_for_each_entry_sorted_by_bytes(tree: Tree) -> None:
    lines = tree.listing()
    assert len(lines) == len(tree.files) + len(tree.links)
    raw = [line.encode() for line in lines]
    assert raw == sorted(raw)
    assert {line for line in lines if line.startswith("f ")} == {f"f {sha} {path}" for path, sha in tree.files.items()}


def test_a_listing_is_sorted_as_the_frontend_sorts() -> None:
    files = dict.fromkeys(("a", "B", "é", "a b", "a-b", "a/b", "Z", "z", "𝄞", "￿"), "a" * 64)
    lines = Tree("tree", files, {"a": "b"}).listing()
    unsorted = "".join(f"{line}\n" for line in reversed(lines))
    ran = subprocess.run(["sort"], input=unsorted.encode(), env={"LC_ALL": "C"}, capture_output=True, check=True)
    assert ran.stdout.decode().splitlines() == lines


@given(trees)
def test_the_digest_is_that_of_the_lines_as_a_frontend_prints_them(tree: Tree) -> None:
    printed = b"".join(line.encode() + b"\n" for line in tree.listing())
    assert tree.digest() == hashlib.sha256(printed).hexdigest()


def turn(entries: Mapping[str, str]) -> dict[str, str]:
    """The same entries, put in the other way round."""
    return {path: entries[path] for path in reversed(list(entries))}


@given(trees)
def test_the_digest_depends_on_no_order(tree: Tree) -> None:
    turned = Tree(tree.path, turn(tree.files), turn(tree.links))
    assert turned.digest() == tree.digest()


@given(trees, trees)
def test_trees_that_differ_have_other_digests(one: Tree, other: Tree) -> None:
    same = (one.files, one.links) == (other.files, other.links)
    assert (one.digest() == other.digest()) == same


def test_an_empty_tree_is_the_digest_of_nothing() -> None:
    assert Tree("tree", {}, {}).digest() == hashlib.sha256(b"").hexdigest()


def layout(activation: Mapping[str, str], releases: list[Mapping[str, str]], by_hash: Mapping[str, str]) -> Layout:
    """A layout that links to these objects."""
    made = tuple(Tree(f"releases/{number}", files, {}) for number, files in enumerate(releases))
    return Layout(Tree("activations/1", activation, {"app": "../../releases/0"}), made, by_hash, {})


@given(contents, st.lists(contents, max_size=3), contents)
def test_the_objects_are_all_that_anything_links_to_once_each(
    activation: dict[str, str], releases: list[dict[str, str]], by_hash: dict[str, str]
) -> None:
    objects = layout(activation, list(releases), by_hash).objects()
    assert objects == sorted(set(objects))
    everything = [activation, by_hash, *releases]
    assert set(objects) == {sha for files in everything for sha in files.values()}


def test_an_activation_beside_others_is_itself_with_the_releases_of_all_once_each() -> None:
    own = layout({"-/a.json": "a" * 64}, [{"x": "a" * 64}], {"key": "a" * 64})
    other = layout({"-/b.json": "b" * 64}, [{"x": "a" * 64}, {"y": "c" * 64}], {"key": "b" * 64, "old": "c" * 64})
    both = own.beside([other])
    assert both.activation == own.activation
    assert sorted(tree.path for tree in both.releases) == ["releases/0", "releases/1"]
    assert both.by_hash == {"key": "a" * 64, "old": "c" * 64}
    assert both.objects() == ["a" * 64, "c" * 64]
    assert own.beside([]) == own
