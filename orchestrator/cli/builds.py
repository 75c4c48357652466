"""`lockstep builds`: the installed apps that are in the field."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from orchestrator.adapters.inventory import check_app
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import actor
from orchestrator.cli.output import AsJson, print_json, results
from orchestrator.domain.build import Build
from orchestrator.services.views import build_view

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
    check_app(lockstep.inventory(), environment, app_name)
    _say(lockstep.updating.record(environment, app_name, build, version, platform, actor()), "recorded", as_json)


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
        print_json({"builds": [build_view(build) for build in found]})
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


def _say(build: Build, verb: str, as_json: bool) -> None:
    if as_json:
        print_json(build_view(build))
        return
    platform = f", {build.platform}" if build.platform else ""
    line = f"{verb}: build {build.id} of {build.app} in {build.environment}, made from {build.version}{platform}"
    results().print(line, highlight=False, markup=False)
