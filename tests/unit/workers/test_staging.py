"""The room that a frontend must have is that of what lies on its disk at a time while objects arrive."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest

from orchestrator.domain.activation import NOTHING
from orchestrator.domain.errors import RefusedError
from orchestrator.domain.layout import Layout, Tree
from orchestrator.ports import Artifacts
from tests.unit.workers.jobs import job_of
from workers.distribution.packs import Form, Pack, PackShelf
from workers.distribution.peers import Peers
from workers.frontend.commands import Assemble, Probed, Receive
from workers.frontend.job import Held, Job
from workers.frontend.staging import BLOCK_BYTES, SPARE_BYTES, Sent, Staging, room

#: It compresses to nearly nothing, and so travels compressed.
PLAIN = b"a" * 1_000_000
SHA = hashlib.sha256(PLAIN).hexdigest()


def pack(form: Form, size: int, whole: int) -> Pack:
    return Pack(io.BytesIO(), form, size, whole)


@pytest.mark.parametrize("kept", [False, True])
def test_a_tar_lies_there_once_beside_its_objects(kept: bool) -> None:
    assert room(pack(Form.TAR, 20_480, 20_480), [8192, 8000], kept=kept) == 20_480 + 2 * 8192


def test_a_compressed_pack_lies_there_beside_its_tar_and_where_it_is_kept_beside_the_objects_too() -> None:
    shrunk = pack(Form.TGZ, 9_000, 20_480)
    assert room(shrunk, [8192, 8000], kept=False) == 20_480 + 2 * 8192
    assert room(shrunk, [8192, 8000], kept=True) == 9_000 + 20_480 + 2 * 8192


def test_small_files_take_whole_blocks() -> None:
    assert room(pack(Form.TAR, 0, 0), [1, BLOCK_BYTES, BLOCK_BYTES + 1, 0], kept=False) == 4 * BLOCK_BYTES


class Disk:
    """As `Session`, to a frontend with so much room: it takes what comes."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ask(self, command: Receive | Assemble, **_: Any) -> None:
        self.asked.append(command.name)


class Store:
    """As `Artifacts`."""

    def open(self, sha: str) -> BinaryIO:
        raise AssertionError("all of it is generated")


def bring(directory: Path, free: int) -> Disk:
    """One object to a frontend with so much room."""
    job = job_of(5)
    generated: Mapping[str, bytes] = {SHA: PLAIN}
    layout = Layout(Tree("activations/5", {"a": SHA}, {}), (), {}, generated)
    held = Held(job.deployment.name, layout)
    probed = Probed(
        script="0" * 64,
        fence=0,
        current=NOTHING,
        drained=False,
        drain=0,
        free=free,
        clock=0.0,
        missing=frozenset({SHA}),
    )
    disk = Disk()
    staging = Staging(PackShelf(directory), Peers(), cast("Artifacts", Store()))
    staging.bring(Job(replace(job.prepared, own=held), job.frontend), cast("Any", disk), held, probed, Sent())
    return disk


def test_nothing_is_sent_where_it_has_no_room(tmp_path: Path) -> None:
    whole = 2 * len(PLAIN) + SPARE_BYTES
    assert bring(tmp_path, whole + 20_480).asked == ["receive", "assemble"]
    # The tar around the object, and its last block, are not free either.
    with pytest.raises(RefusedError, match="too little space on the disk"):
        bring(tmp_path, whole)
