"""The command `lockstep`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line. Every error that Lockstep raises on purpose ends here."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        app(given)
    except LockstepError as error:
        print_error(error, as_json="--json" in given)
        sys.exit(exit_code(error))
