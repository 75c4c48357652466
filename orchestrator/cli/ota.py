"""``lockstep ota``: over-the-air updates in the field."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inventory.model import Fleet
from orchestrator.adapters.inventory import select_fleet
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.output import AsJson, messages, print_json, results
from orchestrator.domain.errors import UsageError
from orchestrator.domain.paths import show
from orchestrator.ota.browser.files import client_files
from orchestrator.ota.target import Target

if TYPE_CHECKING:
    from orchestrator.services.doctor import Examination, Scope

app = typer.Typer(name="ota", no_args_is_help=True, help="Over-the-air updates in the field.")


@app.callback()
def _group() -> None:
    """Over-the-air updates in the field."""


@app.command()
def doctor(
    url: Annotated[str, typer.Argument(help="Where clients reach the fleet: scheme, address and port.")],
    *,
    name: Annotated[str, typer.Option("--app", metavar="NAME", help="The app's name.")],
    file: Annotated[
        str | None, typer.Option("--file", metavar="PATH", help="One file: its path, or its URL as a log has it.")
    ] = None,
    fleet: Annotated[
        str | None,
        typer.Option("--fleet", metavar="FLEET", help="The fleet behind it.", show_default="the one with this `url`"),
    ] = None,
    mount: Annotated[
        str | None, typer.Option("--mount", help="The mount path, where no fleet is known.", show_default="/<app>/")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Ask for every file, not for a sample.")] = False,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, max=3_600, help="How long looks at disks may take.")
    ] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with what clients are served, and what to do.

    Compares, at one moment, the release that the ledger committed, what lies on each frontend's disk, what each
    frontend serves at its own address, and what clients get at URL. Changes nothing.

    Exit codes: 0 nothing is wrong; 1 something is; 2 usage; 3 something could not be found out, and nothing is wrong.

    Examples:
      lockstep ota doctor https://app.example.com --app ToDo

      lockstep ota doctor https://app.example.com --app ToDo --file scripts/ToDo.js

      lockstep ota doctor https://app.example.com --app ToDo --file '/ToDo/scripts/ToDo.js?yMMkVndC_DwKF0E0QvkXsg'

      lockstep ota doctor http://10.0.0.10 --app ToDo --fleet Production/web --all --json
    """
    # Imported where it is needed: no other command asks anything over HTTP, and every command would pay for it.
    from orchestrator.cli.diagnosis import CODES, print_diagnosis  # noqa: PLC0415
    from orchestrator.ota.doctor.findings import verdict  # noqa: PLC0415
    from orchestrator.ota.doctor.report import document  # noqa: PLC0415
    from orchestrator.services.doctor import Scope  # noqa: PLC0415

    target, scope = Target.of(url, name, mount), Scope(file, everything, seconds)
    examination = _examine(Lockstep(), target, mount, fleet, scope)
    if as_json:
        found = document(examination.seen, examination.findings, examination.checked, examination.files)
        print_json({**found, "app": target.app})
    else:
        print_diagnosis(examination)
    raise typer.Exit(CODES[verdict(examination.findings)])


@app.command()
def client(
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="The top of the app's tree; it must exist.")],
    as_json: AsJson = False,
) -> None:
    """Write the web client's files into an app's tree: the library, the service worker and what it imports.

    Files of these names are replaced: they belong to Lockstep.

    Example:
      lockstep ota client dist/
    """
    if not directory.is_dir():
        raise UsageError("not a directory", expected="the top of the app's tree", found=show(str(directory)))
    written = client_files()
    for name, file in written.items():
        (directory / name).write_bytes(file.read_bytes())
    if as_json:
        print_json({"directory": str(directory), "files": list(written)})
        return
    results().print(f"written to {show(str(directory))}: {', '.join(written)}", highlight=False, markup=False)
    results().print("begin the entry document with them: docs/web-client.md", highlight=False, markup=False)


def _examine(lockstep: Lockstep, target: Target, mount: str | None, named: str | None, scope: Scope) -> Examination:
    from orchestrator.services.doctor import Doctor, examine_address  # noqa: PLC0415

    console = messages()

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    fleet = _fleet(lockstep, target, named)
    if fleet is None:
        return examine_address(target, scope, lockstep.clock, say)
    if mount is not None:
        raise UsageError("the ledger knows the mount path of a fleet's app", remedy="leave --mount away")
    examiner = Doctor(lockstep.ledger, lockstep.artifacts, lambda: lockstep.looks, lockstep.clock)
    return examiner.examine_fleet(fleet, target.base_url, target.app, scope, say)


def _fleet(lockstep: Lockstep, target: Target, named: str | None) -> Fleet | None:
    """The fleet of that name; else the one whose `url` this is; None where there is none, or no inventory."""
    if named is not None:
        return select_fleet(lockstep.inventory(), named)
    if not lockstep.settings.inventory.exists():
        return None
    behind = [fleet for fleet in lockstep.inventory().fleets if _is_at(fleet, target.base_url)]
    if len(behind) > 1:
        keys = ", ".join(fleet.key for fleet in behind)
        raise UsageError("more than one fleet has this `url`", expected="one of them, with --fleet", found=keys)
    return behind[0] if behind else None


def _is_at(fleet: Fleet, base_url: str) -> bool:
    return fleet.url is not None and _plain(str(fleet.url)) == _plain(base_url)


def _plain(url: str) -> str:
    """Without what says nothing: the slash at the end, and the scheme's own port."""
    plain = url.lower().rstrip("/")
    for scheme, port in (("http://", ":80"), ("https://", ":443")):
        if plain.startswith(scheme):
            plain = plain.removesuffix(port)
    return plain
