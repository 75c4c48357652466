"""The commands that move frontends out of rotation and back: drain, readmit."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.text import Text

from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import (
    AbortOnInterrupt,
    Detach,
    FleetName,
    Wait,
    actor,
    choose,
    deploying,
    finish,
    need_worker,
    when_free,
)
from orchestrator.cli.output import AsJson, Exit, messages, print_json, results
from orchestrator.cli.progress import problem_lines
from orchestrator.domain.errors import UnansweredError
from orchestrator.domain.rotation import Drain
from orchestrator.services.rotation import Rotating
from orchestrator.services.views import drain_view

#: How long `drain` waits for its confirmation before it says that it is open, in seconds.
DRAIN_SECONDS = 30.0
LOOK_SECONDS = 0.1

FrontendName = Annotated[str, typer.Argument(metavar="FRONTEND", help="The frontend's name in the inventory.")]


def drain(
    fleet: FleetName,
    frontend: FrontendName,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever reads the status.")] = "maintenance",
    as_json: AsJson = False,
) -> None:
    """Take a frontend out of rotation, until `lockstep readmit`.

    At the load balancer, confirmed by reading it back; where the inventory names none, by the frontend's own health
    answer. Deployments go on without it. An open deployment that waits for it goes on as well.

    Example:
      lockstep drain Production/web fe3 --reason "new disk"
    """
    lockstep = Lockstep()
    chosen = choose(lockstep, fleet)
    need_worker(lockstep)
    standing = Rotating(lockstep.ledger, lockstep.dispatch).drain(chosen, frontend, actor(), reason)
    standing = _confirmed(lockstep, standing)
    if as_json:
        print_json(drain_view(standing))
    elif standing.confirmed:
        done = f"drained: {frontend} is out of the rotation of {chosen.key}, confirmed by {standing.by}"
        results().print(Text(done, "green"), highlight=False)
        results().print(Text(f"  bring it back: lockstep readmit {chosen.key} {frontend}"), highlight=False)
    else:
        results().print(Text(f"open: nobody has confirmed yet that {frontend} is out of rotation", "bold yellow"))
        for line in problem_lines(standing.problem):
            results().print(line)
        results().print(Text(f"  workers try again by themselves; see: lockstep status {chosen.key}"), highlight=False)
    raise typer.Exit(Exit.DONE if standing.confirmed else Exit.OPEN)


def readmit(
    fleet: FleetName,
    frontends: Annotated[list[str], typer.Argument(metavar="FRONTEND…", help="Drained or new frontends.")],
    wait: Wait = False,
    abort_on_interrupt: AbortOnInterrupt = False,
    detach: Detach = False,
    as_json: AsJson = False,
) -> None:
    """Bring frontends back into rotation, or new ones in: staged, switched to what the fleet serves, proven, then in.

    It has a number, reports and an end like a deployment, and holds the fleet while it lasts. A frontend that does not
    pass stays drained.

    Examples:
      lockstep readmit Production/web fe3

      lockstep readmit web fe8 fe9 --json
    """
    lockstep = Lockstep()
    chosen = choose(lockstep, fleet)
    need_worker(lockstep)
    started = when_free(lockstep, chosen.key, wait, lambda: deploying(lockstep).readmit(chosen, frontends, actor()))
    finish(lockstep, started, detach=detach, as_json=as_json, abort_on_interrupt=abort_on_interrupt)


def _confirmed(lockstep: Lockstep, standing: Drain) -> Drain:
    """The drain once it is confirmed, found impossible for now, or nobody has said anything for long."""
    deadline = time.monotonic() + DRAIN_SECONDS
    console = messages()
    if not standing.confirmed:
        console.print(f"draining {standing.frontend} …", highlight=False, markup=False)
    while not standing.confirmed and not standing.problem and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        read = lockstep.ledger.drain(standing.number)
        if read is None:
            raise UnansweredError(f"drain {standing.number} is not in the ledger any more")
        standing = read
    return standing
