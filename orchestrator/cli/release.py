"""`lockstep release`: build, list, show and compare releases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.filesize import decimal
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from orchestrator.adapters.sources import entries
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import actor, parse_changes
from orchestrator.cli.output import AsJson, messages, print_json, results
from orchestrator.cli.updates import update_lines
from orchestrator.domain.difference import Difference
from orchestrator.domain.paths import show as shown
from orchestrator.services.releases import Built, ReleaseName, Releasing, Watch
from orchestrator.services.views import built_view, comparison_view, file_view, release_view, release_with_files

app = typer.Typer(name="release", no_args_is_help=True, help="Immutable versions of apps: build, list, show, compare.")

Release = Annotated[str, typer.Argument(metavar="APP=VERSION", help="A release.")]


@app.command()
def build(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A directory, .tar, .tar.gz, .tgz or .zip.")],
    app_name: Annotated[str, typer.Option("--app", metavar="NAME", help="The app.")],
    version: Annotated[str, typer.Option("--version", metavar="V", help="The version that this will be.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check all; store nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a release of a directory or an archive. The same content again is no change.

    Examples:
      lockstep release build dist/ --app ToDo --version 2.0.0

      lockstep release build todo.tar.gz --app ToDo --version 2.0.0 --dry-run --json
    """
    name = ReleaseName(app_name, version)
    found = entries(source)
    with _progress() as watch:
        releasing = _releasing()
        built = releasing.preview(found, name, watch) if dry_run else releasing.build(found, name, watch, actor=actor())
    if as_json:
        print_json(built_view(built, dry_run=dry_run))
    else:
        typer.echo("\n".join(_built_lines(built, dry_run)))


@app.command("list")
def list_releases(
    app_name: Annotated[str | None, typer.Option("--app", metavar="NAME", help="Only this app's.")] = None,
    as_json: AsJson = False,
) -> None:
    """All releases, newest first.

    Example:
      lockstep release list --app ToDo
    """
    records = Lockstep().ledger.releases(app_name)
    if as_json:
        print_json({"releases": [release_view(record) for record in records]})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("app", "version", "files", "size", "built (UTC)", "digest"):
        table.add_column(column, justify="right" if column in ("files", "size") else "left")
    for r in records:
        when = f"{r.created_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(r.app, r.version, str(r.files), decimal(r.size), when, r.digest[:12])
    results().print(table)


@app.command()
def show(
    app_name: Annotated[str, typer.Argument(metavar="APP", help="The app.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version.")],
    as_json: AsJson = False,
) -> None:
    """One release and its files.

    Example:
      lockstep release show ToDo 2.0.0 --json
    """
    record, manifest = _releasing().show(ReleaseName(app_name, version))
    if as_json:
        print_json(release_with_files(record, manifest))
        return
    when = f"{record.created_at:%Y-%m-%d %H:%M:%S} UTC"
    head = f"{record.app} {record.version}: {_amount(record.files, record.size)}, built {when}\ndigest {record.digest}"
    typer.echo("\n".join([head, *(f"{decimal(f.size):>10}  {f.sha256[:12]}  {shown(f.path)}" for f in manifest)]))


@app.command()
def diff(before: Release, after: Release, as_json: AsJson = False) -> None:
    """What changes from one release to another: the files added, removed and changed, with their sizes.

    Example:
      lockstep release diff ToDo=1.0.0 ToDo=2.0.0
    """
    found = _releasing().diff(_named(before), _named(after))
    if as_json:
        print_json(_difference_view(found))
    else:
        typer.echo("\n".join(_difference_lines(found)))


@app.command()
def compare(old: Release, new: Release, as_json: AsJson = False) -> None:
    """What kind of update it is to go from one release to another, and why; and whether it needs a new build.

    Examples:
      lockstep release compare ToDo=1.0.0 ToDo=2.0.0

      lockstep release compare ToDo=1.0.0 ToDo=2.0.0 --json
    """
    before, after = _named(old), _named(new)
    found = _releasing().compare(before, after)
    document = comparison_view(before, after, found)
    if as_json:
        print_json(document)
        return
    typer.echo("\n".join([f"{before} → {after}", *(f"  {line}" for line in update_lines(document))]))


def _releasing() -> Releasing:
    return Lockstep().releasing


def _named(text: str) -> ReleaseName:
    ((app_name, version),) = parse_changes([text]).items()
    return ReleaseName(app_name, version)


@contextmanager
def _progress() -> Iterator[Watch | None]:
    """What has been read so far, on a terminal; nothing in a pipe."""
    console = messages()
    if not console.is_terminal:
        yield None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("reading")
        yield lambda files, size: progress.update(task, description=f"reading: {_amount(files, size)}")


def _amount(files: int, size: int) -> str:
    return f"{files} file{'' if files == 1 else 's'}, {decimal(size)}"


def _built_lines(built: Built, dry_run: bool) -> Sequence[str]:
    record = built.record
    if dry_run:
        verb = "would be built" if built.new else "is already there"
    else:
        verb = "built" if built.new else "already there"
    stored = "would be stored" if dry_run else "stored"
    return (
        f"{record.app} {record.version} {verb}: {_amount(record.files, record.size)}",
        f"digest {record.digest}",
        f"{stored}: {built.objects} new object{'' if built.objects == 1 else 's'}, {decimal(built.size)}",
    )


def _difference_view(found: Difference) -> Mapping[str, Any]:
    return {
        "added": [file_view(f) for f in found.added],
        "removed": [file_view(f) for f in found.removed],
        "changed": [
            {"path": c.after.path, "before": file_view(c.before), "after": file_view(c.after)} for c in found.changed
        ],
    }


def _difference_lines(found: Difference) -> Sequence[str]:
    return (
        *(f"+ {shown(f.path)}  {decimal(f.size)}" for f in found.added),
        *(f"- {shown(f.path)}  {decimal(f.size)}" for f in found.removed),
        *(f"~ {shown(c.after.path)}  {decimal(c.before.size)} -> {decimal(c.after.size)}" for c in found.changed),
        f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed",
    )
