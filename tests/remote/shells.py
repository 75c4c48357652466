"""The shells under which a frontend may run the script, the attendant in it, and how the tests start them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from workers.frontend.script import script

#: The part of the script that shells read.
SHELL_PART = Path(__file__).parents[2] / "workers/frontend/remote/lockstep-frontend"
#: Longer than any command of these tests takes on a busy machine, in seconds.
PATIENCE = 60
#: What the attendant does. All other commands are the script's.
ATTENDED = frozenset({b"init", b"probe", b"receive", b"assemble", b"verify", b"arm"})
EXITS = {"OK": 0, "REFUSED": 10, "FAILED": 11}


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
    """One shell with the commands that it finds. Where it is `attended`, the attendant does what it can do itself."""

    name: str
    argv: tuple[str, ...]
    path: str
    script: Path
    more: Mapping[str, str] = field(default_factory=dict)
    attended: bool = False

    @property
    def environment(self) -> dict[str, str]:
        """All that the script gets to see."""
        return {**LOGIN, "PATH": self.path, **self.more}

    def command(self, root: Path | str, words: Sequence[str | bytes]) -> list[str | bytes]:
        """The command line that runs the script."""
        return [*self.argv, str(self.script), str(root), *words]

    def attends(self, words: Sequence[str | bytes]) -> bool:
        """Whether this command is the attendant's; a line end in a word would be that of its line."""
        sent = [_bytes(word) for word in words]
        return self.attended and bool(sent) and sent[0] in ATTENDED and not any(b"\n" in word for word in sent)

    def run(
        self,
        root: Path | str,
        *words: str | bytes,
        stdin: bytes = b"",
        user: int | None = None,
        prefix: Sequence[str] = (),
    ) -> Answer:
        """Run one command to its end; whatever it was, its answer has the form that the protocol promises."""
        attends = self.attends(words)
        done = subprocess.run(
            [*prefix, *self.command(root, ["attend"] if attends else words)],
            check=False,
            input=told(words, stdin) if attends else stdin,
            capture_output=True,
            timeout=PATIENCE,
            env=self.environment,
            user=user,
            group=user,
            extra_groups=None if user is None else (),
            cwd="/",
        )
        assert not done.stderr, done.stderr
        return (attended_answer if attends else answer_of)(done.returncode, done.stdout)

    def start(
        self, root: Path | str, *words: str, prefix: Sequence[str] = (), size: int = 0, seconds: int = PATIENCE
    ) -> subprocess.Popen[bytes]:
        """Start one command in a process group of its own, with pipes to it.

        An attendant is told that its input will be of `size` bytes, and that its word comes within so many seconds.
        """
        attends = self.attends(words)
        process = subprocess.Popen(
            [*prefix, *self.command(root, ["attend"] if attends else words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment,
            process_group=0,
            cwd="/",
        )
        if attends:
            assert process.stdin is not None
            assert process.stdout is not None
            ready = process.stdout.readline()
            assert ready.startswith(b"READY "), ready
            process.stdin.write(line(words, size, seconds))
            process.stdin.flush()
        return process


def line(words: Sequence[str | bytes], size: int, seconds: int = PATIENCE) -> bytes:
    """How a command is said to the attendant."""
    return b"%d %d " % (size, seconds) + b" ".join(map(_bytes, words)) + b"\n"


def told(words: Sequence[str | bytes], stdin: bytes) -> bytes:
    """A command and its input; for `arm`, that is the word, which has no size."""
    return line(words, 0 if _bytes(words[0]) == b"arm" else len(stdin)) + stdin


def _bytes(word: str | bytes) -> bytes:
    return word.encode("utf-8", "surrogateescape") if isinstance(word, str) else word


def answer_of(status: int, stdout: bytes) -> Answer:
    """An answer, its last line and its exit code checked against each other."""
    text = stdout.decode("utf-8", "surrogateescape")
    lines = text.split("\n")[:-1]
    assert text.endswith("\n"), (status, text)
    answer = Answer(status, lines)
    assert EXITS.get(answer.lines[-1].split(" ")[0]) == status, answer
    return answer


def attended_answer(status: int, stdout: bytes) -> Answer:
    """The answer to the one command that an attendant was told, whose exit code is what the script's would be.

    What came behind the word that ended a waiting may have been taken for the line of a next command.
    """
    text = stdout.decode("utf-8", "surrogateescape")
    assert text.endswith("\n"), (status, text)
    lines = text.split("\n")[:-1]
    if lines[0].startswith("READY "):
        del lines[0]
    count = next((n for n, each in enumerate(lines, 1) if each.split(" ")[0] in EXITS), None)
    assert count is not None, (status, lines)
    exit_ = EXITS[lines[count - 1].split(" ")[0]]
    last = EXITS[lines[-1].split(" ")[0]]
    assert status in {0, exit_, last, -signal.SIGTERM}, (status, lines)
    assert all(each.startswith("REFUSED words a line is not ") for each in lines[count:]), lines
    return Answer(exit_, lines[:count])


def busybox_commands(directory: Path) -> Path:
    """A directory with busybox' own commands and nothing else, but for a flock where this busybox has none."""
    directory.mkdir()
    subprocess.run(["busybox", "--install", "-s", directory], check=True)
    if not (directory / "flock").exists():
        found = shutil.which("flock")
        assert found is not None
        (directory / "flock").symlink_to(found)
    return directory


def install(path: Path) -> Path:
    """The script as a frontend has it, both parts; any account may read it."""
    path.write_bytes(script())
    path.chmod(0o644)
    return path


def shells(busybox: Path, installed: Path) -> dict[str, Shell]:
    """By name, each to run this copy of the script."""
    path = os.environ["PATH"]
    made = (
        Shell("dash", ("/bin/dash",), path, installed),
        Shell("busybox", (str(busybox / "sh"),), str(busybox), installed),
        Shell("bash", ("/bin/bash", "--posix"), path, installed),
    )
    return {shell.name: shell for shell in made}


def attendant(installed: Path) -> Shell:
    """The attendant of this copy of the script, and dash for what it leaves to the script."""
    return Shell("attendant", ("/bin/dash",), os.environ["PATH"], installed, attended=True)
