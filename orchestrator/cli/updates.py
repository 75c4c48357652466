"""What updates mean for clients, in words; and the options with which an operator confirms what they take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from inventory.names import APP
from orchestrator.domain.build import ID
from orchestrator.domain.errors import UsageError
from orchestrator.domain.paths import show
from orchestrator.domain.update import Consent

NewBuild = Annotated[
    list[str] | None,
    typer.Option("--new-build", metavar="[APP=]ID", help="A build made of the new release; it is recorded."),
]
AcceptOutdated = Annotated[
    bool, typer.Option("--accept-outdated-builds", help="Go on although installed apps need a new build.")
]
AcceptIncompatible = Annotated[
    bool,
    typer.Option("--accept-incompatible-builds", help="Go on although installed store-only apps won't be understood."),
]

#: What is said of each kind.
KINDS = {
    "first": "the first release here",
    "none": "the same content: nothing to update",
    "seamless": "over the air, seamless: applied at the next navigation",
    "attention": "over the air, attention required: running clients must reload before they can call the server",
}


def consent(new_builds: Sequence[str] | None, outdated: bool, incompatible: bool) -> Consent:
    """What the options say. `UsageError` for what is no build's id."""
    named: dict[str, str] = {}
    for word in new_builds or ():
        app, equals, name = word.rpartition("=")
        if ID.fullmatch(name) is None or (equals and APP.fullmatch(app) is None):
            raise UsageError("not a build", expected="--new-build ID, or --new-build APP=ID", found=show(word))
        if named.setdefault(app, name) != name:
            raise UsageError("two new builds of one app", expected="each app once", found=f"{named[app]} and {name}")
    return Consent(named, outdated, incompatible)


def update_lines(update: Mapping[str, Any]) -> Iterator[str]:
    """An update's document, `Update.document`, as lines of text."""
    yield KINDS[update["kind"]]
    yield from (f"  {_reason(reason)}" for reason in update.get("over_the_air", ()))
    if update.get("needs_build"):
        yield "needs a new build of the installed app:"
        yield from (f"  {_reason(reason)}" for reason in update["new_build"])
    if update.get("distribution") == "store-only":
        yield "store-only: installed apps are not offered it over the air, browsers are"
    yield from _hurt("may hurt build", update.get("outdated", ()))
    yield from _hurt("will not understand build", update.get("incompatible", ()))
    if update.get("breaks"):
        yield "will not understand installed apps; no build is recorded, these are of the present release:"
        yield from (f"  {_reason(reason)}" for reason in update["breaks"])
    for confirm in update.get("confirm", ()):
        yield CONFIRM[confirm]


CONFIRM = {
    "new-build": "to confirm: --new-build ID, or --accept-outdated-builds",
    "incompatible-builds": "to confirm: --accept-incompatible-builds",
}


def _hurt(what: str, hurts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for hurt in hurts:
        platform = f"{hurt['platform']}, " if hurt["platform"] else ""
        yield f"{what} {hurt['build']} ({platform}made from {hurt['version']}):"
        yield from (f"  {_reason(reason)}" for reason in hurt["reasons"])


def _reason(reason: Mapping[str, str]) -> str:
    return f"{reason['rule']}{' ' if reason['of'] else ''}{show(reason['of'])}: {reason['how']}"
