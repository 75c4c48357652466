"""The commands, put together, and what becomes of their errors."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import typer

from orchestrator.cli.output import exit_code, print_error
from orchestrator.domain.errors import LockstepError

HELP = (
    "Moves a fleet of frontends from one release to the next, all or none.\n\n"
    "Exit codes: 0 done; 1 aborted, nothing changed; 2 usage; 3 the outcome is still open."
)


#: How many new objects there are before Python looks for rings among them; its default is 700.
NEW_OBJECTS = 20_000


class Command(NamedTuple):
    """A word of the command line: the module of `orchestrator.cli` and the name in it. With `help`, it is a group."""

    word: str
    module: str
    name: str
    help: str = ""


#: In the order in which `lockstep --help` shows them, groups last.
COMMANDS = (
    Command("adopt", "adopt", "adopt"),
    Command("deploy", "deployments", "deploy"),
    Command("continue", "deployments", "proceed"),
    Command("abort", "deployments", "abort"),
    Command("rollback", "deployments", "rollback"),
    Command("drain", "rotation", "drain"),
    Command("readmit", "rotation", "readmit"),
    Command("audit", "audit", "audit"),
    Command("audits", "audit", "app", "Audits, and what they found."),
    Command("status", "history", "status"),
    Command("history", "history", "history"),
    Command("deployments", "history", "app", "Deployments and their reports."),
    Command("release", "release", "app", "Build releases and look at them."),
    Command("builds", "builds", "app", "Installed apps in the field."),
    Command("inventory", "inventory", "app", "Environments, fleets, frontends and apps."),
    Command("frontend", "frontend", "app", "What a frontend needs."),
    Command("hooks", "hooks", "app", "Who is told of events, and what became of it."),
    Command("observe", "observe", "observe"),
    Command("ota", "ota", "app", "Over-the-air updates in the field."),
    Command("token", "token", "app", "API tokens: issue, list, revoke."),
    Command("trail", "trail", "app", "Who changed what."),
    Command("serve", "serve", "serve"),
    Command("standalone", "standalone", "standalone"),
    Command("lab", "lab", "app", "A real fleet on this machine, to try things out."),
)


def typed(given: Sequence[str]) -> typer.Typer:
    """The command line for these words. A command that is named is loaded alone: all of them take long to import."""
    made = typer.Typer(name="lockstep", no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")
    # Without it, a single command would be all there is, and its name one of its arguments.
    made.callback(help=HELP)(lambda: None)
    for each in [command for command in COMMANDS if [command.word] == given[:1]] or COMMANDS:
        found = getattr(import_module(f"orchestrator.cli.{each.module}"), each.name)
        if each.help:
            made.add_typer(found, name=each.word, help=each.help)
        else:
            made.command(each.word)(found)
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: without `arguments`, that of this process. Every error raised on purpose ends here."""
    if arguments is None:
        _collect_less()
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        typed(given)(given)
    except LockstepError as error:
        print_error(error, as_json="--json" in given)
        sys.exit(exit_code(error))


def _collect_less() -> None:
    """Hardly look for garbage while modules are loaded, which is when most objects come, and not at all at the end.

    All of it stays until the process ends. To look through it again and again takes 0.1 s of a command's 1.2 s, and
    0.2 s once the command is over. Whatever has to be closed in time is closed by somebody, not by the collector.
    """
    gc.set_threshold(NEW_OBJECTS)
    atexit.register(gc.freeze)
