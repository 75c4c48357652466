"""Running what ends in the middle of its requests."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_and_cut_off(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`; then what was cut off is thrown away here, and not by whichever test comes next.

    A connection that stands at the very moment in which its task is cancelled is lost by AnyIO 4, which was about to
    hand it over: nobody can close it any more, and Python complains when it finds that out.
    """
    # What was there before is not searched: that would take longer than the work.
    gc.freeze()
    try:
        return asyncio.run(work)
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
        gc.unfreeze()
