"""What the commands print: text for people, one JSON document for programs, and errors with their remedy.

Results go to standard output; progress and errors go to standard error, so that a pipe holds results alone. Colours
follow the terminal, NO_COLOR and FORCE_COLOR.
"""

from __future__ import annotations

import json
from enum import IntEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from orchestrator.domain.errors import LockstepError, UnansweredError, UsageError

#: `--json` of every command.
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


class Exit(IntEnum):
    """The exit codes, the same for every command."""

    DONE = 0
    ABORTED = 1
    USAGE = 2
    OPEN = 3


#: How wide tables may get where there is no terminal to say.
PIPE_WIDTH = 200


def results() -> Console:
    """Where results go."""
    console = Console(soft_wrap=True)
    return console if console.is_terminal else Console(soft_wrap=True, width=PIPE_WIDTH)


def messages() -> Console:
    """Where progress and errors go."""
    return Console(stderr=True, soft_wrap=True)


def print_json(document: Any) -> None:
    """One JSON document on standard output, keys sorted."""
    typer.echo(json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False))


def exit_code(error: LockstepError) -> Exit:
    """Usage for what can't be understood, open for what has no known outcome; else aborted: nothing was changed."""
    if isinstance(error, UsageError):
        return Exit.USAGE
    return Exit.OPEN if isinstance(error, UnansweredError) else Exit.ABORTED


def print_error(error: LockstepError, *, as_json: bool) -> None:
    """The problem, with what was expected, what was found and what to do."""
    if as_json:
        print_json({"error": error.problem.as_dict(), "exit": int(exit_code(error))})
        return
    head, *rest = str(error.problem).split("\n")
    messages().print(Text("error: ", style="bold red").append(head, style="not bold default"))
    for line in rest:
        messages().print(Text(line))
