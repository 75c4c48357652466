"""Watches an app from outside, with many clients at once, and counts what no client may ever see."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from itertools import cycle

from orchestrator.ota.behaviour import Behaviour
from orchestrator.ota.client import Client
from orchestrator.ota.fetcher import Fetcher, Limits
from orchestrator.ota.tally import Tally
from orchestrator.ota.target import Target

#: Seconds that a client waits after a round that it could not go through: errors are counted, not multiplied.
PAUSE = 0.1


async def observe(
    target: Target,
    *,
    clients: int,
    behaviours: Sequence[Behaviour] = (Behaviour.LOCKSTEP,),
    duration: float | None = None,
    stop: asyncio.Event | None = None,
    limits: Limits | None = None,
    on_progress: Callable[[Tally], None] | None = None,
    progress_seconds: float = 1.0,
) -> Tally:
    """Observe `target` with that many clients until `duration` seconds are over or `stop` is set, or for ever.

    The clients are shared out among the `behaviours` in turn: with two of them, half and half.
    Whatever the servers do is counted, never raised. Answers that are under way at the end are not counted.
    `on_progress` is called with the tally as it stands, every `progress_seconds`.
    """
    tally = Tally()
    begin = time.monotonic()

    def elapsed() -> float:
        return time.monotonic() - begin

    async with AsyncExitStack() as stack:
        trust = ssl.create_default_context()
        runs = []
        for _, behaviour in zip(range(clients), cycle(behaviours), strict=False):
            tally.upgrades.clients[behaviour] += 1
            fetcher = await stack.enter_async_context(Fetcher(target, tally, limits or Limits(), trust))
            # Only which file is asked for next hangs on it.
            choice = random.Random()  # noqa: S311
            client = Client(target, tally, random=choice, elapsed=elapsed, stamp=_milliseconds, behaviour=behaviour)
            runs.append(_visit(client, fetcher))
        if on_progress is not None:
            runs.append(_report(tally, elapsed, on_progress, progress_seconds))
        await _run_until(stop or asyncio.Event(), duration, [asyncio.create_task(run) for run in runs])
    tally.seconds = elapsed()
    return tally


async def _run_until(stop: asyncio.Event, duration: float | None, tasks: list[asyncio.Task[None]]) -> None:
    """Run until the end is there. A task that ends by itself has failed: its error is raised."""
    stopper = asyncio.create_task(_wait(stop))
    everything = [stopper, *tasks]
    try:
        done, _ = await asyncio.wait(everything, timeout=duration, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in everything:
            task.cancel()
        await asyncio.gather(*everything, return_exceptions=True)


async def _wait(stop: asyncio.Event) -> None:
    await stop.wait()


async def _visit(client: Client, fetcher: Fetcher) -> None:
    while True:
        if not await _go_round(client, fetcher):
            await asyncio.sleep(PAUSE)


async def _go_round(client: Client, fetcher: Fetcher) -> bool:
    steps = client.round()
    try:
        asks = next(steps)
        while True:
            asks = steps.send(await fetcher.fetch_all(asks))
    except StopIteration as end:
        return bool(end.value)


async def _report(
    tally: Tally, elapsed: Callable[[], float], on_progress: Callable[[Tally], None], seconds: float
) -> None:
    while True:
        await asyncio.sleep(seconds)
        tally.seconds = elapsed()
        on_progress(tally)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
