"""The shells under which a frontend may run the script, and how the tests start it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

SCRIPT = Path(__file__).parents[2] / "workers/frontend/remote/lockstep-frontend"
#: Longer than any command of these tests takes on a busy machine, in seconds.
PATIENCE = 60


class Answer(NamedTuple):
    """An exit code and the lines of standard output."""

    exit: int
    lines: list[str]

    @property
    def verdict(self) -> str:
        """``OK``, ``REFUSED <code>`` or ``FAILED <code>``."""
        return " ".join(self.lines[-1].split(" ")[:2])


#: What the account's login may have set, and what would change what commands do or how they list.
LOGIN = {
    "LC_ALL": "C.UTF-8",
    "QUOTING_STYLE": "c",
    "TAR_OPTIONS": "--strip-components=1",
    "GZIP": "--keep",
    "IFS": "-",
    "CDPATH": "/tmp",
}


@dataclass(frozen=True)
class Shell:
    """One shell with the commands that it finds."""

    name: str
    argv: tuple[str, ...]
    path: str
    more: Mapping[str, str] = field(default_factory=dict)
    script: Path = SCRIPT

    @property
    def environment(self) -> dict[str, str]:
        """All that the script gets to see."""
        return {**LOGIN, "PATH": self.path, **self.more}

    def command(self, root: Path | str, words: Sequence[str | bytes]) -> list[str | bytes]:
        """The command line that runs the script."""
        return [*self.argv, str(self.script), str(root), *words]

    def run(
        self,
        root: Path | str,
        *words: str | bytes,
        stdin: bytes = b"",
        user: int | None = None,
        prefix: Sequence[str] = (),
    ) -> Answer:
        """Run one command to its end; whatever it was, its answer has the form that the protocol promises."""
        done = subprocess.run(
            [*prefix, *self.command(root, words)],
            check=False,
            input=stdin,
            capture_output=True,
            timeout=PATIENCE,
            env=self.environment,
            user=user,
            group=user,
            extra_groups=None if user is None else (),
            cwd="/",
        )
        answer = answer_of(done.returncode, done.stdout)
        assert not done.stderr, done.stderr
        return answer

    def start(self, root: Path | str, *words: str, prefix: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start one command in a process group of its own, with pipes to it."""
        return subprocess.Popen(
            [*prefix, *self.command(root, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            process_group=0,
            cwd="/",
        )


def answer_of(status: int, stdout: bytes) -> Answer:
    """An answer, its last line and its exit code checked against each other."""
    text = stdout.decode("utf-8", "surrogateescape")
    lines = text.split("\n")[:-1]
    assert text.endswith("\n"), (status, text)
    answer = Answer(status, lines)
    expected = {"OK": 0, "REFUSED": 10, "FAILED": 11}
    assert expected.get(answer.lines[-1].split(" ")[0]) == status, answer
    return answer


def busybox_commands(directory: Path) -> Path:
    """A directory with busybox' own commands and nothing else, but for a flock where this busybox has none."""
    directory.mkdir()
    subprocess.run(["busybox", "--install", "-s", directory], check=True)
    if not (directory / "flock").exists():
        found = shutil.which("flock")
        assert found is not None
        (directory / "flock").symlink_to(found)
    return directory


def shells(busybox: Path, script: Path) -> dict[str, Shell]:
    """By name, each to run this copy of the script."""
    path = os.environ["PATH"]
    made = (
        Shell("dash", ("/bin/dash",), path, script=script),
        Shell("busybox", (str(busybox / "sh"),), str(busybox), script=script),
        Shell("bash", ("/bin/bash", "--posix"), path, script=script),
    )
    return {shell.name: shell for shell in made}
