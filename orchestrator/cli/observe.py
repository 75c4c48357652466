"""``lockstep observe``: watch an app as many clients at once, and say whether any of them saw what none may see."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.cli.output import AsJson, messages, print_json, results
from orchestrator.domain.errors import UsageError
from orchestrator.ota.behaviour import Behaviour
from orchestrator.ota.tally import Count, Tally, Version
from orchestrator.ota.target import Target
from orchestrator.ota.upgrades import Ending

#: The exit code where anything was found, or nothing was looked at.
FOUND = 1

#: Seconds between two reports of progress: a line that is redrawn on a terminal, a new line elsewhere.
_REDRAW = 0.25
_LINE = 1.0

#: How many versions are listed as text.
_ROWS = 20


def observe(
    url: Annotated[str, typer.Argument(help="Where clients reach the fleet: scheme, address and port.")],
    *,
    app: Annotated[str, typer.Option("--app", help="The app's name.")],
    mount: Annotated[str | None, typer.Option("--mount", help="Its mount path.", show_default="/<app>/")] = None,
    behave_as: Annotated[
        list[str] | None,
        typer.Option(
            "--as",
            metavar="lockstep|stock",
            help="How clients behave; can be repeated, or comma separated: they are shared out.",
            show_default="lockstep",
        ),
    ] = None,
    clients: Annotated[int, typer.Option("--clients", min=1, max=1_000, help="Clients at once.")] = 8,
    duration: Annotated[
        float, typer.Option("--duration", min=0.1, max=31_536_000, help="Seconds after which it ends.")
    ] = 10.0,
    until_stopped: Annotated[
        bool, typer.Option("--until-stopped", help="Go on until SIGINT or SIGTERM, whatever the duration.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Watch an app as many clients at once, and count what no client may ever see.

    Exit codes: 0 every answer was right, and there were some; 1 something was found, or nothing could be checked;
    2 usage.

    Examples:
      lockstep observe https://apps.example.org --app ToDo

      lockstep observe http://10.0.0.10:8080 --app ToDo --clients 16 --as lockstep,stock --until-stopped --json
    """
    target = Target.of(url, app, mount)
    behaviours = parse_behaviours(behave_as or [Behaviour.LOCKSTEP], clients)
    _allow_connections()
    with _progress(messages()) as (on_progress, seconds):
        end = None if until_stopped else duration
        tally = asyncio.run(_watch(target, clients, behaviours, end, on_progress, seconds))
    if as_json:
        about = {"url": target.base_url, "app": target.app, "mount": target.mount, "clients": clients}
        print_json({**about, **tally.document()})
    else:
        _print(tally)
    raise typer.Exit(0 if tally.good else FOUND)


def parse_behaviours(texts: Sequence[str], clients: int) -> tuple[Behaviour, ...]:
    """What `--as` says, each behaviour once. `UsageError` where one is unknown, or would be left without a client."""
    names = [name.strip() for text in texts for name in text.split(",")]
    expected = ", ".join(Behaviour)
    if unknown := [name for name in names if name not in set(Behaviour)]:
        raise UsageError("no such behaviour", expected=expected, found=unknown[0])
    behaviours = tuple(dict.fromkeys(Behaviour(name) for name in names))
    if clients < len(behaviours):
        raise UsageError(
            "fewer clients than behaviours", expected=f"--clients {len(behaviours)} or more", found=str(clients)
        )
    return behaviours


def _allow_connections() -> None:
    """A thousand clients that upgrade at once hold five thousand connections: as many as the system lets us have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _watch(
    target: Target,
    clients: int,
    behaviours: Sequence[Behaviour],
    duration: float | None,
    on_progress: Callable[[Tally], None],
    seconds: float,
) -> Tally:
    """Observe; the first SIGINT or SIGTERM ends it, and the result is printed all the same."""
    # Imported where it is needed: no other command asks anything over HTTP, and every command would pay for it.
    from orchestrator.ota.observer import observe as watch  # noqa: PLC0415

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return await watch(
        target,
        clients=clients,
        behaviours=behaviours,
        duration=duration,
        stop=stop,
        on_progress=on_progress,
        progress_seconds=seconds,
    )


@contextmanager
def _progress(console: Console) -> Iterator[tuple[Callable[[Tally], None], float]]:
    """How progress is shown, and every how many seconds."""
    if not console.is_terminal:
        yield lambda tally: console.print(_line(tally)), _LINE
        return
    with Live(Text(), console=console, auto_refresh=False, transient=True) as live:
        yield lambda tally: live.update(_line(tally), refresh=True), _REDRAW


def _line(tally: Tally) -> Text:
    """Progress in one line."""
    rate = tally.checks / tally.seconds if tally.seconds else 0.0
    line = Text(f"{tally.seconds:6.1f} s  {tally.checks} checks  {rate:.0f}/s")
    for count in Count:
        number = tally.of(count)
        line.append(f"  {count} ").append(str(number), style="bold red" if number else "green")
    line.append(f"  upgrades {tally.upgrades.of(Ending.COMPLETED)}")
    epoch = tally.newest_epoch
    return line.append(f"  epoch {'none yet' if epoch is None else epoch}")


def _print(tally: Tally) -> None:
    """The result as text: the counts, the versions that were seen, and what was found."""
    console = results()
    console.print(_line(tally))
    if tally.unjudged or tally.resent:
        console.print(f"{tally.unjudged} answers could not be judged, {tally.resent} requests were sent again")
    for behaviour, counts in tally.upgrades.behaviours().items():
        endings = ", ".join(f"{counts[ending]} {ending}" for ending in Ending)
        console.print(f"{counts['clients']} {behaviour} clients: upgrades {endings}")
    if tally.versions:
        console.print(_versions(tally))
    for finding in tally.samples:
        shown = finding.document()
        console.print(Text(f"{shown['at']} s  {shown['count']}: {shown['kind']}", style="bold red"))
        for label in ("url", "expected", "found", "epoch"):
            if shown[label] is not None:
                console.print(Text(f"  {label}: {shown[label]}"))
    if not tally.checks:
        console.print(Text("nothing could be checked", style="bold red"))


def _versions(tally: Tally) -> Table:
    table = Table("version token", "epochs", "first seen", "last seen", "version checks")
    versions = sorted(tally.versions.values(), key=lambda version: version.first)
    for version in versions[-_ROWS:]:
        row = (version.token, _epochs(version), f"{version.first:.3f} s", f"{version.last:.3f} s", str(version.count))
        table.add_row(*row)
    if len(versions) > _ROWS:
        table.caption = f"and {len(versions) - _ROWS} earlier ones"
    return table


def _epochs(version: Version) -> str:
    epochs = [str(epoch) for epoch in sorted(version.epochs)]
    if len(epochs) > 5:
        epochs = [*epochs[:2], f"{len(epochs) - 3} more", epochs[-1]]
    return ", ".join(epochs) or "not named"
