"""Run the observer until it has seen what it must see."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from orchestrator.ota.behaviour import Behaviour
from orchestrator.ota.fetcher import Limits
from orchestrator.ota.observer import observe
from orchestrator.ota.tally import Kind, Tally
from orchestrator.ota.target import Target
from tests.integration.cut_off import run_and_cut_off

#: A bound, in seconds, that a run meets only where its condition never comes about.
BOUND = 20.0

Until = Callable[[Tally], bool]
Serving = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(
    url: str,
    until: Until,
    *,
    limits: Limits | None = None,
    app: str = "App",
    behaviours: Sequence[Behaviour] = (Behaviour.LOCKSTEP,),
) -> Tally:
    """Observe with two clients until the tally, looked at every few milliseconds, is as it must become."""
    tally = run_and_cut_off(_observed(url, until, limits, app, behaviours))
    assert until(tally), f"not within {BOUND} s: {tally.document()}"
    return tally


def run_against(serve: Serving, until: Until, *, limits: Limits | None = None) -> Tally:
    """The same, against a server that speaks for itself, connection by connection."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    async def observed() -> Tally:
        async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return await _observed(f"http://127.0.0.1:{port}", until, limits, "App")

    tally = run_and_cut_off(observed())
    assert until(tally), f"not within {BOUND} s: {tally.document()}"
    return tally


def only(tally: Tally, *kinds: Kind) -> bool:
    """Each of these kinds was found, and nothing else."""
    return set(tally.kinds) == set(kinds)


async def _observed(
    url: str,
    until: Until,
    limits: Limits | None,
    app: str,
    behaviours: Sequence[Behaviour] = (Behaviour.LOCKSTEP,),
) -> Tally:
    stop = asyncio.Event()
    return await observe(
        Target.of(url, app),
        clients=2,
        behaviours=behaviours,
        duration=BOUND,
        stop=stop,
        limits=limits,
        on_progress=lambda tally: stop.set() if until(tally) else None,
        progress_seconds=0.01,
    )
