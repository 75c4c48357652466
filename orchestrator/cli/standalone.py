"""lockstep standalone: everything that has to run, in one command."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from deploy import programs
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.output import messages
from orchestrator.cli.serve import DEFAULT_PORT
from orchestrator.domain.errors import LockstepError
from orchestrator.settings import Settings


def standalone(
    concurrency: Annotated[int, typer.Option(min=2, max=1000, help="Frontends that are worked on side by side.")] = 32,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The server's; 0: any that is free.")] = DEFAULT_PORT,
    no_server: Annotated[bool, typer.Option("--no-server", help="Without the HTTP API and hooks.")] = False,
) -> None:
    """Run broker, worker, beat and the HTTP API in one command, until Ctrl-C.

    The ledger is SQLite below LOCKSTEP_HOME, unless LOCKSTEP_LEDGER_URL names another; the broker is a Redis server
    of its own, unless LOCKSTEP_BROKER_URL names one. Logs are below LOCKSTEP_HOME. The HTTP API listens on this
    machine alone; beyond it: lockstep serve.

    Example:
      lockstep standalone &
    """
    # Imported where it is needed: Celery and Redis take 0.2 s, which every other command would pay.
    from orchestrator.adapters.standalone import standalone as run  # noqa: PLC0415

    settings = Settings.read()
    assert Lockstep(settings).ledger is not None  # the schema is brought up to date before the worker looks at it
    over = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        over.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    options = [f"--concurrency={concurrency}"]
    with run(settings, _redis_server, options, None if no_server else port) as running:
        api = "" if running.api_url is None else f"API {running.api_url}, "
        line = f"ready: {api}broker {running.broker_url}, ledger and logs below {settings.home}"
        messages().print(line, highlight=False)
        while not over.wait(0.5):
            dead = running.dead()
            if dead is not None:
                log = settings.home / f"{dead}.log"
                raise LockstepError(f"{dead} ended by itself", where=str(log), remedy="read its log, then start again")
        messages().print("stopping: what is under way is finished first", highlight=False)


def _redis_server() -> Path:
    try:
        found = programs.find("redis-server")
    except programs.ProgramError as error:
        raise LockstepError(error.what, remedy=error.remedy) from error
    if found is None:
        raise LockstepError(
            "there is no Redis server on this machine",
            expected="redis-server on PATH, or LOCKSTEP_BROKER_URL",
            remedy="install it: apt-get install redis-server, or: python -m deploy.programs redis-server",
        )
    return found
