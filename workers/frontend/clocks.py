"""Armed frontends' clocks, measured over their open channels right before the word (docs/protocol.md, "The word")."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.domain.errors import UnansweredError
from orchestrator.domain.skew import correction
from workers.frontend.commands import Arm
from workers.frontend.conversation import Conversation

#: How many frontends are asked at once: more, and their answers wait for each other here, which counts as uncertainty.
AT_ONCE = 4
#: How long one answer may take, and all of them together, in seconds: the decision has been written, clients wait.
ANSWER_SECONDS = 0.05
ALL_SECONDS = 0.12
#: A clock that is not known better than that, in seconds, is no clock: a word that comes in time is as good.
WELL = 0.004


@dataclass(frozen=True, slots=True)
class Clock:
    """A frontend's clock minus this machine's, and how far off that may be, both in seconds."""

    offset: float
    uncertainty: float

    @classmethod
    def between(cls, lowest: float, highest: float) -> Clock:
        """The offset is one between these."""
        return cls(round((lowest + highest) / 2, 6), round(abs(highest - lowest) / 2, 6))

    @property
    def well_known(self) -> bool:
        """Whether to go by it."""
        return self.uncertainty <= WELL

    def tells(self, instant: float) -> float:
        """What it shows at an instant of this machine's clock."""
        return instant + correction(self.offset, self.uncertainty)


@dataclass(slots=True)
class Asked:
    """A frontend and what is known of its clock so far."""

    name: str
    command: Arm
    conversation: Conversation
    lowest: float = float("-inf")
    highest: float = float("inf")
    sent: float = 0.0

    def ask(self) -> bool:
        """Send the question; whether that could be done."""
        self.sent = time.time()
        try:
            self.conversation.say(self.command.ask_clock)
        except UnansweredError:
            return False
        return True

    def hear(self, until: float) -> bool:
        """Read the answer; whether it came before `until` (of `time.monotonic`) and told a clock.

        What is no such answer is left to whoever reads what follows.
        """
        line = self.conversation.hear(until)
        came = time.time()
        if line is None:
            return False
        shown = self.command.parse_clock(line)
        if shown is None:
            self.conversation.put_back(line)
            return False
        # It was read after the question had left and before its answer was here; each exchange narrows that down.
        self.lowest, self.highest = max(self.lowest, shown - came), min(self.highest, shown - self.sent)
        return True

    @property
    def clock(self) -> Clock:
        """What is known now."""
        return Clock.between(self.lowest, self.highest)


def measure(armed: Mapping[str, tuple[Arm, Conversation]]) -> dict[str, Clock]:
    """The clocks of those who answer in time. One that is not well known is asked a second time where there is time."""
    until = time.monotonic() + ALL_SECONDS
    found: dict[str, Asked] = {}
    asked = [Asked(name, command, conversation) for name, (command, conversation) in armed.items()]
    for _ in range(2):
        again = [each for each in asked if each.name not in found or not found[each.name].clock.well_known]
        asked = _round(again, until)
        found |= {each.name: each for each in asked}
    return {name: each.clock for name, each in found.items()}


def _round(asked: list[Asked], until: float) -> list[Asked]:
    """Ask each once, a few at a time; those who have answered. Who has not is not asked again: it may still answer."""
    waiting: deque[Asked] = deque()
    answered = []
    rest = deque(asked)
    while (rest and time.monotonic() < until) or waiting:
        while rest and len(waiting) < AT_ONCE:
            each = rest.popleft()
            if each.ask():
                waiting.append(each)
        if waiting:
            each = waiting.popleft()
            if each.hear(min(until, time.monotonic() + ANSWER_SECONDS)):
                answered.append(each)
    return answered
