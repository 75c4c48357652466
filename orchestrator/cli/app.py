"""The commands, put together, and what becomes of their errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from orchestrator.cli import (
    adopt,
    audit,
    builds,
    deployments,
    frontend,
    history,
    hooks,
    inventory,
    lab,
    observe,
    ota,
    release,
    rotation,
    serve,
    standalone,
    token,
    trail,
)
from orchestrator.cli.output import exit_code, print_error
from orchestrator.domain.errors import LockstepError

app = typer.Typer(
    name="lockstep",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Moves a fleet of frontends from one release to the next, all or none.\n\n"
    "Exit codes: 0 done; 1 aborted, nothing changed; 2 usage; 3 the outcome is still open.",
)

app.command("adopt")(adopt.adopt)
app.command("deploy")(deployments.deploy)
app.command("continue")(deployments.proceed)
app.command("abort")(deployments.abort)
app.command("rollback")(deployments.rollback)
app.command("drain")(rotation.drain)
app.command("readmit")(rotation.readmit)
app.command("audit")(audit.audit)
app.add_typer(audit.app, name="audits", help="Audits, and what they found.")
app.command("status")(history.status)
app.command("history")(history.history)
app.add_typer(history.app, name="deployments", help="Deployments and their reports.")
app.add_typer(release.app, name="release", help="Build releases and look at them.")
app.add_typer(builds.app, name="builds", help="Installed apps in the field.")
app.add_typer(inventory.app, name="inventory", help="Environments, fleets, frontends and apps.")
app.add_typer(frontend.app, name="frontend", help="What a frontend needs.")
app.add_typer(hooks.app, name="hooks", help="Who is told of events, and what became of it.")
app.command("observe")(observe.observe)
app.add_typer(ota.app, name="ota", help="Over-the-air updates in the field.")
app.add_typer(token.app, name="token", help="API tokens: issue, list, revoke.")
app.add_typer(trail.app, name="trail", help="Who changed what.")
app.command("serve")(serve.serve)
app.command("standalone")(standalone.standalone)
app.add_typer(lab.app, name="lab", help="A real fleet on this machine, to try things out.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Every error that Lockstep raises on purpose ends here."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(given)
    except LockstepError as error:
        print_error(error, as_json="--json" in given)
        sys.exit(exit_code(error))
