"""Waiting for a condition, with a bound."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Between two looks, in seconds.
PAUSE_SECONDS = 0.02


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Look until the condition holds (True) or `seconds` have passed (False)."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE_SECONDS)
    return True
