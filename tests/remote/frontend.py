"""A frontend's tree as the tests look at it and set it up, and the script to act on it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.remote.packs import Stage, activation_name, object_time, sha256
from tests.remote.shells import PATIENCE, Answer, Shell, answer_of, attended_answer

LINK = re.compile(r"\.\./\.\./releases/[A-Za-z][A-Za-z0-9_-]{0,62}/[0-9a-f]{64}(?:/[^/]+)?")


class Conversation:
    """A command that was started and not yet answered."""

    def __init__(self, process: subprocess.Popen[bytes], *, attended: bool = False) -> None:
        self.process = process
        self._answer = attended_answer if attended else answer_of
        self._said = b""

    def line(self) -> str:
        """The next line of its answer."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self._said += line
        return line.decode().removesuffix("\n")

    def say(self, word: bytes) -> None:
        """Send bytes to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(word)
        self.process.stdin.flush()

    def say_all(self, words: bytes) -> None:
        """Send bytes and end its input; it may have stopped reading, or have ended."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(words)
        with suppress(BrokenPipeError):
            self.process.stdin.close()

    def rest(self, *, killed: bool = False) -> bytes:
        """Without ending its input: all that it has yet to say, until nothing of it is left that could.

        A shell may tell on standard error how what it started was killed.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        said = b"" if self.process.stdout.closed else self.process.stdout.read()
        errors = self.process.stderr.read()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with suppress(BrokenPipeError):
                pipe.close()
        assert killed or not errors, errors
        return said

    def finish(self, word: bytes | None = None) -> Answer:
        """End its input, perhaps after a last word, and read all of its answer."""
        assert self.process.stdout is not None
        self.say_all(word or b"")
        # Through the buffer from which `line` reads.
        self._said += self.rest()
        return self._answer(self.process.wait(PATIENCE), self._said)


@dataclass(frozen=True)
class Frontend:
    """One root below a directory that holds something of somebody else's beside it."""

    shell: Shell
    root: Path

    def run(self, *words: str | bytes, stdin: bytes = b"", prefix: Sequence[str] = ()) -> Answer:
        """One command of the script."""
        return self.shell.run(self.root, *words, stdin=stdin, prefix=prefix)

    def missing(self, wanted: bytes) -> list[str]:
        """What `probe` says that it lacks of these lines."""
        *lines, last = self.run("probe", stdin=wanted).lines
        assert last == "OK"
        return [line.removeprefix("missing ") for line in lines if line.startswith("missing ")]

    def start(self, *words: str, prefix: Sequence[str] = (), size: int = 0, seconds: int = PATIENCE) -> Conversation:
        """One command, left running. `size` is that of its input where it has one; an attendant must know it before."""
        process = self.shell.start(self.root, *words, prefix=prefix, size=size, seconds=seconds)
        return Conversation(process, attended=self.shell.attends(words))

    def arm(self, epoch: int, prefix: Sequence[str] = (), seconds: int = PATIENCE) -> Conversation:
        """A conversation that has come to `ARMED`."""
        conversation = self.start("arm", activation_name(epoch), prefix=prefix, seconds=seconds)
        assert conversation.line() == f"ARMED {activation_name(epoch)}"
        return conversation

    def stage(self, stage: Stage) -> None:
        """Receive and assemble."""
        assert self.run("receive", stage.activation, stdin=stage.objects_pack()).verdict == "OK"
        assert self.run("assemble", stage.activation, stdin=stage.links_pack()).verdict == "OK"

    def serve(self, *stages: Stage) -> None:
        """Deploy them one after the other."""
        for stage in stages:
            self.stage(stage)
            assert self.run("activate", stage.activation).verdict == "OK"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock as a command does; `BlockingIOError` where somebody else does."""
        with (self.root / "state/lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield

    def wait_for_scratch(self, file: str = "pack.*") -> Path:
        """Until a command has its own directory and began to fill it with `file`."""
        incoming = self.root / "incoming"
        wait_for(lambda: any(incoming.glob(f"*/{file}")))
        return next(incoming.glob(f"*/{file}")).parent

    def has(self, stage: Stage) -> bool:
        """Whether all of `stage` is there, as `verify` tells it."""
        *lines, last = self.run("verify", stage.activation, stage.release).lines
        told = [line.rpartition(" ")[0] for line in lines]
        return last == "OK" and told == [f"tree {tree.path} {tree.digest()}" for tree in stage.trees]

    # --- what is there ---

    @property
    def fence(self) -> int:
        """The fence."""
        return int((self.root / "state/fence").read_text())

    @property
    def current(self) -> str:
        """The activation that is served."""
        return str((self.root / "current").readlink()).removeprefix("activations/")

    def names(self, directory: str) -> set[str]:
        """What lies in a directory below the root."""
        return {path.name for path in (self.root / directory).iterdir()}

    @property
    def drained(self) -> str | None:
        """What the mark for the web server's health holds; None where it is not there."""
        mark = self.root / "state/drained"
        return mark.read_text() if mark.exists() else None

    @property
    def armed(self) -> set[str]:
        """The activations that may flip by a word."""
        return {name.removeprefix("armed-") for name in self.names("state") if name.startswith("armed-")}

    def standing(self) -> tuple[int, str, set[str], set[str], set[str]]:
        """All that the rules speak of: fence, current, activations, markers, armed."""
        return self.fence, self.current, self.names("activations"), self.names("ahead"), self.armed

    # --- how it comes about without the script ---

    def make(self) -> None:
        """An empty tree."""
        for name in ("objects", "releases", "by-hash", "incoming", "ahead", "packs", "state", "activations"):
            (self.root / name).mkdir(parents=True)
        (self.root / "incoming").chmod(0o700)
        (self.root / "state/lock").touch()
        self.place(fence=0, current=0, staged=())

    def place(self, fence: int, current: int, staged: Iterable[int], armed: Iterable[int] = ()) -> None:
        """Empty activations and the rest of what `standing` tells, whatever was there."""
        for name in ("activations", "ahead"):
            remove(self.root / name)
            (self.root / name).mkdir()
        for epoch in {*staged, current}:
            (self.root / "activations" / activation_name(epoch)).mkdir()
        for epoch in staged:
            if epoch > current:
                (self.root / "ahead" / activation_name(epoch)).touch()
        (self.root / "state/fence").write_text(f"{fence}\n")
        for name in self.armed:
            (self.root / f"state/armed-{name}").unlink()
        for epoch in armed:
            (self.root / f"state/armed-{activation_name(epoch)}").symlink_to(f"activations/{activation_name(epoch)}")
        (self.root / "current").unlink(missing_ok=True)
        (self.root / "current").symlink_to(f"activations/{activation_name(current)}")


