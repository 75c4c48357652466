"""The task that looks at a site of another tool, or makes a release of it. It changes nothing on the frontend."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any

import structlog

from inventory.model import Frontend
from orchestrator.adapters.inventory import select_fleet
from orchestrator.domain.adoption.errand import Errand, Taken, Taking, how_reached
from orchestrator.domain.adoption.site import Site
from orchestrator.domain.errors import LockstepError, Problem, RefusedError, UsageError
from orchestrator.services.releases import ReleaseName
from workers.bootstrap import Workshop
from workers.frontend.adopting import fetch, survey
from workers.frontend.steps import problem_of
from workers.frontend.transport import CONNECT_SECONDS, Session, connect

log = structlog.get_logger()


def adopt(workshop: Workshop, words: Sequence[Any]) -> None:
    """Look or take, and answer whoever asked. A message that is no errand is answered by nobody."""
    try:
        errand = Errand.read(words)
    except UsageError as error:
        log.warning("a message that is no errand", **error.problem.as_dict())
        return
    with structlog.contextvars.bound_contextvars(fleet=errand.fleet, frontend=errand.frontend):
        brought: Site | Taken | Problem
        try:
            brought = _bring(workshop, errand)
        except Exception as error:  # a fault of ours must not leave somebody waiting
            if not isinstance(error, LockstepError):
                log.exception("the adoption failed")
            brought = Problem(**problem_of(error, errand.frontend))
        try:
            workshop.lockstep.adoptions.put(errand, brought)
        except LockstepError as error:
            log.warning("what was adopted could not be told", **error.problem.as_dict())


def _bring(workshop: Workshop, errand: Errand) -> Site | Taken:
    frontend = _frontend(workshop, errand)
    end = time.monotonic() + errand.seconds
    with contextlib.closing(connect(frontend, min(errand.seconds, CONNECT_SECONDS))) as session:
        site = survey(session, errand.where, end - time.monotonic())
        if errand.taking is None:
            return site
        return _take(workshop, session, site, errand.taking, end - time.monotonic())


def _frontend(workshop: Workshop, errand: Errand) -> Frontend:
    """Of the worker's own inventory, where that says the same as the sender's."""
    frontend = select_fleet(workshop.lockstep.inventory(), errand.fleet).frontend(errand.frontend)
    if frontend is None or how_reached(frontend) != errand.reached:
        raise UsageError(
            "the worker's inventory says something else of this frontend",
            where=str(workshop.lockstep.settings.inventory),
            expected=f"{errand.fleet} {errand.frontend} as in the inventory of whoever asks",
            found="no such frontend" if frontend is None else "another address, account, host key, root or URL",
            remedy="give the workers the same inventory (LOCKSTEP_INVENTORY)",
        )
    return frontend


def _take(workshop: Workshop, session: Session, site: Site, taking: Taking, seconds: float) -> Taken:
    if site.digest != taking.digest:
        raise RefusedError(
            "the site changed since it was looked at",
            expected=f"files of digest {taking.digest}",
            found=f"files of digest {site.digest}",
            remedy="see that nobody deploys the old way meanwhile, then look again",
        )
    with contextlib.closing(fetch(session, site, seconds)) as entries:
        name = ReleaseName(taking.app, taking.version)
        built = workshop.lockstep.releasing.build(entries, name, actor=taking.actor)
    log.info("taken", app=taking.app, version=taking.version, digest=built.record.digest)
    return Taken(built.record.digest, built.new, built.objects, built.size)
