"""`lockstep lab`: a real fleet on this machine, to try releases on and to test with."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from deploy.lab import Lab, LabError
from deploy.lab.daemon import DaemonState
from deploy.lab.lab import DEFAULT_APPS
from deploy.lab.status import DaemonStatus, FrontendStatus, LabStatus
from inventory.names import is_app, is_mount
from orchestrator.cli.output import AsJson, Exit, messages, print_json, results
from orchestrator.domain.errors import LockstepError, UsageError

app = typer.Typer(
    no_args_is_help=True,
    help="A real fleet on this machine: sshd and nginx of each frontend, HAProxy and an app's server, loopback alone.",
)


def default_directory() -> Path:
    """Below the directory for temporary files: short enough for sockets, and gone for good when nobody cares."""
    return Path(tempfile.gettempdir()) / f"lockstep-lab-{os.geteuid()}"


Directory = Annotated[
    Path,
    typer.Option(
        "--dir",
        envvar="LOCKSTEP_LAB",
        help="Where the lab lies.",
        default_factory=default_directory,
        show_default="lockstep-lab-<user id> in the directory for temporary files",
    ),
]


@app.command(epilog="Examples: lockstep lab up; lockstep lab up --frontends 16 --app ToDo=/ToDo/ --app Portal=/Portal/")
def up(
    directory: Directory,
    frontends: Annotated[int, typer.Option(min=1, max=64, help="How many frontends.")] = 3,
    apps: Annotated[
        list[str] | None, typer.Option("--app", metavar="NAME=MOUNT", help="An app of the fleet; can be repeated.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start a lab and wait until all of it answers. It runs on until `lockstep lab down`."""
    began = time.monotonic()
    with lab_errors():
        lab = Lab.up(directory, frontends, apps=parse_apps(apps or ()), say=messages().print)
        status = lab.status()
    if as_json:
        print_json(status.as_dict())
        return
    results().print(f"{frontends} frontends in {time.monotonic() - began:.1f} s behind {status.url}")
    results().print(f"export LOCKSTEP_INVENTORY={status.inventory}")


@app.command(epilog="Example: lockstep lab down")
def down(directory: Directory, as_json: AsJson = False) -> None:
    """End a lab's processes and remove its directory. Does nothing where there is no lab."""
    with lab_errors():
        lab = Lab.open(directory)
        if lab is not None:
            lab.down()
    if as_json:
        print_json({"directory": str(directory), "ended": lab is not None})
    else:
        results().print(f"the lab in {directory} is gone" if lab is not None else f"there is no lab in {directory}")


@app.command(epilog="Example: lockstep lab status --json")
def status(directory: Directory, as_json: AsJson = False) -> None:
    """Show every process of a lab and what its frontends serve. Exit code 1 where one does not run."""
    with lab_errors():
        lab = Lab.open(directory)
        if lab is None:
            raise LockstepError("there is no lab", where=str(directory), remedy="start one: lockstep lab up")
        found = lab.status()
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found)
    raise typer.Exit(Exit.DONE if found.runs else Exit.ABORTED)


def parse_apps(words: Sequence[str]) -> dict[str, str]:
    """``NAME=MOUNT`` words as names and mount paths; the default apps for none. `UsageError` for other words."""
    apps: dict[str, str] = {}
    for word in words:
        name, _, mount = word.partition("=")
        if not is_app(name) or not is_mount(mount) or name in apps:
            raise UsageError(
                "this names no app", where="--app", expected="NAME=/Segment/ or NAME=/, each name once", found=word
            )
        apps[name] = mount
    return apps or dict(DEFAULT_APPS)


@contextmanager
def lab_errors() -> Iterator[None]:
    """The lab's errors, as the command line shows errors."""
    try:
        yield
    except LabError as error:
        raise LockstepError(
            error.what, where=error.where, expected=error.expected, found=error.found, remedy=error.remedy
        ) from error


def _show(status: LabStatus) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "process", "state", "pid", "address", "serves", "rotation"):
        table.add_column(column)
    _row(table, "", "haproxy", status.haproxy)
    _row(table, "", "service", status.service)
    for frontend in status.frontends:
        _row(table, frontend.name, "sshd", frontend.sshd)
        _row(table, "", "nginx", frontend.nginx, _serves(frontend), frontend.rotation)
    results().print(table)
    results().print(f"url        {status.url}")
    results().print(f"inventory  {status.inventory}")


def _row(table: Table, name: str, process: str, daemon: DaemonStatus, *rest: str) -> None:
    style = "green" if daemon.state is DaemonState.RUNNING else "bold red"
    pid = "" if daemon.pid is None else str(daemon.pid)
    table.add_row(name, process, Text(daemon.state, style=style), pid, daemon.address, *rest)


def _serves(frontend: FrontendStatus) -> str:
    if isinstance(frontend.activation, str):
        return frontend.activation
    return f"epoch {frontend.activation.get('epoch', '?')}"
