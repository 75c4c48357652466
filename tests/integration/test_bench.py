"""The bench: Lockstep and a peer through all of its instruments, small; and that its failures are loud."""

from __future__ import annotations

import os
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

from deploy.lab import Lab
from tests.bench.contained import Command, Contained, PeerError
from tests.bench.figures import CHANGED, FULL, LOCKSTEP, Figures
from tests.bench.flips import Flips, skew_ms
from tests.bench.measure import Setting, measure
from tests.bench.observers import Observers
from tests.bench.peers.rsync import Rsync
from tests.bench.release import FIRST, SECOND, make_releases
from tests.bench.site import plain
from tests.bench.tools import LockstepTool, PeerTool, Tool
from tests.integration.operator import wait_until


@pytest.mark.parametrize("tool", [LockstepTool(), PeerTool(Rsync())], ids=lambda tool: tool.name)
def test_every_instrument_measures(tmp_path: Path, tool: Tool) -> None:
    setting = Setting(*make_releases(tmp_path / "r", files=24, size=200_000), tmp_path, pause=0.1)
    with closing(measure(tool, 2, setting)) as measuring:
        # What Lockstep does third takes as long again, and shows nothing more about the instruments.
        measured = list(islice(measuring, 2))
    assert [each.release for each in measured] == [FULL, CHANGED]
    for each in measured:
        assert_measured(each)


def assert_measured(each: Figures) -> None:
    assert (each.flipped, each.wrong_files) == (2, 0), each
    assert min(each.wall_s, each.cpu_all_s, each.cpu_controller_s) > 0, each
    assert each.skew_ms is not None
    assert each.release == FULL or each.pages, each
    if each.tool == LOCKSTEP:
        assert each.peak_kb is not None
        assert (each.torn or 0, each.backward or 0, each.errors or 0) == (0, 0, 0), each
    if os.geteuid() == 0 and each.release == FULL:
        assert each.sent_ssh_bytes is not None
        assert each.sent_ssh_bytes > 2 * each.release_bytes, each


def test_observers_see_a_torn_site_and_flips_are_seen(tmp_path: Path) -> None:
    releases = make_releases(tmp_path / "releases", files=8, size=8_000)
    with Lab.up(tmp_path / "l", 2, recipe=plain) as lab:
        roots = [each.root for each in lab.frontends]
        with Flips(roots) as flips:
            for root, release in zip(roots, releases, strict=True):
                # One frontend has the first release and one the second: HAProxy hands out both in turn.
                (root / ".next").symlink_to(release.tree)
                (root / ".next").rename(root / "current")
        assert flips.times.keys() == set(map(str, roots))
        assert skew_ms(flips.times) is not None
        with Observers(lab.url, (FIRST, SECOND), rate=20.0) as observers:
            pass
        assert observers.seen.pages >= 8
        assert observers.seen.torn > 0


def test_a_peer_that_fails_says_why(tmp_path: Path) -> None:
    contained = Contained(Command(["sh", "-c", "echo no such frontend; exit 3"], tmp_path, {}), tmp_path / "log")
    with pytest.raises(PeerError, match=r"(?s)exit 3.*no such frontend"):
        contained.run()
    contained.close()


def test_what_a_peer_leaves_behind_is_ended(tmp_path: Path) -> None:
    leaves = Command(["sh", "-c", "sleep 600 & echo $! >left"], tmp_path, {})
    contained = Contained(leaves, tmp_path / "log")
    assert contained.run().code == 0
    left = Path(f"/proc/{int((tmp_path / 'left').read_text())}")
    assert left.exists()
    contained.close()
    wait_until(lambda: not left.exists())
