"""The commands that move fleets: deploy, rollback, continue, abort."""

from __future__ import annotations

import getpass
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from rich.text import Text

from inventory.model import Fleet
from inventory.names import APP
from orchestrator.adapters.inventory import select_fleet
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.moments import parse_moment
from orchestrator.cli.output import AsJson, Exit, messages, print_error, print_json, results
from orchestrator.cli.progress import follow, last_word, outcome
from orchestrator.cli.updates import AcceptIncompatible, AcceptOutdated, NewBuild, consent, update_lines
from orchestrator.domain.deployment import Deployment, Plan
from orchestrator.domain.errors import ConflictError, UsageError
from orchestrator.domain.release import VERSION
from orchestrator.services.deployments import Deploying, Schedule, last_committed, previous_committed
from orchestrator.services.lookup import found
from orchestrator.services.rotation import present_rotation
from orchestrator.services.views import deployment_view, plan_view

#: How often `--wait` looks whether the fleet is free, in seconds.
WAIT_SECONDS = 0.5

FleetName = Annotated[str, typer.Argument(metavar="FLEET", help="ENVIRONMENT/FLEET, or the fleet's name alone.")]
Number = Annotated[int, typer.Argument(metavar="ID", help="The deployment's number, as `lockstep history` shows it.")]
Hold = Annotated[bool, typer.Option("--hold", help="Stage and verify, then wait for `lockstep continue`.")]
At = Annotated[str | None, typer.Option("--at", metavar="TIME", help="Flip then: 22:30, or an ISO 8601 time.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait while another deployment holds the fleet.")]
AbortOnInterrupt = Annotated[
    bool, typer.Option("--abort-on-interrupt", help="Ctrl-C ends the deployment; else it goes on, or you are asked.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Return at once; watch with `lockstep deployments show ID`.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; change nothing.")]


