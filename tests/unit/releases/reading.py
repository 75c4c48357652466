"""Reading an archive that a test made."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.adapters.sources import entries
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.release import Manifest
from tests.unit.releases.trees import gather


def read(tmp_path: Path, data: bytes, name: str) -> Manifest:
    """The manifest of a release of this archive."""
    path = tmp_path / name
    path.write_bytes(data)
    return gather(entries(path))


def refused(tmp_path: Path, data: bytes, name: str) -> ReleaseError:
    """The refusal of this archive; fails where it is a release."""
    with pytest.raises(ReleaseError) as raised:
        read(tmp_path, data, name)
    return raised.value
