"""The process on a frontend that does a deployment's commands one after the other (docs/frontend.md, "The attendant").

A channel, a login shell and the script's beginning cost a frontend 10 ms of CPU, and the processes that the script
starts another 15 to 50 for each command: in one process of perl that is paid once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from inventory.model import Frontend
from orchestrator.domain.errors import UnansweredError
from workers.frontend.answers import STATUSES, printable
from workers.frontend.commands import Command
from workers.frontend.conversation import Conversation
from workers.frontend.script import script, script_sha256


@dataclass(frozen=True, slots=True)
class Attend(Command):
    """Start the attendant: it reads the commands' lines (`Command.line`), each with its input behind it.

    Where there is no script, or it is to be replaced, that is said first (`ABSENT`); after `install`, the script is put
    in its place, whole or not at all, `INSTALLED` when its hash is right, and the attendant is that of it. So nothing
    is changed before somebody says so, and one channel does for a frontend's first time.
    """

    sha256: str
    size: int
    replaces: bool = False

    ABSENT: ClassVar[bytes] = b"ABSENT\n"
    INSTALLED: ClassVar[bytes] = b"installed\n"

    @property
    def ready(self) -> bytes:
        """What it says when it waits for commands, where it is that of the script with this hash."""
        return f"READY {self.sha256}\n".encode()

    def argv(self) -> tuple[str, ...]:
        """A program of the shell with the paths as its arguments."""
        program = (
            'set -eu; umask 022; script=$1/state/lockstep-frontend; if [ -n "$4" ] || [ ! -f "$script" ]; then '
            'echo ABSENT; read -r word; mkdir -p "$1/state"; new=$script.$$; trap \'rm -f "$new"\' EXIT; '
            'head -c "$3" >"$new"; set -- "$1" "$2" "$(sha256sum <"$new")"; [ "${3%% *}" = "$2" ]; '
            'mv -f "$new" "$script"; echo installed; fi; exec sh "$script" "$1" attend'
        )
        replaces = "replace" if self.replaces else ""
        return ("sh", "-c", program, "lockstep-attend", self.root, self.sha256, str(self.size), replaces)

    @staticmethod
    def install(script: bytes) -> bytes:
        """What is said to it when it said `ABSENT`."""
        return b"INSTALL\n" + script

    def not_installed(self, frontend: str, said: bytes, status: int | None, complaints: str) -> UnansweredError:
        """The error where that frontend did not say `INSTALLED`."""
        found = [f"exit status {status}", printable(said.decode("utf-8", "replace")), printable(complaints)]
        return UnansweredError(
            "the frontend's script could not be installed",
            where=f"{frontend}: {self.script}",
            found=", ".join(filter(None, found)),
            remedy="see that the account may write below the root",
        )


class Attendant:
    """That of one session. Safe to use from several threads: who finds it at work goes without.

    `begin` starts a command in a channel of its own, within a limit in seconds.
    """

    def __init__(self, frontend: Frontend, begin: Callable[[Attend, float], Conversation]) -> None:
        self._frontend = frontend
        self._begin = begin
        self._lock = threading.Lock()
        self._conversation: Conversation | None = None
        self._lent: Conversation | None = None
        #: One that has found no script, and waits for it.
        self._bare: Conversation | None = None
        self._known_absent = False

    @property
    def at_work(self) -> bool:
        """Whether it does a command just now, or is lent and not given up."""
        lent = self._lent
        return self._lock.locked() or (lent is not None and not lent.closed)

    def install(self, limit: float) -> None:
        """Have this Lockstep's script in its place, and the one that attends be that of it.

        Raises `UnansweredError` where that is not known to be so.
        """
        command = self._command(replaces=True)
        with self._lock:
            self._end()
            begun, self._bare = self._bare, None
            try:
                if begun is None or begun.ended:
                    begun = self._begin(command, limit)
                    begun.line()
                begun.extend(limit)
                begun.feed([command.install(script())], ends=False)
                if (said := begun.line()) != command.INSTALLED:
                    rest, status = begun.finish()
                    raise command.not_installed(self._frontend.name, said + rest, status, begun.complaints)
                self._settle(begun)
            except BaseException:
                if begun is not None:
                    begun.close()
                raise

    def do(self, command: Command, stdin: Iterable[bytes], size: int, limit: float) -> tuple[bytes, int | None] | None:
        """Its answer and the exit status that the script would have; None where another way must be gone.

        `stdin` are `size` bytes. Raises `UnansweredError` where nobody knows what came of it, or there is no script.
        """
        with self._taken(limit) as conversation:
            if conversation is None:
                return None
            conversation.say(command.line(size))
            whole = conversation.tell(stdin, size)
            said, status = conversation.answer()
            if status is None or not whole:
                self._end()
            return said, status

    def lend(self, command: Command, limit: float) -> Conversation | None:
        """Start a command that is talked with: by the caller, who brings it `back` or closes it; None as of `do`."""
        with self._taken(limit) as conversation:
            if conversation is not None:
                conversation.say(command.line(0))
                self._conversation, self._lent = None, conversation
            return conversation

    def rest(self) -> None:
        """End it where it has no work just now: it may hold the only channel that is allowed."""
        if self._lock.acquire(blocking=False):
            try:
                self._end()
                if self._bare is not None:
                    self._bare.close()
            finally:
                self._lock.release()

    def lends(self, conversation: Conversation) -> bool:
        """Whether it is the one that was lent: it goes on after the answer."""
        return conversation is self._lent

    def back(self, conversation: Conversation) -> tuple[bytes, int | None] | None:
        """The rest of the answer as of `do`, where it is the one that was lent; with it, the attendant has no work."""
        if conversation is not self._lent:
            return None
        said, status = conversation.answer()
        with self._lock:
            self._lent = None
            # Who stood down may have heard the word too late, and take it for something else.
            if status != STATUSES["OK"] or not said.startswith(b"ACTIVE") or self._conversation is not None:
                conversation.close()
            else:
                self._conversation = conversation
        return said, status

    @contextmanager
    def _taken(self, limit: float) -> Iterator[Conversation | None]:
        if not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            yield self._standing(limit)
        except BaseException:
            # What it does now, and whom the next answer is for, nobody knows.
            self._end()
            raise
        finally:
            self._lock.release()

    def _standing(self, limit: float) -> Conversation | None:
        if self._conversation is not None and (self._conversation.ended or self._conversation.has_said):
            self._end()
        if self._bare is not None and self._bare.ended:
            self._bare = None
        if self._conversation is None and self._bare is None and not self._known_absent:
            self._settle(self._begin(self._command(), limit))
        if self._bare is not None:
            raise UnansweredError(
                "there is no script on the frontend",
                where=f"{self._frontend.name}: {self._frontend.root}/state",
                expected="the script that a deployment installs before all else",
                remedy="find out who removed it, then deploy again",
            )
        if self._conversation is not None:
            self._conversation.extend(limit)
        return self._conversation

    def _command(self, *, replaces: bool = False) -> Attend:
        return Attend(self._frontend.root, script_sha256(), len(script()), replaces)

    def _settle(self, begun: Conversation) -> None:
        """By what it says first. One who says nothing in time is none: the others' way is open."""
        try:
            said = begun.line()
        except UnansweredError:
            said = b""
        if said == self._command().ready:
            self._conversation = begun
        elif said == Attend.ABSENT:
            self._bare = begun
        else:
            begun.close()
        self._known_absent = begun not in (self._conversation, self._bare)

    def _end(self) -> None:
        if self._conversation is not None:
            self._conversation.close()
            self._conversation = None
