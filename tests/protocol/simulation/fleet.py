"""The simulated frontends as `orchestrator.ports.Fleet`, for the service that carries a coordination out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial

from orchestrator.domain.deployment import Deployment, Outcome, Report, Step
from orchestrator.domain.effects import Ask
from orchestrator.ports import Deployments
from tests.protocol.simulation.frontend import Answer, Conversation, SimulatedFrontend, refused, silence
from tests.protocol.simulation.laws import judge, observe
from tests.protocol.simulation.messages import carry_out

Deliver = Callable[[Report], None]


class Fate(StrEnum):
    """What becomes of an asking."""

    OBEYED = "obeyed"
    REFUSED = "refused"
    ASK_LOST = "ask lost"
    ANSWER_LOST = "answer lost"


def obeyed(ask: Ask) -> Fate:
    """Nothing goes wrong."""
    del ask
    return Fate.OBEYED


def at_once(act: Callable[[], None]) -> None:
    """Answers come while the coordinator still asks."""
    act()


class SimulatedFleet:
    """The frontends of one deployment. The laws are checked around every command.

    `fate` says what becomes of each asking; `post` runs an asking, at once or in a thread: one of it, because a
    frontend obeys one command at a time. `asked` is all that was asked, in order.
    """

    def __init__(
        self,
        ledger: Deployments,
        row: Deployment,
        frontends: Mapping[str, SimulatedFrontend],
        fate: Callable[[Ask], Fate] = obeyed,
        post: Callable[[Callable[[], None]], object] = at_once,
    ) -> None:
        self._ledger = ledger
        self._row = row
        self._frontends = frontends
        self._fate = fate
        self._post = post
        self._lock = threading.Lock()
        self._seen = observe(ledger, frontends)
        self._conversations: dict[str, Conversation] = {}
        self.asked: list[Ask] = []
        self.closed = False

    def ask(self, asks: Sequence[Ask], deliver: Deliver) -> None:
        """Begin these askings."""
        self.asked += asks
        if any(ask.step is Step.DISARM for ask in asks):
            self._hang_up()
        for ask in asks:
            self._post(partial(self._answer_to, ask, deliver))

    def close(self) -> None:
        """Every conversation ends."""
        self.closed = True
        self._hang_up()

    def _hang_up(self) -> None:
        with self._lock:
            for conversation in self._conversations.values():
                conversation.end()
            self._conversations = {}

    def _answer_to(self, ask: Ask, deliver: Deliver) -> None:
        report = self._answer(ask).report(ask)
        if ask.step in (Step.STAGE, Step.VERIFY):
            # Other workers do these, and record their reports themselves.
            self._ledger.record(self._row.id, [report])
            report = self._ledger.reports(self._row.id)[-1][1]
        deliver(report)

    def _answer(self, ask: Ask) -> Answer:
        fate = self._fate(ask)
        if fate is Fate.REFUSED:
            return refused(f"{ask.frontend} can't {ask.step}")
        if fate is Fate.ASK_LOST:
            return silence(f"{ask.frontend} was not reached")
        with self._lock:
            answer = self._lawfully(ask)
            if ask.step is Step.ARM and answer.outcome is Outcome.ACCEPTED:
                conversation = Conversation(self._frontends[ask.frontend], self._row.name)
                if fate is Fate.OBEYED and not self.closed:
                    self._conversations[ask.frontend] = conversation
                else:
                    # Its answer comes to nobody: the channel is closed.
                    conversation.end()
        return answer if fate is Fate.OBEYED else silence(f"{ask.frontend} did not answer")

    def _lawfully(self, ask: Ask) -> Answer:
        words = [self._row.name] if ask.step is Step.ACTIVATE else []
        self._seen = judge(self._seen, self._ledger, self._frontends, words)
        if ask.step is Step.ACTIVATE and ask.frontend in self._conversations:
            answer = self._conversations.pop(ask.frontend).word()
        else:
            answer = carry_out(self._frontends[ask.frontend], self._row.activation, ask.step)
        self._seen = judge(self._seen, self._ledger, self._frontends, words)
        return answer
