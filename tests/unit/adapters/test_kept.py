"""A file that is kept is never older than the file that is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.adapters.kept import SETTLED, Kept
from orchestrator.domain.errors import UsageError


class Reader:
    """Reads a file, counts how often, and refuses what is wrong."""

    def __init__(self) -> None:
        self.reads = 0

    def __call__(self, path: Path) -> str:
        self.reads += 1
        text = path.read_text() if path.exists() else "none"
        if text == "wrong":
            raise UsageError("wrong")
        return text


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_text("one")
    return file


def later(file: Path) -> int:
    """The time of day long after the file's last change."""
    return file.stat().st_ctime_ns + SETTLED


def test_it_is_read_once_as_long_as_it_stays(file: Path) -> None:
    reader = Reader()
    kept = Kept(file, reader, lambda: later(file))
    assert [kept(), kept(), kept()] == ["one"] * 3
    assert reader.reads == 1


def test_every_kind_of_change_is_seen(file: Path) -> None:
    kept = Kept(file, Reader(), lambda: later(file))
    assert kept() == "one"
    file.write_text("longer")
    assert kept() == "longer"
    other = file.with_name("other")
    other.write_text("moved!")
    times = file.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.rename(file)
    assert kept() == "moved!"
    file.unlink()
    assert kept() == "none"
    file.write_text("back")
    assert kept() == "back"


def test_a_link_that_leads_elsewhere_is_a_change(file: Path) -> None:
    link, second = file.with_name("link"), file.with_name("second")
    second.write_text("two")
    link.symlink_to(file)
    kept = Kept(link, Reader(), lambda: later(second))
    assert kept() == "one"
    link.unlink()
    link.symlink_to(second)
    assert kept() == "two"


def test_a_file_that_was_changed_a_moment_ago_is_not_believed(file: Path) -> None:
    """Two changes within one step of the file system's clock, to the same length, have the same stamp."""
    reader = Reader()
    kept = Kept(file, reader, lambda: later(file) - 1)
    assert [kept(), kept()] == ["one"] * 2
    assert reader.reads == 2


def test_what_is_wrong_is_said_each_time_until_it_is_right(file: Path) -> None:
    kept = Kept(file, Reader(), lambda: later(file))
    assert kept() == "one"
    file.write_text("wrong")
    for _ in range(2):
        with pytest.raises(UsageError):
            kept()
    file.write_text("right")
    assert kept() == "right"