def wait_for(has_come: Callable[[], bool]) -> None:
    """Until that is so, which another process brings about."""
    deadline = time.monotonic() + PATIENCE
    while not has_come():
        assert time.monotonic() < deadline, "it has not come"
        os.sched_yield()


def remove(top: Path) -> None:
    """A tree with directories that are read-only."""
    for directory, _, _ in os.walk(top):
        Path(directory).chmod(0o755)
    shutil.rmtree(top)


def check_tree(root: Path, *, served: bool = True) -> None:
    """What must hold of every tree at every moment at which no command runs, whatever was sent and killed before.

    Without `served`, what `current` leads to need not be there.
    """
    objects = {}
    for path in (root / "objects").iterdir():
        found = path.lstat()
        assert stat.S_ISREG(found.st_mode), path
        assert stat.S_IMODE(found.st_mode) == 0o444, (path, oct(found.st_mode))
        assert path.name == sha256(path.read_bytes())
        assert found.st_mtime_ns == object_time(path.name) * 10**9, path
        objects[found.st_ino] = path.name
    for path in (root / "by-hash").iterdir():
        assert re.fullmatch(r"[A-Za-z0-9+_]{22}", path.name), path
        assert path.lstat().st_ino in objects, path
    for top in (*(root / "releases").glob("*/*"), *(root / "activations").iterdir()):
        for directory, directories, files in os.walk(top):
            for name in (*directories, *files):
                _check_entry(Path(directory, name), top, objects)
    _check_pointers(root, served=served)


def _check_entry(path: Path, top: Path, objects: dict[int, str]) -> None:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        assert top.parent.name == "activations", path
        assert path.parent == top, path
        assert LINK.fullmatch(str(path.readlink())), (path, path.readlink())
        assert path.name not in {".", ".."}
    elif stat.S_ISREG(found.st_mode):
        assert found.st_ino in objects, path
    else:
        assert stat.S_ISDIR(found.st_mode), path


def _check_pointers(root: Path, *, served: bool) -> None:
    current = str((root / "current").readlink())
    assert not served or (root / current).is_dir(), current
    fence = int((root / "state/fence").read_text())
    epoch = int(current.removeprefix("activations/").split("-")[0])
    assert epoch <= fence, (epoch, fence)
    for path in (root / "state").glob("armed-*"):
        # Nothing below the fence can flip.
        assert int(path.name.removeprefix("armed-").split("-")[0]) == fence, (path, fence)


def snapshot(top: Path, ignored: Iterable[str] = ()) -> dict[str, tuple[object, ...]]:
    """Everything below `top`: what it is, its mode, its time, its content."""
    seen: dict[str, tuple[object, ...]] = {}
    for directory, directories, files in os.walk(top):
        for name in (*directories, *files):
            path = Path(directory, name)
            key = str(path.relative_to(top))
            if any(key == skip or key.startswith(f"{skip}/") for skip in ignored):
                continue
            found = path.lstat()
            kind = stat.S_IFMT(found.st_mode)
            detail: object = None
            if kind == stat.S_IFLNK:
                detail = str(path.readlink())
            elif kind == stat.S_IFREG:
                detail = (sha256(path.read_bytes()), found.st_mtime_ns)
            seen[key] = (kind, stat.S_IMODE(found.st_mode), detail)
    return seen
