"""Sites that are adopted: workers are sent by a message, and answer through a list in Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from orchestrator.adapters.dispatch import CeleryDispatch
from orchestrator.adapters.mailbox import Mailbox, nobody
from orchestrator.domain.adoption.errand import Errand, Silence, Taken, answer, read_answer
from orchestrator.domain.adoption.site import Site
from orchestrator.domain.errors import LockstepError, Problem


class RedisAdoptions:
    """`orchestrator.ports.Adoptions`."""

    def __init__(self, broker_url: str, dispatch: CeleryDispatch) -> None:
        self._dispatch = dispatch
        self._mailbox = Mailbox(broker_url)

    def send(
        self, errands: Sequence[Errand], seconds: float, heard: Callable[[int], None] = lambda _: None
    ) -> Mapping[str, Site | Taken | Problem]:
        """Send workers, and wait for at most `seconds`. Every frontend is in the answer; nothing is raised."""
        names = [errand.frontend for errand in errands]
        try:
            if not self._dispatch.workers():
                raise nobody("no worker answers", "none within 2 s")
            for errand in errands:
                self._dispatch.adopt(errand.words(), seconds)
        except LockstepError as error:
            return dict.fromkeys(names, error.problem)
        keys = {key(errand.nonce) for errand in errands}
        brought, lacking = self._mailbox.gather(keys, names, seconds, _read, heard)
        return {**dict.fromkeys(names, Silence(**lacking.as_dict())), **brought}

    def put(self, errand: Errand, brought: Site | Taken | Problem) -> None:
        """A worker's answer. `UnansweredError` where Redis does not take it."""
        self._mailbox.put(key(errand.nonce), answer(errand.frontend, brought))


def key(nonce: str) -> str:
    """The key of the list in Redis."""
    return f"lockstep:adoption:{nonce}"


def _read(body: bytes) -> tuple[str, Site | Taken | Problem]:
    try:
        return read_answer(body)
    except LockstepError as error:
        return "", error.problem
