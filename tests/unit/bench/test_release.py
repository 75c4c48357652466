"""The releases: what changes from the first to the second, and what counts as a wrong file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.release import PARTS, Release, make_releases, wrong_files


@pytest.fixture
def releases(tmp_path: Path) -> tuple[Release, Release]:
    return make_releases(tmp_path, files=200, size=200_000)


def test_five_per_cent_change_and_only_in_content(releases: tuple[Release, Release]) -> None:
    first, second = releases
    changed = {path for path, digest in first.digests.items() if second.digests[path] != digest}
    assert len(changed) == 10
    assert {"index.html", *PARTS} <= changed
    for path in first.digests:
        ours, theirs = (release.tree / path for release in releases)
        assert (ours.stat().st_size, ours.stat().st_mtime) == (theirs.stat().st_size, theirs.stat().st_mtime)


def test_wrong_files_are_counted(releases: tuple[Release, Release]) -> None:
    first, second = releases
    assert wrong_files(first.tree, first) == 0
    assert wrong_files(first.tree, second) == 10
    (first.tree / "index.html").unlink()
    (first.tree / "left.html").write_text("left")
    assert wrong_files(first.tree, first) == 2
