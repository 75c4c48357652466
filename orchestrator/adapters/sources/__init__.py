"""Reading the trees and archives of which releases are built. Nothing is ever unpacked: bytes are streamed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.adapters.sources.directory import directory_entries
from orchestrator.adapters.sources.tar import tar_entries
from orchestrator.adapters.sources.zip import zip_entries
from orchestrator.domain.contents import Entry
from orchestrator.domain.errors import UsageError


def entries(source: Path) -> Iterator[Entry]:
    """What is in `source`: a directory, or an archive whose name says which kind it is.

    Raises `UsageError` where there is nothing to read; the entries raise `ReleaseError` where they can't be read.
    """
    name = source.name.lower()
    if source.is_dir():
        return directory_entries(source)
    if not source.is_file():
        found = "something else" if source.exists() else "nothing there"
        raise UsageError(
            "no source for a release", where=str(source), expected="a directory or an archive", found=found
        )
    if name.endswith((".tar.gz", ".tgz")):
        return tar_entries(source, compressed=True)
    if name.endswith(".tar"):
        return tar_entries(source, compressed=False)
    if name.endswith(".zip"):
        return zip_entries(source)
    raise UsageError(
        "the source is not of a kind that can be read",
        where=str(source),
        expected="a directory, .tar, .tar.gz, .tgz or .zip",
        remedy="pack it as one of these, or name the directory",
    )
