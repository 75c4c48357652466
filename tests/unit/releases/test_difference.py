from __future__ import annotations

from hypothesis import given

from orchestrator.domain.difference import difference
from tests.unit.releases.trees import Tree, manifest_of, trees


def test_what_came_what_went_and_what_changed() -> None:
    before = manifest_of({"same": b"1", "changed": b"22", "gone/a": b"3"})
    after = manifest_of({"same": b"1", "changed": b"4444", "new/b": b"5", "new/a": b"6"})
    found = difference(before, after)
    assert [f.path for f in found.added] == ["new/a", "new/b"]
    assert [f.path for f in found.removed] == ["gone/a"]
    assert [(c.before.path, c.before.size, c.after.size) for c in found.changed] == [("changed", 2, 4)]


def test_other_bytes_of_the_same_size_are_a_change() -> None:
    found = difference(manifest_of({"a": b"1"}), manifest_of({"a": b"2"}))
    assert [c.after.path for c in found.changed] == ["a"]


@given(trees(), trees())
def test_a_difference_leads_from_one_release_to_the_other(old: Tree, new: Tree) -> None:
    before, after = manifest_of(old), manifest_of(new)
    found = difference(before, after)
    files = dict(before.by_path)
    for f in found.removed:
        del files[f.path]
    for change in found.changed:
        assert files[change.before.path] == change.before != change.after
        files[change.after.path] = change.after
    for f in found.added:
        assert f.path not in files
        files[f.path] = f
    assert files == after.by_path


@given(trees())
def test_a_release_does_not_differ_from_itself(tree: Tree) -> None:
    found = difference(manifest_of(tree), manifest_of(tree))
    assert (found.added, found.removed, found.changed) == ((), (), ())
