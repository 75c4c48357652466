"""The use cases of adoption: look at what another tool put on a fleet's frontends, and make a release of it.

Nothing is changed on any frontend. docs/adopt.md says how a fleet goes on from there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from inventory.model import Fleet, Frontend
from orchestrator.domain.adoption.comparison import Comparison, compare
from orchestrator.domain.adoption.errand import Errand, Silence, Taken, Taking, how_reached
from orchestrator.domain.adoption.site import Site, Where
from orchestrator.domain.errors import (
    ConflictError,
    LockstepError,
    Problem,
    RefusedError,
    ReleaseError,
    UnansweredError,
    UsageError,
)
from orchestrator.domain.paths import show
from orchestrator.ports import Adoptions
from orchestrator.services.releases import ReleaseName, Releasing

#: Told again and again how many frontends have answered.
Heard = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Survey:
    """What was seen: the site of each frontend, and why there is none of the others. All in the inventory's order."""

    where: Where
    sites: Mapping[str, Site]
    unseen: Mapping[str, Problem]
    comparison: Comparison

    @property
    def equal(self) -> bool:
        """Whether every frontend was seen, holds the same as all others, and holds nothing that no release can."""
        return not self.unseen and self.comparison.equal and not any(site.odd for site in self.sites.values())


class Adopting:
    """`adoptions` gives the way to workers; it raises `LockstepError` where there is none."""

    def __init__(self, releasing: Releasing, adoptions: Callable[[], Adoptions]) -> None:
        self._releasing = releasing
        self._adoptions = adoptions

    def look(self, fleet: Fleet, where: Where, seconds: float, heard: Heard, against: ReleaseName | None) -> Survey:
        """Have workers look at every frontend of the fleet; and hold a release `against` them, as one more of them.

        Raises `UsageError` where there is no such release. What can't be seen of a frontend is in the answer.
        """
        known = {} if against is None else {str(against): Site.of(self._releasing.show(against)[1])}
        nonce = secrets.token_hex(16)
        errands = [_errand(fleet, frontend, where, seconds, nonce) for frontend in fleet.frontends]
        brought = self._adoptions().send(errands, seconds, heard)
        sites = {name: found for name, found in brought.items() if isinstance(found, Site)}
        unseen = {name: _problem(found) for name, found in brought.items() if not isinstance(found, Site)}
        return Survey(where, sites, unseen, compare({**sites, **known}))

    def take(self, fleet: Fleet, survey: Survey, frontend: str, name: ReleaseName, by: str, seconds: float) -> Taken:
        """Make the release `name` of what `survey` saw on one frontend, if it is still the same.

        Raises:
            UsageError: The fleet has no such frontend or app.
            ReleaseError: The frontend holds what no release can; `check_alike` says whether the others hold the same.
            RefusedError: The frontend or the worker said no, such as where the site has changed. Nothing was stored.
            UnansweredError: Nobody answered in time: the release may come to be.
        """
        chosen = _frontend(fleet, frontend)
        site = survey.sites.get(frontend)
        if site is None:
            raise _as_error(survey.unseen[frontend])
        _check_takeable(frontend, site)
        taking = Taking(app=name.app, version=name.version, digest=site.digest, actor=by)
        errand = _errand(fleet, chosen, survey.where, seconds, secrets.token_hex(16), taking)
        brought = self._adoptions().send([errand], seconds, lambda _: None)[frontend]
        if isinstance(brought, Taken):
            return brought
        raise _as_error(_problem(brought))


def check_app(fleet: Fleet, app: str) -> None:
    """`UsageError` where the fleet has no such app."""
    known = [each.name for each in fleet.apps]
    if app not in known:
        raise UsageError(f"{fleet.key} has no app of that name", expected=", ".join(known), found=app[:80])


def check_alike(survey: Survey) -> None:
    """`ConflictError` where clients would get other bytes from a frontend after the adoption than before it."""
    if survey.equal:
        return
    comparison = survey.comparison
    groups = "; ".join(", ".join(group.frontends) for group in comparison.groups)
    found = [] if comparison.equal else [f"{comparison.count} files differ between {groups}"]
    found += [f"{name} could not be asked" for name in survey.unseen]
    found += [f"{name} has what no release can hold" for name, site in survey.sites.items() if site.odd]
    raise ConflictError(
        "the frontends do not all hold the same",
        expected="one digest everywhere, and nothing that is left to be seen",
        found=", ".join(found),
        remedy="bring them to the same the old way, or take one all the same: --accept-different",
    )


def _check_takeable(frontend: str, site: Site) -> None:
    if site.odd:
        path, why = next(iter(sorted(site.odd.items())))
        raise ReleaseError(
            f"{len(site.odd)} of the site's entries can't be part of a release",
            where=frontend,
            found=f"{path}: {why}",
            remedy="leave them out with --exclude, follow links with --follow DIRECTORY, or change them",
        )
    if not site.files:
        raise ReleaseError("the site has no files", where=f"{frontend} {show(site.top)}")


def _frontend(fleet: Fleet, name: str) -> Frontend:
    frontend = fleet.frontend(name)
    if frontend is None:
        known = ", ".join(each.name for each in fleet.frontends)
        raise UsageError(f"{fleet.key} has no frontend {name}", expected=known, found=name)
    return frontend


def _errand(
    fleet: Fleet, frontend: Frontend, where: Where, seconds: float, nonce: str, taking: Taking | None = None
) -> Errand:
    return Errand(
        nonce=nonce,
        fleet=fleet.key,
        frontend=frontend.name,
        reached=how_reached(frontend),
        where=where,
        seconds=seconds,
        taking=taking,
    )


def _problem(brought: Site | Taken | Problem) -> Problem:
    """Why a worker did not bring what it was sent for."""
    return brought if isinstance(brought, Problem) else Silence("the worker did something else than it was sent for")


def _as_error(problem: Problem) -> LockstepError:
    """Of what a worker says, nothing was stored; of what nobody says, nobody knows."""
    kind = UnansweredError if isinstance(problem, Silence) else RefusedError
    return kind(
        problem.what,
        where=problem.where,
        expected=problem.expected,
        found=problem.found,
        remedy=problem.remedy,
    )
