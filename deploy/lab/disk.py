"""A frontend's disk of its own, as small as a test wants it: a tmpfs mounted on its root. Needs root."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.lab.commands import must_run
from deploy.lab.errors import LabError

MOUNTS = Path("/proc/self/mountinfo")


def mount(root: Path, size: int) -> None:
    """Mount a file system of `size` bytes (rounded up to whole pages) on an empty directory."""
    if os.geteuid() != 0:
        raise LabError("only root can mount a small disk", remedy="run this as root")
    if any(root.iterdir()):
        raise LabError("there is something at this root already", where=str(root), expected="an empty directory")
    must_run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "lockstep-lab", str(root)])


def unmount_below(directory: Path) -> None:
    """Unmount all that is mounted below the directory, the innermost first."""
    for path in sorted(_mounted_below(directory), key=lambda path: len(path.parts), reverse=True):
        must_run(["umount", str(path)])


def _mounted_below(directory: Path) -> list[Path]:
    # proc(5): the fifth field is the mount point. A lab's paths have no character that would be escaped there.
    points = [Path(line.split()[4]) for line in MOUNTS.read_text().splitlines()]
    return [point for point in points if directory in point.parents]
