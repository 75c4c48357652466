"""Armed frontends: each waits on an open channel for one word."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping

from orchestrator.domain.errors import UnansweredError
from workers.frontend.answers import printable
from workers.frontend.commands import Arm
from workers.frontend.job import Job
from workers.frontend.steps import Detail, Steps
from workers.frontend.transport import Conversation, Session

#: How long an armed frontend waits, beyond the time that the others have to arm, before it stands down by itself.
PATIENCE_SECONDS = 30


class Armed:
    """The conversations of one deployment. Safe to use from several threads, one per frontend."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._lock = threading.Lock()
        self._closed = False
        self._waiting: dict[str, tuple[Session, Arm, Conversation]] = {}

    def arm(self, job: Job) -> Detail:
        """Ask one frontend to arm; returns when it waits. Raises as the script's refusals and lost answers do."""
        began = time.monotonic()
        limit = job.fleet.policy.arm_seconds
        command = Arm(job.frontend.root, job.deployment.name, math.ceil(limit) + PATIENCE_SECONDS)
        session = self._steps.session(job, limit)
        conversation = session.converse(command.argv(), limit=limit)
        try:
            line = conversation.line()
            if line != command.armed:
                self._say_why(session, command, conversation, line)
            with self._lock:
                if self._closed:
                    raise UnansweredError("armed after its time was over", where=job.frontend.name)
                self._waiting[job.frontend.name] = (session, command, conversation)
        except BaseException:
            conversation.close()
            raise
        return {"seconds": round(time.monotonic() - began, 3)}

    def give_word(self, limits: Mapping[str, float]) -> dict[str, Exception]:
        """Send the word to all of `limits` (frontend -> seconds for its answer); what could not be sent, and why.

        Nothing but the sending happens between the first and the last word.
        """
        with self._lock:
            ready = [(name, self._waiting[name]) for name in limits if name in self._waiting]
        failed: dict[str, Exception] = {}
        for name, (_, command, conversation) in ready:
            try:
                conversation.extend(limits[name])
                conversation.say(command.go)
            except UnansweredError as error:
                failed[name] = error
        for name in failed:
            self._give_up(name)
        return failed

    def _give_up(self, frontend: str) -> None:
        """A channel that took no word is no use any more: the next attempt goes its own way."""
        with self._lock:
            _, _, conversation = self._waiting.pop(frontend)
        conversation.close()

    def waits(self, frontend: str) -> bool:
        """Whether there is an open conversation."""
        with self._lock:
            return frontend in self._waiting

    def answer(self, frontend: str) -> Detail:
        """After the word: when the frontend flipped. Ends the conversation."""
        with self._lock:
            session, command, conversation = self._waiting.pop(frontend)
        try:
            stdout, status = conversation.finish()
            return {"at": session.understood(command, conversation, stdout, status)}
        finally:
            conversation.close()

    def close(self) -> None:
        """End every conversation: armed frontends get end of file, and stay on what they serve."""
        with self._lock:
            self._closed = True
            ending = list(self._waiting.values())
            self._waiting.clear()
        for _, _, conversation in ending:
            conversation.close()

    @staticmethod
    def _say_why(session: Session, command: Arm, conversation: Conversation, line: bytes) -> None:
        stdout, status = conversation.finish()
        session.understood(command, conversation, line + stdout, status)
        raise UnansweredError(
            "arm: no answer that can be understood",
            where=session.frontend.name,
            expected=command.armed.decode().strip(),
            found=printable(line.decode("utf-8", "replace")) or "nothing",
        )
