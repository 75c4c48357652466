"""Where the real script runs: a frontend's root, and all around it what belongs to somebody else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.fuzz.preloaded import Preloaded
from tests.fuzz.standing import Standing
from tests.remote.frontend import Frontend, remove, snapshot
from tests.remote.shells import (
    Answer,
    Shell,
    answer_of,
    attendant,
    attended_answer,
    busybox_commands,
    install,
    shells,
    told,
)

#: No command that is sent here takes as long, in seconds.
PATIENCE = 20
#: Shells that read the script once for many commands (`tests.fuzz.preloaded`), by the names of the others.
PRELOADED = "preloaded "
#: What a pipe holds without anybody reading.
_PIPE = 65_536
#: What is not somebody else's: the root, how it begins, busybox' commands, and what preloaded shells read.
_OURS = ("root", "kept", "bin", "asked-dash", "asked-busybox")


class Ground:
    """A directory on memory with a root in it. A context manager.

    Home, working directory and temporary directory of the commands are beside the root, among what may not change.
    """

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        self.top = Path(tempfile.mkdtemp(prefix="lockstep-fuzz-", dir=memory if os.access(memory, os.W_OK) else None))
        self.root = self.top / "root"
        self._preloaded: dict[str, Preloaded] = {}
        self._standing: Standing | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- closed on exit

    def __enter__(self) -> Self:
        installed = install(self.top / "script")
        self.shells = {**shells(busybox_commands(self.top / "bin"), installed), "attendant": attendant(installed)}
        self._make_around()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_preloaded()
        self._close_standing()
        self._errors.close()
        remove(self.top)

    @property
    def frontend(self) -> Frontend:
        """The root as the tests of the script look at it."""
        return Frontend(self.shells["dash"], self.root)

    def around(self) -> dict[str, tuple[object, ...]]:
        """All that is beside the root."""
        return snapshot(self.top, ignored=_OURS)

    def check_around(self) -> None:
        """Nothing was written outside the root."""
        now = self.around()
        assert now == self._around, {
            path: (self._around.get(path), now.get(path))
            for path in self._around.keys() | now.keys()
            if self._around.get(path) != now.get(path)
        }

    def _make_around(self) -> None:
        for name in ("beside", "beside/root", "home", "tmp", "work"):
            (self.top / name).mkdir()
            (self.top / name / "mine").write_bytes(b"not Lockstep's\n")
        (self.top / "work/link").symlink_to("../beside/mine")
        self._around = self.around()

    def restore_around(self) -> None:
        """Put what is beside the root back."""
        if self.around() == self._around:
            return
        for path in self.top.iterdir():
            if path.name in {*_OURS, "script"}:
                continue
            if path.is_dir() and not path.is_symlink():
                remove(path)
            else:
                path.unlink()
        self._make_around()

    def run(self, shell: str, root: bytes | None, words: Sequence[bytes], stdin: bytes) -> Answer:
        """One command to its end: an answer of the form that the protocol promises, and nothing on standard error."""
        if shell == f"{PRELOADED}attendant" and root is None and words[0] != b"arm" and self._attends(words):
            return self._run_standing(words, stdin)
        if shell.startswith(PRELOADED) and not shell.endswith("attendant"):
            return self._run_preloaded(shell, root, words, stdin)
        under: Shell = self.shells[shell.removeprefix(PRELOADED)]
        attends = under.attended and self._attends(words)
        command = under.command(self.root, [b"attend"] if attends else words)
        if root is not None:
            command[len(under.argv) + 1] = root
        with _readable(told(words, stdin) if attends else stdin) as given:
            process = subprocess.Popen(
                command,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=self._environment(under),
                process_group=0,
                cwd=self.top / "work",
            )
        try:
            stdout, _ = process.communicate(timeout=PATIENCE)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        errors = self._complaints()
        assert not errors, errors
        return (attended_answer if attends else answer_of)(process.returncode, stdout)

    def _attends(self, words: Sequence[bytes]) -> bool:
        """Whether an attendant does it. Two words with a blank between them would be no single one to it."""
        return self.shells["attendant"].attends(words) and not any(b" " in word for word in words)

    def _run_standing(self, words: Sequence[bytes], stdin: bytes) -> Answer:
        if self._standing is None:
            under = self.shells["attendant"]
            self._standing = Standing(replace(under, more=self._environment(under)), self.root, PATIENCE)
        try:
            answer = self._standing.run(words, stdin)
        except BaseException:
            self._close_standing()
            raise
        if self._standing.ended:
            self._close_standing()
        return answer

    def _close_standing(self) -> None:
        if self._standing is not None:
            self._standing.close()
        self._standing = None

    def _environment(self, shell: Shell) -> dict[str, str]:
        return {**shell.environment, "HOME": f"{self.top}/home", "TMPDIR": f"{self.top}/tmp"}

    def vets(self, shell: str) -> bool:
        """Whether `passes` can be asked of it."""
        return shell.startswith(PRELOADED) and not shell.endswith("attendant")

    def passes(self, shell: str, words: Sequence[bytes], tar: bytes) -> bool:
        """Whether a preloaded shell would unpack this archive."""
        with self._reading_once(shell) as preloaded:
            return preloaded.passes(str(self.root).encode(), words, tar, PATIENCE)

    def _run_preloaded(self, shell: str, root: bytes | None, words: Sequence[bytes], stdin: bytes) -> Answer:
        with self._reading_once(shell) as preloaded:
            return preloaded.run(str(self.root).encode() if root is None else root, words, stdin, PATIENCE)

    @contextmanager
    def _reading_once(self, shell: str) -> Iterator[Preloaded]:
        shell = shell.removeprefix(PRELOADED)
        if shell not in self._preloaded:
            under = self.shells[shell]
            place = self.top / f"asked-{shell}"
            self._preloaded[shell] = Preloaded(under, place, self._environment(under), self.top / "work")
        try:
            yield self._preloaded[shell]
        except BaseException:
            # Whatever state it is in, the next command gets a new one.
            self._close_preloaded()
            raise

    def _close_preloaded(self) -> None:
        while self._preloaded:
            shell, preloaded = self._preloaded.popitem()
            preloaded.close()
            shutil.rmtree(self.top / f"asked-{shell}")

    def _complaints(self) -> bytes:
        size = self._errors.seek(0, os.SEEK_END)
        if not size:
            return b""
        self._errors.seek(0)
        errors = self._errors.read(2000)
        self._errors.seek(0)
        self._errors.truncate()
        return errors


def _readable(data: bytes) -> IO[bytes]:
    """A file or a pipe that holds these bytes; a pipe, as sshd gives one, where it can hold them all at once."""
    if len(data) > _PIPE:
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- the caller closes it
        file.write(data)
        file.seek(0)
        return file
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    return os.fdopen(reading, "rb")
