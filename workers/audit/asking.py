"""What a frontend, or the public address, answers over HTTP: each request on its own, whatever the others came to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from orchestrator.domain.activation import ActivationName
from orchestrator.domain.audit.drift import HEALTH
from orchestrator.domain.audit.expectation import Ask
from orchestrator.domain.audit.observation import Answer
from orchestrator.domain.errors import UnansweredError
from workers.frontend.serving import Site

#: So many requests in a row that nobody answers, and no more are sent: each may take its whole time.
MOST_SILENT = 3


@dataclass(slots=True)
class Asking:
    """The answers so far, by `Ask.key`; the health answer's status; and why there is none."""

    answers: dict[str, Answer] = field(default_factory=dict)
    health: int | None = None
    reason: str = ""

    def ask(self, site: Site, asks: Iterable[Ask], pin: ActivationName | None) -> None:
        """Ask all of it. Raises nothing that the other side can do."""
        silent = 0
        for ask in asks:
            if silent == MOST_SILENT:
                return
            answer = answered(site, ask, pin)
            silent = silent + 1 if answer.failure else 0
            self.answers[ask.key] = answer

    def ask_health(self, site: Site) -> None:
        """Ask for the health answer alone."""
        try:
            self.health = site.get(HEALTH, None).status
        except UnansweredError as error:
            self.reason = error.problem.found

    def so_far(self) -> Mapping[str, Answer]:
        """A copy: whoever is late may still be writing."""
        return dict(self.answers)


def answered(site: Site, ask: Ask, pin: ActivationName | None) -> Answer:
    """What came back, or why nothing did."""
    try:
        answer = site.get(ask.url, pin, ask.accept, native=ask.native)
    except UnansweredError as error:
        return Answer(failure=error.problem.found)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        # It says nothing of what is served; the next request may be answered.
        return Answer(failure=f"status {answer.status}")
    return Answer(answer.status, answer.activation, answer.sha256)
