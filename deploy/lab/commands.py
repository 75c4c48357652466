"""Commands that the lab runs to their end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from deploy.lab.errors import LabError

COMMAND_SECONDS = 60


def run(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run it with no input, and keep what it says."""
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )


def must_run(argv: Sequence[str]) -> None:
    """Run it. `LabError` where it fails."""
    done = run(argv)
    if done.returncode != 0:
        raise LabError(
            f"{argv[0]} failed", where=" ".join(argv), found=f"exit {done.returncode}: {done.stderr.strip()}"
        )
