"""What one client was answered: it counts the answers and their faults, and remembers what servers said of releases."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.domain.activation import ActivationName
from orchestrator.ota import judgement as judge
from orchestrator.ota.answers import Answer, MalformedError, NoAnswer, read_name
from orchestrator.ota.asking import Asking
from orchestrator.ota.tally import Count, Fault, Finding, Tally
from orchestrator.ota.target import Ask

#: How many activations' tokens a client remembers.
TOLD = 64

Named = tuple[Answer, ActivationName | None]


class Witness:
    """The highest epoch `seen`, the `page` that is open, and which token each activation was `told` to have."""

    def __init__(self, base_url: str, tally: Tally, elapsed: Callable[[], float]) -> None:
        self.tally = tally
        self.elapsed = elapsed
        self.seen: int | None = None
        self.page: judge.Page | None = None
        self.told: dict[ActivationName, str] = {}
        self._base_url = base_url

    def named(self, ask: Ask) -> Asking[Named | None]:
        """What came back, with the activation that it names; what can't be judged is noted, and None."""
        (answer,) = yield (ask,)
        if isinstance(answer, NoAnswer):
            self.note(ask, (answer.fault,), None)
            return None
        try:
            return answer, read_name(answer)
        except MalformedError as error:
            self.note(ask, (error.fault,), None)
            return None

    def note(self, ask: Ask, faults: tuple[Fault, ...], name: ActivationName | None) -> bool:
        """Count an answer and its faults. Returns whether it could be judged: an error is not a check."""
        judged = all(fault.kind.counted is not Count.ERRORS for fault in faults)
        self.tally.checks += judged
        self.find(ask, faults, name)
        return judged

    def find(self, ask: Ask, faults: tuple[Fault, ...], name: ActivationName | None) -> None:
        """Count faults alone."""
        for fault in faults:
            epoch = None if name is None else name.epoch
            self.tally.find(Finding(fault, self._base_url + ask.url, epoch, self.elapsed()))

    def forward(self, name: ActivationName | None) -> bool:
        """Whether an activation is surely not older than what was seen."""
        return self.seen is None or (name is not None and name.epoch >= self.seen)

    def saw(self, answer: Answer, name: ActivationName | None) -> None:
        """Only what is served counts as seen: a web server need not set the pin where it has nothing to serve."""
        if name is not None and answer.status == judge.OK:
            self.seen = name.epoch if self.seen is None else max(self.seen, name.epoch)

    def tell(self, name: ActivationName, token: str) -> tuple[Fault, ...]:
        """An activation says its token. Returns the faults."""
        faults = judge.judge_told(self.told, name, token)
        self.told[name] = token
        if len(self.told) > TOLD:
            del self.told[next(iter(self.told))]
        return faults
