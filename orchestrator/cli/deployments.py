"""The commands that move fleets: deploy, rollback, continue, abort."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from inventory.model import Fleet
from inventory.names import APP
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.inventory import load_inventory, select_fleet
from orchestrator.cli.moments import parse_moment
from orchestrator.cli.output import AsJson, Exit, messages, print_json, results
from orchestrator.cli.progress import follow, last_word, outcome
from orchestrator.domain.deployment import Deployment, Plan
from orchestrator.domain.errors import UsageError
from orchestrator.domain.release import VERSION
from orchestrator.services.deployments import Deploying, Schedule, last_committed, previous_committed
from orchestrator.services.views import deployment_view

FleetName = Annotated[str, typer.Argument(metavar="FLEET", help="ENVIRONMENT/FLEET, or the fleet's name alone.")]
Number = Annotated[int, typer.Argument(metavar="ID", help="The deployment's number, as `lockstep history` shows it.")]
Hold = Annotated[bool, typer.Option("--hold", help="Stage and verify, then wait for `lockstep continue`.")]
At = Annotated[str | None, typer.Option("--at", metavar="TIME", help="Flip then: 22:30, or an ISO 8601 time.")]
Detach = Annotated[bool, typer.Option("--detach", help="Return at once; watch with `lockstep deployments show ID`.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing.")]


def deploy(
    fleet: FleetName,
    changes: Annotated[list[str], typer.Argument(metavar="APP=VERSION…", help="The releases to move to.")],
    hold: Hold = False,
    at: At = None,
    detach: Detach = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Move a fleet to other releases: all of its frontends, or none.

    Examples:
      lockstep deploy Production/web ToDo=2.0.0

      lockstep deploy web ToDo=2.0.0 Portal=1.4.1 --hold

      lockstep deploy web ToDo=2.0.0 --at 22:30 --json
    """
    lockstep = Lockstep()
    chosen, wanted = choose(lockstep, fleet), parse_changes(changes)
    schedule = _schedule(lockstep, hold, at)
    if dry_run:
        plan = _deploying(lockstep).plan(chosen, wanted, schedule, actor())
        _show_plan(plan, last_committed(lockstep.ledger, chosen.key), as_json)
        return
    _finish(lockstep, _ready(lockstep).deploy(chosen, wanted, schedule, actor()), detach, as_json)


def rollback(
    fleet: FleetName,
    to: Annotated[int | None, typer.Option("--to", metavar="EPOCH", help="What was served at this epoch.")] = None,
    hold: Hold = False,
    at: At = None,
    detach: Detach = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Move a fleet back, under a new epoch: to what it served before, or to what it served at EPOCH.

    Examples:
      lockstep rollback Production/web

      lockstep rollback web --to 12
    """
    lockstep = Lockstep()
    chosen = choose(lockstep, fleet)
    schedule = _schedule(lockstep, hold, at)
    if dry_run:
        plan = _deploying(lockstep).plan_rollback(chosen, to, schedule, actor())
        _show_plan(plan, last_committed(lockstep.ledger, chosen.key), as_json)
        return
    _finish(lockstep, _ready(lockstep).rollback(chosen, to, schedule, actor()), detach, as_json)


def proceed(number: Number, detach: Detach = False, as_json: AsJson = False) -> None:
    """Let a held deployment go on, or ask the frontends of an open one again.

    Example:
      lockstep continue 17
    """
    lockstep = Lockstep()
    _finish(lockstep, _ready(lockstep).proceed(number), detach, as_json)


def abort(number: Number, as_json: AsJson = False) -> None:
    """End a deployment that is not committed: its frontends stay on what they serve.

    After the commit there is no abort, only a rollback.

    Example:
      lockstep abort 17
    """
    lockstep = Lockstep()
    deployment = _deploying(lockstep).abort(number, actor())
    deployment = follow(lockstep.ledger, deployment, messages(), lockstep.dispatch.workers)
    _say(deployment, as_json, [Text(f"aborted: deployment {number}; no frontend was changed")])


def actor() -> str:
    """Who asks: the login and the machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def choose(lockstep: Lockstep, fleet: str) -> Fleet:
    """The fleet of that name in the inventory; `UsageError` where there is none."""
    return select_fleet(load_inventory(lockstep.settings), fleet)


def parse_changes(words: Sequence[str]) -> dict[str, str]:
    """``APP=VERSION`` each; every app once."""
    changes: dict[str, str] = {}
    for word in words:
        app, _, version = word.partition("=")
        if not APP.fullmatch(app) or not VERSION.fullmatch(version):
            raise UsageError("not a release", expected="APP=VERSION, such as ToDo=2.0.0", found=word[:80])
        if changes.setdefault(app, version) != version:
            raise UsageError(f"two versions of {app}", expected="each app once", found=f"{changes[app]} and {version}")
    return changes


def _deploying(lockstep: Lockstep) -> Deploying:
    return Deploying(lockstep.ledger, lockstep.artifacts, lockstep.dispatch, lockstep.clock)


def _ready(lockstep: Lockstep) -> Deploying:
    """The use cases, after a look whether anybody is there to do the work: before that, nothing is planned."""
    if not lockstep.dispatch.workers():
        raise UsageError(
            "no worker answers",
            expected="a running worker on the same broker",
            found="none within 2 s",
            remedy="start one: lockstep standalone, or lockstep-worker",
        )
    return _deploying(lockstep)


def _schedule(lockstep: Lockstep, hold: bool, at: str | None) -> Schedule:
    return Schedule(hold, None if at is None else parse_moment(at, lockstep.clock()))


def _finish(lockstep: Lockstep, deployment: Deployment, detach: bool, as_json: bool) -> None:
    if detach:
        _say(deployment, as_json, [Text(f"deployment {deployment.id}: lockstep deployments show {deployment.id}")])
        return
    deployment = follow(lockstep.ledger, deployment, messages(), lockstep.dispatch.workers)
    before = previous_committed(lockstep.ledger, deployment)
    _say(deployment, as_json, last_word(deployment, None if before is None else before.epoch))
    code = outcome(deployment)
    raise typer.Exit(Exit.OPEN if code is None else code)


def _say(deployment: Deployment, as_json: bool, lines: Sequence[Text]) -> None:
    if as_json:
        print_json(deployment_view(deployment))
        return
    for line in lines:
        results().print(line, highlight=False)


def _show_plan(plan: Plan, present: Deployment | None, as_json: bool) -> None:
    """What would change, app by app."""
    before = {} if present is None else {p.app: p.version for p in present.plan.placements}
    if as_json:
        apps = {p.app: {"from": before.get(p.app), "to": p.version, "digest": p.digest} for p in plan.placements}
        print_json({"fleet": plan.fleet, "kind": str(plan.kind), "apps": apps, "frontends": list(plan.frontends)})
        return
    results().print(f"{plan.fleet}: {len(plan.frontends)} frontends ({', '.join(plan.frontends)})", highlight=False)
    for placement in plan.placements:
        old = before.get(placement.app, "nothing")
        arrow = f"{old} → {placement.version}" if old != placement.version else f"{old} (stays)"
        results().print(f"  {placement.app} at {placement.mount}: {arrow}", highlight=False, markup=False)
