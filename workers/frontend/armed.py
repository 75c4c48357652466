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
from workers.frontend.conversation import Conversation
from workers.frontend.job import Job
from workers.frontend.steps import Detail, Steps
from workers.frontend.transport import Session

#: How many frontends are being armed at once, and asked whatever else one process asks them itself. A fleet of so many
#: arms in one turn. Arming takes two ways over the network and 30 ms of CPU there and here, so that 1,000 are armed in
#: 16 turns of a tenth of a second. On one machine that carries all of them, a turn takes its two cores a second, far
#: less than the time that a channel has to be opened in (`transport.CONNECT_SECONDS`); 1,000 at once took longer.
AT_ONCE = 64
#: How long an armed frontend waits, beyond the time that the others have to arm, before it stands down by itself; and
#: the longest time that it understands.
PATIENCE_SECONDS, LONGEST_SECONDS = 30, 999_999

#: How far ahead the instant is, so that all words have arrived by then: for any fleet, for each frontend, and at most.
AHEAD_SECONDS, AHEAD_EACH, AHEAD_MOST = 0.02, 0.001, 1.0
#: How long a frontend is silent after its flip, so that what follows delays nobody else's, on machines that they share.
LINGER_SECONDS, LINGER_EACH, LINGER_MOST = 0.005, 0.001, 0.5


Ready = tuple[Arm, Conversation]


def ahead(frontends: int) -> float:
    """How far ahead the instant is at which so many flip, in seconds."""
    return min(AHEAD_SECONDS + frontends * AHEAD_EACH, AHEAD_MOST)


def patience(limit: float, frontends: int) -> int:
    """How long an armed frontend waits for the word, in seconds, where each of so many has `limit` seconds to arm.

    They arm in turns (`AT_ONCE`), and the first waits for the last. Who takes no more than his limit makes a turn no
    longer than that, whoever takes which.
    """
    turns = -(-frontends // AT_ONCE)
    return min(math.ceil(limit * turns) + PATIENCE_SECONDS, LONGEST_SECONDS)


def lingering(frontends: int) -> float:
    """How long each of so many is silent after its flip, in seconds."""
    return min(LINGER_SECONDS + frontends * LINGER_EACH, LINGER_MOST)


def _too_late(job: Job) -> UnansweredError:
    return UnansweredError("armed after its time was over", where=job.frontend.name)


def _say_all(
    ready: Mapping[str, Ready], words: Mapping[str, bytes], limits: Mapping[str, float]
) -> dict[str, Exception]:
    """Send each its word, with nothing in between; what could not be sent, and why."""
    failed: dict[str, Exception] = {}
    for name, word in words.items():
        conversation = ready[name][1]
        try:
            conversation.extend(limits[name])
            conversation.say(word)
        except UnansweredError as error:
            failed[name] = error
    return failed


class Armed:
    """The conversations of one deployment. Safe to use from several threads, each for frontends of its own."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._lock = threading.Lock()
        self._closed = False
        self._waiting: dict[str, tuple[Session, Arm, Conversation]] = {}
        self._clocks: dict[str, Clock] = {}

    def arm(self, job: Job) -> Detail:
        """Ask one frontend to arm; returns when it waits. Raises as the script's refusals and lost answers do.

        Its limit counts from here: whoever's turn comes late has no less time.
        """
        began = time.monotonic()
        limit = job.fleet.policy.arm_seconds
        if self._closed:
            raise _too_late(job)
        command = Arm(job.frontend.root, job.deployment.name, patience(limit, len(job.deployment.plan.frontends)))
        session = self._steps.session(job, limit)
        conversation = session.begin(command, limit=max(0.1, round(began + limit - time.monotonic(), 1)))
        try:
            conversation.extend(limit, began)
            line = conversation.line()
            with self._lock:
                if self._closed:
                    raise _too_late(job)
                if line == command.armed:
                    self._waiting[job.frontend.name] = (session, command, conversation)
        except BaseException:
            conversation.close()
            raise
        if line != command.armed:
            self._say_why(session, command, conversation, line)
        return {"seconds": round(time.monotonic() - began, 3)}

    def give_word(self, limits: Mapping[str, float]) -> dict[str, Exception]:
        """Send the word to all of `limits` (frontend -> seconds for its answer); what could not be sent, and why.

        Those whose clocks are well known hear of an instant; the others hear the word when it has come. Returns then.
        """
        with self._lock:
            ready = {name: self._waiting[name][1:] for name in limits if name in self._waiting}
        for name, (_, conversation) in ready.items():
            conversation.extend(limits[name])
        # One alone flips with nobody, and need not wait.
        self._clocks |= measure(ready) if len(ready) > 1 else {}
        at_once, later = self._words(ready)
        flips = time.monotonic() + (ahead(len(ready)) if at_once else 0.0)
        failed = _say_all(ready, at_once, limits)
        # Whatever were done here meanwhile would delay the frontends of this machine, in a lab.
        time.sleep(max(0.0, flips - time.monotonic()))
        failed |= _say_all(ready, later, limits)
        for name in failed:
            self._give_up(name)
        return failed

    def _words(self, ready: Mapping[str, Ready]) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """What to say at once, with an instant in it that is `ahead`, and what to say when that has come."""
        instant, linger = time.time() + ahead(len(ready)), lingering(len(ready))
        at_once, later = {}, {}
        for name, (command, _) in ready.items():
            clock = self._clocks.get(name)
            if clock is not None and clock.well_known:
                at_once[name] = command.go_at(clock.tells(instant), linger)
            else:
                later[name] = command.go
        return at_once, later

    def _give_up(self, frontend: str) -> None:
        """A channel that took no word is no use any more: the next attempt goes its own way."""
        with self._lock:
            waiting = self._waiting.pop(frontend, None)
        if waiting is not None:
            waiting[2].close()

    def waits(self, frontend: str) -> bool:
        """Whether there is an open conversation."""
        with self._lock:
            return frontend in self._waiting

    def answered(self, frontend: str) -> bool:
        """Whether `answer` waits for nothing any more: it is all there, or its time is over."""
        with self._lock:
            waiting = self._waiting.get(frontend)
        if waiting is None:
            return True
        session, _, conversation = waiting
        return session.finished(conversation) or conversation.late

    def answer(self, frontend: str) -> Detail:
        """After the word: when the frontend flipped. Ends the conversation."""
        with self._lock:
            waiting = self._waiting.pop(frontend, None)
        if waiting is None:
            raise UnansweredError("the channel was closed before an answer came", where=frontend)
        session, command, conversation = waiting
        detail: dict[str, object] = {"at": session.finish(command, conversation)}
        if (clock := self._clocks.get(frontend)) is not None:
            detail |= {"offset": clock.offset, "uncertainty": clock.uncertainty}
        return detail

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
        conversation.put_back(line)
        session.finish(command, conversation)
        raise UnansweredError(
            "arm: no answer that can be understood",
            where=session.frontend.name,
            expected=command.armed.decode().strip(),
            found=printable(line.decode("utf-8", "replace")) or "nothing",
        )
