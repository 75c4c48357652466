"""One command that runs on a frontend, over its channel: words in, lines out, all within one time limit."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

import paramiko

from inventory.model import Frontend
from orchestrator.domain.errors import LockstepError, UnansweredError
from workers.frontend.answers import LONGEST_ANSWER, STATUSES, printable

STDERR_MOST = 4096


class Conversation:
    """One running command: words in, lines out, all within one time limit."""

    def __init__(self, frontend: Frontend, channel: paramiko.Channel, limit: float) -> None:
        self._frontend = frontend
        self._channel = channel
        self._limit = limit
        self._deadline = time.monotonic() + limit
        self._stdout = bytearray()
        self.stderr = b""

    def extend(self, limit: float, since: float | None = None) -> None:
        """Give what follows `limit` seconds from now, or from `since` (of `time.monotonic`)."""
        self._limit = limit
        self._deadline = (time.monotonic() if since is None else since) + limit

    def feed(self, chunks: Iterable[bytes], *, ends: bool = True) -> None:
        """Send standard input, and end it. A command that ends early gets no more: its answer says why."""
        try:
            for chunk in chunks:
                self._wait()
                self._channel.sendall(chunk)
            if ends:
                self._channel.shutdown_write()
        except TimeoutError as error:
            raise self._late() from error
        except (paramiko.SSHException, EOFError) as error:
            raise lost(self._frontend, error) from error
        except OSError as error:
            if not self._channel.closed and not self._channel.exit_status_ready():
                raise lost(self._frontend, error) from error

    def say(self, word: bytes) -> None:
        """Send one word and leave standard input open."""
        try:
            self._wait()
            self._channel.sendall(word)
        except TimeoutError as error:
            raise self._late() from error
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise lost(self._frontend, error) from error

    def tell(self, pieces: Iterable[bytes], size: int) -> bool:
        """Send what belongs to a word, and leave standard input open. Whether all of it went out.

        Not where the answer was there before. Raises `UnansweredError` where it is not `size` bytes: what is more would
        pass for other words.
        """
        left = size
        for piece in pieces:
            left -= len(piece)
            if left < 0:
                break
            if self.answered:
                return False
            self.say(piece)
        if left:
            raise UnansweredError("what was sent is not as long as it was said to be", where=self._frontend.name)
        return True

    def answer(self) -> tuple[bytes, int | None]:
        """All lines up to the verdict on one of several commands, and the exit status that the script would have.

        None where the output ends without a verdict.
        """
        while (status := _verdict(self._stdout)) is None and self._more():
            pass
        taken = bytes(self._stdout)
        self._stdout.clear()
        return taken, status

    def line(self) -> bytes:
        """The next line, its end included; what is left where the output ends without one."""
        while b"\n" not in self._stdout and self._more():
            pass
        end = self._stdout.find(b"\n") + 1 or len(self._stdout)
        taken = bytes(self._stdout[:end])
        del self._stdout[:end]
        return taken

    def hear(self, until: float) -> bytes | None:
        """The next line where all of it comes before `until` (of `time.monotonic`); None where it does not."""
        while b"\n" not in self._stdout:
            self._channel.settimeout(max(0.0, until - time.monotonic()))
            try:
                chunk = self._channel.recv(4096)
            except TimeoutError:
                return None
            if not chunk:
                return None
            self._stdout += chunk
        return self.line()

    def put_back(self, line: bytes) -> None:
        """Have a line that was taken be the next again."""
        self._stdout[:0] = line

    def read(self, size: int) -> bytes:
        """The next `size` bytes of the output, fewer only where it ends: for answers that no memory need hold."""
        while len(self._stdout) < size and self._more():
            pass
        taken = bytes(self._stdout[:size])
        del self._stdout[:size]
        return taken

    def finish(self) -> tuple[bytes, int | None]:
        """The rest of the output, and the exit status: None where the connection gave none."""
        while self._more():
            pass
        if not self._channel.status_event.wait(max(0.0, self._deadline - time.monotonic())):
            raise self._late()
        while self._channel.recv_stderr_ready() and len(self.stderr) < STDERR_MOST:
            self.stderr += self._channel.recv_stderr(STDERR_MOST)
        status = self._channel.exit_status
        return bytes(self._stdout), None if status < 0 else status

    @property
    def closed(self) -> bool:
        """Whether the channel is closed."""
        return bool(self._channel.closed)

    @property
    def ended(self) -> bool:
        """Whether the other end says nothing any more."""
        return bool(self._channel.closed or self._channel.eof_received)

    @property
    def over(self) -> bool:
        """Whether the other end will say nothing any more, and its exit status is known: `finish` waits for nothing."""
        return bool(self._channel.status_event.is_set()) and self.ended

    @property
    def answered(self) -> bool:
        """Whether what has come ends with a verdict: `answer` waits for nothing. Takes in what is there."""
        if self._channel.recv_ready():
            self._stdout += self._channel.recv(65536)
        return _verdict(self._stdout) is not None

    @property
    def has_said(self) -> bool:
        """Whether something came that nobody has taken."""
        return bool(self._stdout or self._channel.recv_ready())

    @property
    def late(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() >= self._deadline

    @property
    def complaints(self) -> str:
        """What the command wrote to standard error, as far as it was read."""
        return self.stderr.decode("utf-8", "replace")

    def close(self) -> None:
        """Close the channel; a command that still waits gets end of file."""
        with suppress(paramiko.SSHException, EOFError, OSError):
            self._channel.close()

    def _more(self) -> bool:
        self._wait()
        try:
            chunk = self._channel.recv(65536)
        except TimeoutError as error:
            raise self._late() from error
        self._stdout += chunk
        if len(self._stdout) > LONGEST_ANSWER:
            raise UnansweredError("the answer is too long", where=self._frontend.name, expected="at most 64 MiB")
        return bool(chunk)

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        # What is here is not too late, whenever it is read.
        if left <= 0 and not self.ended:
            raise self._late()
        self._channel.settimeout(max(0.0, left))

    def _late(self) -> UnansweredError:
        return UnansweredError(
            "no answer in time",
            where=self._frontend.name,
            expected=f"an answer within {self._limit:g} s",
            found=printable(self._stdout.decode("utf-8", "replace")) or "nothing",
            remedy="see what keeps the frontend busy; the limits are in the fleet's policy",
        )


def _verdict(said: bytearray) -> int | None:
    """The exit status that goes with the last line, None where that is no verdict, or not whole."""
    if not said.endswith(b"\n"):
        return None
    begin = said.rfind(b"\n", 0, -1) + 1
    word = said[begin:-1].split(b" ", 1)[0].decode("ascii", "replace")
    return STATUSES.get(word)


def place(frontend: Frontend) -> str:
    """The frontend's name and where it is reached."""
    return f"{frontend.name} ({frontend.user}@{frontend.address} port {frontend.port})"


def lost(frontend: Frontend, error: Exception) -> LockstepError:
    """The error for a connection that can't be made or does not stand any more: the outcome is unknown."""
    return UnansweredError(
        "the frontend can't be reached over SSH",
        where=place(frontend),
        expected="a connection",
        found=str(error) or type(error).__name__,
        remedy="see that its sshd runs and that the network lets the worker through",
    )
