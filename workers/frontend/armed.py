"""Armed frontends: each waits on an open channel for one word."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping

from orchestrator.domain.errors import UnansweredError
from workers.frontend.answers import printable
from workers.frontend.clocks import Clock, measure
from workers.frontend.commands import Arm
from workers.frontend.job import Job
from workers.frontend.steps import Detail, Steps
from workers.frontend.transport import Conversation, Session

#: How long an armed frontend waits, beyond the time that the others have to arm, before it stands down by itself.
PATIENCE_SECONDS = 30

#: How far ahead the instant is at which all flip: for all words to have arrived, and at most; in seconds.
AHEAD_SECONDS, AHEAD_EACH, AHEAD_MOST = 0.02, 0.001, 1.0
#: How long a frontend is silent after its flip, so that its answer does not delay another's flip; in seconds.
LINGER_SECONDS, LINGER_EACH, LINGER_MOST = 0.005, 0.001, 0.5


class Armed:
    """The conversations of one deployment. Safe to use from several threads, one per frontend."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._lock = threading.Lock()
        self._closed = False
        self._waiting: dict[str, tuple[Session, Arm, Conversation]] = {}
        self._clocks: dict[str, Clock] = {}

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

        Those whose clocks are well known hear of an instant; the others hear the word when it has come. Returns then.
        """
        with self._lock:
            ready = {name: self._waiting[name][1:] for name in limits if name in self._waiting}
        for name, (_, conversation) in ready.items():
            conversation.extend(limits[name])
        clocks = measure(ready) if len(ready) > 1 else {}
        self._clocks |= clocks
        sure = {name: clock for name, clock in clocks.items() if clock.well_known}
        ahead = min(AHEAD_SECONDS + len(ready) * AHEAD_EACH, AHEAD_MOST) if sure else 0.0
        linger = min(LINGER_SECONDS + len(ready) * LINGER_EACH, LINGER_MOST)
        instant, flips = time.time() + ahead, time.monotonic() + ahead
        failed: dict[str, Exception] = {}

        def say(name: str, word: bytes) -> None:
            try:
                ready[name][1].extend(limits[name])
                ready[name][1].say(word)
            except UnansweredError as error:
                failed[name] = error

        for name, clock in sure.items():
            say(name, ready[name][0].go_at(clock.tells(instant), linger))
        # Whatever is done here now, on a machine with frontends it would delay them.
        time.sleep(max(0.0, flips - time.monotonic()))
        for name in ready.keys() - sure.keys():
            say(name, ready[name][0].go)
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
            detail: dict[str, object] = {"at": session.understood(command, conversation, stdout, status)}
            if (clock := self._clocks.get(frontend)) is not None:
                detail |= {"offset": clock.offset, "uncertainty": clock.uncertainty}
            return detail
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
