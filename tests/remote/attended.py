"""An attendant that is told one command after the other."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.remote.frontend import Frontend
from tests.remote.shells import EXITS, PATIENCE, Answer, line


class Attendant:
    """One process of it. A context manager that ends its input and waits for it."""

    def __init__(self, frontend: Frontend, prefix: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*prefix, *frontend.shell.command(frontend.root, ["attend"])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=frontend.shell.environment,
            process_group=0,
            cwd="/",
        )
        self.ready = self.line()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        said, complaints, _ = self.end()
        if kind is None:
            assert (said, complaints) == (b"", b"")

    def say(self, sent: bytes) -> None:
        """Send it these bytes; it may have ended."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(sent)
            self.process.stdin.flush()

    def line(self) -> str:
        """The next line that it says; empty where it says no more."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode("utf-8", "surrogateescape").removesuffix("\n")

    def answer(self) -> Answer:
        """All lines up to the verdict. `EOFError` where it ends without one."""
        lines: list[str] = []
        while not lines or lines[-1].split(" ")[0] not in EXITS:
            lines.append(self.line())
            if not lines[-1]:
                raise EOFError(lines)
        return Answer(EXITS[lines[-1].split(" ")[0]], lines)

    def do(self, *words: str | bytes, stdin: bytes = b"", seconds: int = PATIENCE) -> Answer:
        """One command with all of its input; for `arm`, that is the word, which has no size."""
        self.say(line(words, 0 if words[0] == "arm" else len(stdin), seconds) + stdin)
        return self.answer()

    def end(self) -> tuple[bytes, bytes, int]:
        """End its input: what it said that nobody has read, what it complained of, and its exit code."""
        pipes = (self.process.stdin, self.process.stdout, self.process.stderr)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        if not self.process.stdin.closed:
            with suppress(BrokenPipeError):
                self.process.stdin.close()
        said = b"" if self.process.stdout.closed else self.process.stdout.read()
        complaints = b"" if self.process.stderr.closed else self.process.stderr.read()
        for pipe in pipes:
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        return said, complaints, self.process.wait(PATIENCE)
