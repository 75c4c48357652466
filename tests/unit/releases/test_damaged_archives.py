"""Archives with bytes changed at random: each is a release or refused, and nothing is written outside the store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.adapters.artifacts import DirectoryArtifacts
from orchestrator.adapters.sources import entries
from orchestrator.domain.contents import Limits
from orchestrator.domain.errors import ReleaseError
from orchestrator.domain.release import Manifest
from orchestrator.services.releases import ReleaseName, Releasing
from tests.unit.releases.archives import ARCHIVES, checksums_set_right
from tests.unit.releases.records import Records
from tests.unit.releases.trees import snapshot

NAME = ReleaseName("ToDo", "1.0.0")
#: Small, so that an archive which a change blew up is refused soon.
LIMITS = Limits(size=10 * 2**20, entries=1000)

LENGTHS = st.sampled_from((1, 1, 1, 1, 0, 2, 512))
#: Bytes that mean something in headers, any byte, nothing, or a few bytes.
PIECES = st.sampled_from((b"\0", b"\xff", b"\x80", b"/", b".", b"0", b"5", b"x", b"L", b"")) | st.binary(max_size=8)


@st.composite
def damages(draw: st.DrawFn, data: bytes) -> bytes:
    """Some bytes changed, taken out or put in; and perhaps the end cut off."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(out)))
        out[start : start + draw(LENGTHS)] = draw(PIECES)
    if draw(st.integers(0, 4)) == 0:
        del out[draw(st.integers(0, len(out))) :]
    return bytes(out)


@pytest.mark.parametrize("name", sorted(ARCHIVES))
@settings(max_examples=200)
@given(data=st.data())
def test_a_damaged_archive_is_a_release_or_refused(name: str, data: st.DataObject) -> None:
    damaged = data.draw(damages(ARCHIVES[name]))
    if name.endswith(".tar") and data.draw(st.booleans()):
        damaged = checksums_set_right(damaged)
    build_or_refuse(name, damaged)


@pytest.mark.parametrize("name", sorted(ARCHIVES))
def test_an_undamaged_archive_is_a_release(name: str) -> None:
    assert build_or_refuse(name, ARCHIVES[name]) is not None


def build_or_refuse(name: str, data: bytes) -> Manifest | None:
    with TemporaryDirectory() as directory:
        base = Path(directory)
        (base / "deep/er").mkdir(parents=True)
        source = base / "deep/er" / name
        source.write_bytes(data)
        artifacts = DirectoryArtifacts(base / "store")
        records = Records()
        try:
            built = Releasing(records, artifacts, lambda: datetime.now(UTC), LIMITS).build(entries(source), NAME)
        except ReleaseError as error:
            assert str(error).encode()
            assert records.releases() == []
            assert [name for name in snapshot(base / "store") if name != "incoming"] == []
            return None
        finally:
            outside = {name for name in snapshot(base) if not name.startswith("store")}
            assert outside == {"deep", "deep/er", f"deep/er/{source.name}"}
        manifest = artifacts.manifest(built.record.digest)
        manifest.check()
        assert all(artifacts.has(f.sha256) for f in manifest)
        return manifest
