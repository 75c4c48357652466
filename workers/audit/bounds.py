"""Doing things side by side, each within its time: what is stuck is left behind, and holds nobody else up."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from orchestrator.domain.errors import LockstepError, UnansweredError

T = TypeVar("T")

log = structlog.get_logger()


def side_by_side(acts: Sequence[Callable[[], T]], at_once: int) -> list[T]:
    """What they give, in their order; so many at once."""
    with ThreadPoolExecutor(max(1, min(at_once, len(acts)))) as pool:
        return list(pool.map(lambda act: act(), acts))


def bounded(act: Callable[[], T], seconds: float) -> T | LockstepError:
    """What `act` gives within `seconds`, or the error that says why nothing came.

    Nothing ends a thread from outside: one that is late goes on alone, and nobody hears what comes of it.
    """
    answers: queue.SimpleQueue[T | LockstepError] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(attempted(act)), daemon=True).start()
    try:
        return answers.get(timeout=max(0.0, seconds))
    except queue.Empty:
        return UnansweredError("no answer in time", expected=f"an answer within {seconds:g} s", found="nothing")


def attempted(act: Callable[[], T]) -> T | LockstepError:
    """What `act` gives, or its error."""
    try:
        return act()
    except LockstepError as error:
        return error
    except Exception as error:  # a fault of ours must not leave the rest unseen
        log.exception("a part of a survey failed")
        return UnansweredError("nobody could look", found=type(error).__name__)
