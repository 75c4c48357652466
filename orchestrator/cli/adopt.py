"""lockstep adopt: a fleet that another tool deployed comes under Lockstep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.filesize import decimal
from rich.table import Table

from inventory.model import Fleet
from orchestrator.bootstrap import Lockstep
from orchestrator.cli.deployments import FleetName, actor, choose, deploying, finish
from orchestrator.cli.output import AsJson, Exit, messages, print_json, results
from orchestrator.domain.adoption.comparison import Difference
from orchestrator.domain.adoption.errand import LONGEST_SECONDS, Taken
from orchestrator.domain.adoption.site import EXCLUDES, Site, Where
from orchestrator.domain.errors import UsageError
from orchestrator.domain.paths import show
from orchestrator.services.adoption import Survey, check_alike, check_app
from orchestrator.services.deployments import Schedule
from orchestrator.services.releases import ReleaseName, check_name

#: How many odd entries and links of a frontend are told one by one.
MOST_LINES = 20
MISSING = "nothing"


def adopt(
    fleet: FleetName,
    app: Annotated[str, typer.Option("--app", metavar="APP", help="The app that this is.")],
    path: Annotated[
        str, typer.Option("--from", metavar="PATH", help="What the web server serves the app from, on each frontend.")
    ],
    take: Annotated[
        str | None, typer.Option("--take", metavar="FRONTEND", help="Make a release of what this frontend holds.")
    ] = None,
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="V", help="That release's version; without --take, held against them all."),
    ] = None,
    deploy: Annotated[bool, typer.Option("--deploy", help="Then deploy it: the first deployment.")] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help=f"Leave out as well: a name, or /path. Always: {', '.join(EXCLUDES)}"),
    ] = None,
    follow: Annotated[
        list[str] | None, typer.Option(metavar="DIRECTORY", help="Follow links into this directory, too.")
    ] = None,
    accept_different: Annotated[
        bool, typer.Option("--accept-different", help="Take it although other frontends hold something else.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=1, max=LONGEST_SECONDS, help="How long workers may take.")] = 900,
    as_json: AsJson = False,
) -> None:
    """Show what each frontend holds of an app that another tool deployed, and make a release of it.

    Frontends are only read. Exit code 0: all hold the same; 1: they do not; 3: not everybody could be asked.

    Examples:
      lockstep adopt web --app ToDo --from /var/www/todo/current

      lockstep adopt web --app ToDo --from /var/www/todo/current --take fe1 --version 1.0.0 --deploy
    """
    lockstep = Lockstep()
    chosen, where = choose(lockstep, fleet), _where(path, exclude, follow)
    check_app(chosen, app)
    _check_words(chosen, take, version, deploy)
    if version is not None:
        check_name(ReleaseName(app, version))
    against = ReleaseName(app, version) if version is not None and take is None else None
    survey = lockstep.adopting.look(chosen, where, seconds, _heard(len(chosen.frontends)), against)
    if take is None or version is None:
        _show(chosen, survey, None, as_json)
        raise typer.Exit(_code(survey))
    if not as_json:
        _print_survey(survey)
    if not accept_different:
        check_alike(survey)
    name = ReleaseName(app, version)
    taken = lockstep.adopting.take(chosen, survey, take, name, actor(), seconds)
    if not deploy:
        _show_taken(chosen, survey, name, taken, as_json)
        return
    started = deploying(lockstep).deploy(chosen, {app: version}, Schedule(), actor())
    finish(lockstep, started, detach=False, as_json=as_json)


def _where(path: str, exclude: Sequence[str] | None, follow: Sequence[str] | None) -> Where:
    try:
        return Where(
            # A slash at the end is what shells complete.
            path=path.rstrip("/"),
            excludes=(*EXCLUDES, *(exclude or ())),
            follow=tuple(each.rstrip("/") for each in follow or ()),
        )
    except ValidationError as error:
        first = error.errors()[0]
        option = {"path": "--from", "excludes": "--exclude", "follow": "--follow"}[str(first["loc"][0])]
        wanted = first["msg"].removeprefix("Value error, expected ")
        raise UsageError(f"not a value of {option}", expected=wanted, found=show(str(first["input"]))) from error


def _check_words(fleet: Fleet, take: str | None, version: str | None, deploy: bool) -> None:
    if take is None and deploy:
        raise UsageError("nothing to deploy", expected="--take FRONTEND --version V as well")
    if take is not None and version is None:
        raise UsageError("a release needs a version", expected="--version V as well")
    if take is not None and fleet.frontend(take) is None:
        known = ", ".join(each.name for each in fleet.frontends)
        raise UsageError(f"{fleet.key} has no frontend {show(take)}", expected=known, found=show(take))


def _heard(frontends: int) -> Callable[[int], None]:
    def tell(count: int) -> None:
        messages().print(f"{count} of {frontends} frontends answered", highlight=False)

    return tell


def _code(survey: Survey) -> Exit:
    if survey.unseen:
        return Exit.OPEN
    return Exit.DONE if survey.equal else Exit.ABORTED


def _show(fleet: Fleet, survey: Survey, taken: Mapping[str, Any] | None, as_json: bool) -> None:
    if as_json:
        print_json(_document(fleet, survey, taken))
    else:
        _print_survey(survey)


def _show_taken(fleet: Fleet, survey: Survey, name: ReleaseName, taken: Taken, as_json: bool) -> None:
    if as_json:
        document = {"app": name.app, "version": name.version, "digest": taken.digest, "new": taken.new}
        print_json(_document(fleet, survey, {**document, "objects": taken.objects, "size": taken.size}))
        return
    verb = "built" if taken.new else "already there"
    lines = [
        f"{name} {verb}: digest {taken.digest}",
        f"stored: {taken.objects} new objects, {decimal(taken.size)}",
        "next (docs/adopt.md):",
        f"  lockstep frontend recipe nginx {fleet.key} FRONTEND   beside the old site, at the frontend's own url",
        f"  lockstep deploy {fleet.key} {name.app}={name.version}",
        f"  lockstep adopt {fleet.key} --app {name.app} --from {survey.where.path} --version {name.version}"
        "   before clients are switched",
    ]
    for line in lines:
        results().print(line, highlight=False, markup=False)


# ── the survey ──


def _document(fleet: Fleet, survey: Survey, taken: Mapping[str, Any] | None) -> Mapping[str, Any]:
    comparison = survey.comparison
    return {
        "fleet": fleet.key,
        "from": survey.where.path,
        "excludes": list(survey.where.excludes),
        "equal": survey.equal,
        "frontends": {name: _site_view(site) for name, site in survey.sites.items()},
        "unseen": {name: problem.as_dict() for name, problem in survey.unseen.items()},
        "groups": [{"digest": group.digest, "frontends": list(group.frontends)} for group in comparison.groups],
        "differences": [
            {"path": each.path, "held": [{"sha256": sha or None, "by": list(by)} for sha, by in each.held.items()]}
            for each in comparison.differences
        ],
        "different": comparison.count,
        "taken": taken,
    }


def _site_view(site: Site) -> Mapping[str, Any]:
    return {
        "directory": site.top,
        "files": len(site.files),
        "size": site.size,
        "digest": site.digest,
        "followed": dict(site.followed),
        "odd": dict(site.odd),
    }


def _print_survey(survey: Survey) -> None:
    console = results()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("frontend", "files", "size", "digest", "directory"):
        table.add_column(column, justify="right" if column in ("files", "size") else "left")
    for name, site in survey.sites.items():
        table.add_row(name, str(len(site.files)), decimal(site.size), site.digest[:16], show(site.top))
    console.print(table)
    for line in _survey_lines(survey):
        console.print(line, highlight=False, markup=False)


def _survey_lines(survey: Survey) -> Iterator[str]:
    yield f"left out: {', '.join(survey.where.excludes)}"
    for name, problem in survey.unseen.items():
        yield f"{name} could not be asked: {problem}"
    for name, site in survey.sites.items():
        yield from _entry_lines(name, "followed", site.followed)
        yield from _entry_lines(name, "can't be part of a release", site.odd)
    comparison = survey.comparison
    for difference in comparison.differences:
        yield f"differs: {show(difference.path)}: {_holders(difference)}"
    if comparison.count > len(comparison.differences):
        yield f"and {comparison.count - len(comparison.differences)} more files differ"
    for group in comparison.groups:
        yield f"{', '.join(group.frontends)}: digest {group.digest}"
    if survey.equal:
        yield "all hold the same"


def _holders(difference: Difference) -> str:
    return "; ".join(f"{sha[:16] or MISSING} on {', '.join(by)}" for sha, by in difference.held.items())


def _entry_lines(name: str, what: str, entries: Mapping[str, str]) -> Iterator[str]:
    for path, why in sorted(entries.items())[:MOST_LINES]:
        yield f"{name}: {what}: {path}: {why}"
    if len(entries) > MOST_LINES:
        yield f"{name}: {what}: and {len(entries) - MOST_LINES} more"
