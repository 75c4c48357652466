"""The system calls of an attendant: recorded, or the n-th one struck by a signal or an error."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.remote.frontend import Frontend
from tests.remote.shells import PATIENCE, told

#: What changes a tree or brings it to the disk. A file is made by an `openat`, and is empty until its first `write`.
CHANGES = (
    *("rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "mkdir"),
    *("mkdirat", "rmdir", "chmod", "fchmod", "fchmodat", "utimensat", "ftruncate", "fsync", "syncfs"),
)


def strace() -> str | None:
    """The command, where it is there and this account may use it."""
    found = shutil.which("strace")
    if found is None:
        return None
    tried = subprocess.run([found, "-qq", "-o", "/dev/null", "true"], check=False, capture_output=True)
    return found if tried.returncode == 0 else None


def _run(frontend: Frontend, options: list[str], words: list[str], stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    # Not those of its children: strace counts for each process, and the shell becomes perl in the same one.
    known = [f"?{name}" for name in CHANGES]
    return subprocess.run(
        [str(strace()), "-qq", *(option.format(changes=",".join(known)) for option in options),
         *frontend.shell.command(frontend.root, ["attend"])],
        input=told(words, stdin), check=False, capture_output=True, timeout=PATIENCE,
        env=frontend.shell.environment, cwd="/",
    )  # fmt: skip


def turns(made: list[str], *, written: bool) -> list[tuple[str, int]]:
    """Of what `traced` tells, each change as `struck` takes it, with those to files' contents or without."""
    names = [each.partition(" ")[0] for each in made]
    every = [(name, names[: place + 1].count(name)) for place, name in enumerate(names)]
    return [turn for turn in every if written or turn[0] != "write"]


def struck(
    frontend: Frontend, turn: tuple[str, int], how: str, *words: str, stdin: bytes
) -> subprocess.CompletedProcess[bytes]:
    """One command, with the n-th call of one kind struck by `how` ("signal=SIGKILL", "error=EIO")."""
    name, count = turn
    options = ["-o", "/dev/null", "-e", f"inject={name}:{how}:when={count}"]
    done = _run(frontend, options, list(words), stdin)
    # What it had started may go on for a while, and holds its scratch.
    for scratch in (frontend.root / "incoming").glob("*"):
        lock = os.open(scratch, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.close(lock)
    return done


def traced(frontend: Frontend, *words: str, stdin: bytes = b"") -> list[str]:
    """One command to its good end: its changes, the root and the attendant's number left out."""
    trace = frontend.root.parent / "trace"
    done = _run(frontend, ["-y", "-s", "16", "-o", f"{trace}", "-e", "trace={changes},write"], list(words), stdin)
    assert done.stdout.endswith(b"\nOK\n"), done
    return _plain(trace, frontend.root)


def _plain(trace: Path, root: Path) -> list[str]:
    """`fsync(5</dev/shm/…/state>) = 0` as ``fsync ROOT/state``, and `rename("a", "b") = 0` as ``rename a b``."""
    text = re.sub(r"(incoming/[0-9a-z-]+)(?:\.[0-9]+)+", r"\1", trace.read_text()).replace(f"{root}", "ROOT")
    calls = re.findall(r"^(\w+)\((.*)\) += [0-9]+$", text, re.MULTILINE)
    return [" ".join([name, *re.findall(r"[\"<]([^\">]*)[\">]", given)]) for name, given in calls]
