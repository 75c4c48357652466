"""Looks at frontends' disks: workers are sent by a message, and answer through a list in Redis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from orchestrator.adapters.dispatch import CeleryDispatch
from orchestrator.adapters.mailbox import KEPT_SECONDS, Mailbox, nobody
from orchestrator.domain.errors import LockstepError
from orchestrator.ota.doctor.look import Errand, Look, Unseen, answer, read_answer

__all__ = ["KEPT_SECONDS", "RedisLooks", "key"]


class RedisLooks:
    """`orchestrator.ports.Looks`."""

    def __init__(self, broker_url: str, dispatch: CeleryDispatch) -> None:
        self._dispatch = dispatch
        self._mailbox = Mailbox(broker_url)

    def look(
        self, errands: Sequence[Errand], seconds: float, heard: Callable[[int], None] = lambda _: None
    ) -> Mapping[str, Look | Unseen]:
        """Have workers look, and wait for at most `seconds`. Every frontend is in the answer; nothing is raised."""
        names = [errand.frontend for errand in errands]
        try:
            if not self._dispatch.workers():
                raise nobody("no worker answers", "none within 2 s")
            for errand in errands:
                self._dispatch.look(errand.words(), seconds)
        except LockstepError as error:
            return {name: Unseen(error.problem) for name in names}
        keys = {key(errand.nonce) for errand in errands}
        seen, lacking = self._mailbox.gather(keys, names, seconds, _read, heard)
        return {**{name: Unseen(lacking) for name in names}, **seen}

    def put(self, errand: Errand, seen: Look | Unseen) -> None:
        """A worker's answer. `UnansweredError` where Redis does not take it."""
        self._mailbox.put(key(errand.nonce), answer(errand.frontend, seen))


def key(nonce: str) -> str:
    """The key of the list in Redis."""
    return f"lockstep:look:{nonce}"


def _read(body: bytes) -> tuple[str, Look | Unseen]:
    try:
        return read_answer(body)
    except LockstepError as error:
        return "", Unseen(error.problem)
