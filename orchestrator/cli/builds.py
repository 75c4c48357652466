"""`lockstep builds`: the installed apps that are in the field."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import actor
from orchestrator.cli.output import AsJson, print_json, results
from orchestrator.domain.build import Build
from orchestrator.domain.errors import UsageError
from orchestrator.services.updates import Updating

app = typer.Typer(name="builds", no_args_is_help=True, help="Installed apps in the field: add, list, retire.")

Environment = Annotated[str, typer.Argument(metavar="ENVIRONMENT", help="The environment that they get updates from.")]
AppName = Annotated[str, typer.Argument(metavar="APP", help="The app.")]
BuildId = Annotated[str, typer.Argument(metavar="ID", help="The build's id, as whoever builds names it.")]


@app.command()
def add(
    environment: Environment,
    app_name: AppName,
    build: BuildId,
    version: Annotated[str, typer.Option("--version", metavar="V", help="The release that it was made from.")],
    platform: Annotated[str, typer.Option("--platform", metavar="P", help="Such as android or ios.")] = "",
    as_json: AsJson = False,
) -> None:
    """Record a build that is out there, or will be. The same again is no change.

    Example:
      lockstep builds add Production ToDo 7.2.0-1041 --version 2.0.0 --platform android
    """
    lockstep = Lockstep()
    _check(lockstep, environment, app_name)
    _say(_updating(lockstep).record(environment, app_name, build, version, platform, actor()), "recorded", as_json)


@app.command("list")
def list_builds(
    environment: Annotated[str | None, typer.Argument(metavar="[ENVIRONMENT]", help="Only this one's.")] = None,
    app_name: Annotated[str | None, typer.Option("--app", metavar="NAME", help="Only this app's.")] = None,
    retired: Annotated[bool, typer.Option("--all", help="Also those that are retired.")] = False,
    as_json: AsJson = False,
) -> None:
    """The builds in the field, oldest first.

    Example:
      lockstep builds list Production --app ToDo
    """
    found = Lockstep().builds.builds(environment, app_name, retired=retired)
    if as_json:
        print_json({"builds": [_view(build) for build in found]})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("environment", "app", "build", "platform", "made from", "recorded (UTC)", "by", "retired (UTC)"):
        table.add_column(column)
    for build in found:
        gone = "" if build.retired_at is None else f"{build.retired_at:%Y-%m-%d %H:%M}"
        when = f"{build.created_at:%Y-%m-%d %H:%M}"
        row = (build.environment, build.app, build.id, build.platform, build.version, when, build.actor, gone)
        table.add_row(*row)
    results().print(table)


@app.command()
def retire(environment: Environment, app_name: AppName, build: BuildId, as_json: AsJson = False) -> None:
    """Say that nobody has a build any more: plans and store-only activations leave it out from now on.

    Example:
      lockstep builds retire Production ToDo 7.1.0-998
    """
    _say(Lockstep().builds.retire_build(environment, app_name, build, actor=actor()), "retired", as_json)


def _check(lockstep: Lockstep, environment: str, app_name: str) -> None:
    """`UsageError` where the inventory has no such app in such an environment: a typing error would hurt nobody."""
    fleets = lockstep.inventory().fleets
    known = sorted({(fleet.environment, app.name) for fleet in fleets for app in fleet.apps})
    if (environment, app_name) not in known:
        raise UsageError(
            f"{environment} has no app {app_name}",
            expected=", ".join(f"{each} {name}" for each, name in known) or "an inventory with apps",
            found=f"{environment} {app_name}",
        )


def _updating(lockstep: Lockstep) -> Updating:
    return Updating(lockstep.ledger, lockstep.artifacts, lockstep.builds, lockstep.clock)


def _say(build: Build, verb: str, as_json: bool) -> None:
    if as_json:
        print_json(_view(build))
        return
    platform = f", {build.platform}" if build.platform else ""
    line = f"{verb}: build {build.id} of {build.app} in {build.environment}, made from {build.version}{platform}"
    results().print(line, highlight=False, markup=False)


def _view(build: Build) -> dict[str, Any]:
    return {
        "environment": build.environment,
        "app": build.app,
        "build": build.id,
        "version": build.version,
        "platform": build.platform,
        "actor": build.actor,
        "created_at": build.created_at.isoformat(timespec="milliseconds"),
        "retired_at": None if build.retired_at is None else build.retired_at.isoformat(timespec="milliseconds"),
    }