def deploy(
    fleet: FleetName,
    changes: Annotated[list[str], typer.Argument(metavar="APP=VERSION…", help="The releases to move to.")],
    new_build: NewBuild = None,
    accept_outdated: AcceptOutdated = False,
    accept_incompatible: AcceptIncompatible = False,
    hold: Hold = False,
    at: At = None,
    wait: Wait = False,
    abort_on_interrupt: AbortOnInterrupt = False,
    detach: Detach = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Move a fleet to other releases: all of its frontends, or none.

    Where installed apps need a new build, or store-only ones would not be understood any more, it has to be confirmed.

    Examples:
      lockstep deploy Production/web ToDo=2.0.0

      lockstep deploy web ToDo=2.0.0 Portal=1.4.1 --hold

      lockstep deploy web ToDo=2.0.0 --at 22:30 --json

      lockstep deploy web ToDo=3.0.0 --new-build 7.3.0-1187
    """
    agreed = consent(new_build, accept_outdated, accept_incompatible)
    lockstep = Lockstep()
    chosen, wanted = choose(lockstep, fleet), parse_changes(changes)
    schedule = _schedule(lockstep, hold, at)
    if dry_run:
        plan = deploying(lockstep).plan(chosen, wanted, schedule, actor())
        _show_plan(plan, last_committed(lockstep.ledger, chosen.key), as_json)
        return
    need_worker(lockstep)
    _say_who_is_out(lockstep, chosen)
    started = when_free(
        lockstep, chosen.key, wait, lambda: deploying(lockstep).deploy(chosen, wanted, schedule, actor(), agreed)
    )
    _say_what_it_is(started)
    finish(lockstep, started, detach=detach, as_json=as_json, abort_on_interrupt=abort_on_interrupt)


def rollback(
    fleet: FleetName,
    to: Annotated[int | None, typer.Option("--to", metavar="EPOCH", help="What was served at this epoch.")] = None,
    new_build: NewBuild = None,
    accept_outdated: AcceptOutdated = False,
    accept_incompatible: AcceptIncompatible = False,
    hold: Hold = False,
    at: At = None,
    wait: Wait = False,
    abort_on_interrupt: AbortOnInterrupt = False,
    detach: Detach = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Move a fleet back, under a new epoch: to what it served before, or to what it served at EPOCH.

    Examples:
      lockstep rollback Production/web

      lockstep rollback web --to 12
    """
    agreed = consent(new_build, accept_outdated, accept_incompatible)
    lockstep = Lockstep()
    chosen = choose(lockstep, fleet)
    schedule = _schedule(lockstep, hold, at)
    if dry_run:
        plan = deploying(lockstep).plan_rollback(chosen, to, schedule, actor())
        _show_plan(plan, last_committed(lockstep.ledger, chosen.key), as_json)
        return
    need_worker(lockstep)
    _say_who_is_out(lockstep, chosen)
    started = when_free(
        lockstep, chosen.key, wait, lambda: deploying(lockstep).rollback(chosen, to, schedule, actor(), agreed)
    )
    _say_what_it_is(started)
    finish(lockstep, started, detach=detach, as_json=as_json, abort_on_interrupt=abort_on_interrupt)


def proceed(number: Number, detach: Detach = False, as_json: AsJson = False) -> None:
    """Let a held deployment go on, or ask the frontends of an open one again.

    Example:
      lockstep continue 17
    """
    lockstep = Lockstep()
    need_worker(lockstep)
    finish(lockstep, deploying(lockstep).proceed(number, actor()), detach=detach, as_json=as_json)


def abort(number: Number, as_json: AsJson = False) -> None:
    """End a deployment that is not committed: its frontends stay on what they serve.

    After the commit there is no abort, only a rollback.

    Example:
      lockstep abort 17
    """
    lockstep = Lockstep()
    deployment = deploying(lockstep).abort(number, actor())
    deployment = follow(lockstep.ledger, deployment, messages(), lockstep.dispatch.workers)
    _say(deployment, as_json, [Text(f"aborted: deployment {number}; no frontend was changed")])


def actor() -> str:
    """Who asks: the login and the machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def choose(lockstep: Lockstep, fleet: str) -> Fleet:
    """The fleet of that name in the inventory; `UsageError` where there is none."""
    return select_fleet(lockstep.inventory(), fleet)


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


def deploying(lockstep: Lockstep) -> Deploying:
    """The use cases."""
    return lockstep.deploying


def need_worker(lockstep: Lockstep) -> None:
    """A look whether anybody is there to do the work: before that, nothing is planned."""
    if not lockstep.dispatch.workers():
        raise UsageError(
            "no worker answers",
            expected="a running worker on the same broker",
            found="none within 2 s",
            remedy="start one: lockstep standalone, or lockstep-worker",
        )


def when_free(lockstep: Lockstep, fleet: str, wait: bool, start: Callable[[], Deployment]) -> Deployment:
    """Start a deployment; with `wait`, once no other one holds the fleet.

    Interrupted after it was planned, it is returned all the same: whoever planned it may want to end it.
    """
    told = None
    while True:
        holder = lockstep.ledger.open_deployment(fleet) if wait else None
        if holder is not None:
            if holder.id != told:
                since = f"{holder.created_at:%Y-%m-%d %H:%M:%S} UTC"
                line = f"waiting for deployment {holder.id} ({holder.state}, by {holder.plan.actor}, since {since})"
                messages().print(line, highlight=False, markup=False)
                told = holder.id
            time.sleep(WAIT_SECONDS)
            continue
        try:
            return start()
        except ConflictError:
            # Somebody was faster. Any other conflict does not pass by waiting.
            if not wait or lockstep.ledger.open_deployment(fleet) is None:
                raise
        except KeyboardInterrupt:
            planned = lockstep.ledger.open_deployment(fleet)
            if planned is None or planned.plan.actor != actor():
                raise
            return planned


def _schedule(lockstep: Lockstep, hold: bool, at: str | None) -> Schedule:
    return Schedule(hold, None if at is None else parse_moment(at, lockstep.clock()))


def finish(
    lockstep: Lockstep, deployment: Deployment, *, detach: bool, as_json: bool, abort_on_interrupt: bool = False
) -> None:
    """Follow a deployment until it rests, say what became of it, and exit by that."""
    if detach:
        _say(deployment, as_json, [Text(f"deployment {deployment.id}: lockstep deployments show {deployment.id}")])
        return
    try:
        deployment = _followed(lockstep, deployment)
    except KeyboardInterrupt:
        deployment = _interrupted(lockstep, found(lockstep.ledger, deployment.id), abort_on_interrupt)
    before = previous_committed(lockstep.ledger, deployment)
    drains = {drain.frontend for drain in lockstep.ledger.drains(deployment.plan.fleet) if drain.confirmed}
    drained = [name for name in deployment.plan.frontends if name in drains]
    _say(deployment, as_json, last_word(deployment, None if before is None else before.epoch, drained))
    code = outcome(deployment)
    raise typer.Exit(Exit.OPEN if code is None else code)


def _followed(lockstep: Lockstep, deployment: Deployment) -> Deployment:
    return follow(lockstep.ledger, deployment, messages(), lockstep.dispatch.workers)


def _interrupted(lockstep: Lockstep, deployment: Deployment, abort: bool) -> Deployment:
    """Ctrl-C ends the command, never half of a deployment: that goes on, or is aborted, as asked."""
    if outcome(deployment) is not None:
        return deployment
    if not abort and deployment.decision is None and sys.stdin.isatty() and messages().is_terminal:
        try:
            abort = typer.confirm(f"\nAbort deployment {deployment.id}? Without it, it goes on", err=True)
        except (typer.Abort, KeyboardInterrupt):
            abort = False
    if abort:
        try:
            return _followed(lockstep, deploying(lockstep).abort(deployment.id, actor()))
        except ConflictError as error:
            print_error(error, as_json=False)
    return found(lockstep.ledger, deployment.id)


def _say_who_is_out(lockstep: Lockstep, fleet: Fleet) -> None:
    present = present_rotation(lockstep.ledger, fleet)
    for names, what in ((tuple(present.drained), "drained"), (present.new, "new")):
        if names:
            line = (
                f"not in rotation ({what}): {', '.join(names)}; later: lockstep readmit {fleet.key} {' '.join(names)}"
            )
            messages().print(line, highlight=False, markup=False)


def _say_what_it_is(deployment: Deployment) -> None:
    for app, update in sorted(deployment.updates.items()):
        for line in update_lines({**update, "confirm": []}):
            messages().print(f"{app}: {line}", highlight=False, markup=False)


def _say(deployment: Deployment, as_json: bool, lines: Sequence[Text]) -> None:
    if as_json:
        print_json(deployment_view(deployment))
        return
    for line in lines:
        results().print(line, highlight=False)


def _show_plan(plan: Plan, present: Deployment | None, as_json: bool) -> None:
    """What would change, app by app."""
    if as_json:
        print_json(plan_view(plan, present))
        return
    before = {} if present is None else {p.app: p.version for p in present.plan.placements}
    results().print(f"{plan.fleet}: {len(plan.frontends)} frontends ({', '.join(plan.frontends)})", highlight=False)
    for placement in plan.placements:
        old = before.get(placement.app, "nothing")
        arrow = f"{old} → {placement.version}" if old != placement.version else f"{old} (stays)"
        results().print(f"  {placement.app} at {placement.mount}: {arrow}", highlight=False, markup=False)
        for update in plan.updates:
            if update.app == placement.app:
                for line in update_lines(update.document()):
                    results().print(f"    {line}", highlight=False, markup=False)
