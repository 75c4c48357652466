"""The script as a text."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.remote.shells import SHELL_PART, Shell, attendant, line
from workers.frontend.script import END_OF_SHELL, script, script_sha256


def test_the_script_is_clean_under_shellcheck() -> None:
    beside = Path(sys.executable).with_name("shellcheck")
    found = str(beside) if beside.exists() else shutil.which("shellcheck")
    if found is None:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([found, "--shell=sh", "--norc", SHELL_PART], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("shell", ["dash", "busybox"], indirect=True)
def test_cut_off_anywhere_the_script_does_nothing(shell: Shell, ground: Path) -> None:
    lines = SHELL_PART.read_bytes().splitlines(keepends=True)
    part = ground / "part"
    # Whole functions at most: it is the last line that starts anything.
    for count in range(0, len(lines), 37):
        part.write_bytes(b"".join(lines[:count]))
        subprocess.run(
            [*shell.argv, str(part), str(ground / "root"), "init"],
            env=shell.environment, check=False, capture_output=True, timeout=10,
        )  # fmt: skip
        assert not (ground / "root").exists()


def test_cut_off_anywhere_the_attendant_does_nothing(ground: Path) -> None:
    """Nor does it say that it is there, as the one that a worker knows."""
    shell = attendant(ground / "part")
    before, _, program = script().rpartition(END_OF_SHELL)
    lines = program.splitlines(keepends=True)
    for count in (*range(0, len(lines), 41), *range(len(lines) - 20, len(lines))):
        shell.script.write_bytes(before + END_OF_SHELL + b"".join(lines[:count]))
        done = subprocess.run(
            shell.command("/tmp", ["attend"]), input=line(["probe"], 0), env=shell.environment,
            check=False, capture_output=True, timeout=10,
        )  # fmt: skip
        assert re.fullmatch(rb"(?:READY (?!%b).*\n)?" % script_sha256().encode(), done.stdout), (count, done.stdout)
