"""Deployments: create, plan, roll back, watch, let go on, end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response

from inventory.model import Fleet
from orchestrator.api.asking import Parts, Who
from orchestrator.api.v1 import models
from orchestrator.api.v1.answers import (
    ANYWHERE,
    DEPLOYMENT_LINKS,
    ETAG,
    LOCATION,
    NOT_MODIFIED,
    REPLAYED,
    etag_of,
    only_if,
    problems,
    unless_known,
)
from orchestrator.api.v1.bodies import Deploy, Rollback
from orchestrator.api.v1.once import Answer, Asked
from orchestrator.api.v1.pages import Pages
from orchestrator.api.v1.parameters import (
    DryRun,
    EnvironmentName,
    FleetName,
    IfMatch,
    IfNoneMatch,
    Number,
    OnlyFleet,
)
from orchestrator.api.v1.targets import deployment_for, fleet_for, readable
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.access import Permission
from orchestrator.domain.deployment import Deployment, Plan
from orchestrator.services.access import environment_of, require, require_continue
from orchestrator.services.deployments import last_committed
from orchestrator.services.views import deployment_view, plan_view, report_view

router = APIRouter(tags=["deployments"], responses=ANYWHERE)

STARTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "It is under way: watch it.",
        "headers": LOCATION | ETAG | REPLAYED,
        "links": DEPLOYMENT_LINKS,
    },
    **problems(404, 409),
}
PLANNED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The plan, with `dry_run`. Nothing was changed.", "model": models.Plan, "headers": REPLAYED}
}


def started(deployment: Deployment) -> Answer:
    """A deployment that is under way, as an answer."""
    view = deployment_view(deployment)
    return Answer(202, view, {"Location": f"/api/v1/deployments/{deployment.id}", "ETag": etag_of(view)})


def _planned(lockstep: Lockstep, fleet: Fleet, plan: Callable[[], Plan]) -> Answer:
    return Answer(200, plan_view(plan(), last_committed(lockstep.ledger, fleet.key)))


@router.post(
    "/environments/{environment}/fleets/{fleet}/deployments",
    summary="Move a fleet to other releases, or plan it",
    status_code=202,
    response_model=models.Deployment,
    responses=STARTED | PLANNED,
)
def create_deployment(
    lockstep: Parts,
    who: Who,
    asked: Asked,
    environment: EnvironmentName,
    fleet: FleetName,
    wanted: Deploy,
    dry_run: DryRun = False,
) -> Response:
    """All of its frontends, or none. 409 names the deployment that holds the fleet, or what has to be confirmed."""
    chosen = fleet_for(lockstep, who, Permission.DEPLOY, environment, fleet)

    def act() -> Answer:
        schedule = wanted.schedule(lockstep.clock())
        deploying = lockstep.deploying
        if dry_run:
            return _planned(lockstep, chosen, lambda: deploying.plan(chosen, wanted.changes, schedule, who.name))
        return started(deploying.deploy(chosen, wanted.changes, schedule, who.name, wanted.consent))

    return asked.answer(act)


@router.post(
    "/environments/{environment}/fleets/{fleet}/rollback",
    summary="Move a fleet back, or plan it",
    status_code=202,
    response_model=models.Deployment,
    responses=STARTED | PLANNED,
)
def roll_back(
    lockstep: Parts,
    who: Who,
    asked: Asked,
    environment: EnvironmentName,
    fleet: FleetName,
    wanted: Rollback,
    dry_run: DryRun = False,
) -> Response:
    """Under a new epoch: to what it served before, or at epoch `to`."""
    chosen = fleet_for(lockstep, who, Permission.DEPLOY, environment, fleet)

    def act() -> Answer:
        schedule = wanted.schedule(lockstep.clock())
        deploying = lockstep.deploying
        if dry_run:
            return _planned(lockstep, chosen, lambda: deploying.plan_rollback(chosen, wanted.to, schedule, who.name))
        return started(deploying.rollback(chosen, wanted.to, schedule, who.name, wanted.consent))

    return asked.answer(act)


@router.get("/deployments", summary="Deployments, newest first", response_model=models.Page[models.Deployment])
def list_deployments(lockstep: Parts, who: Who, pages: Pages, fleet: OnlyFleet = None) -> dict[str, Any]:
    """Of all environments that you may read, or of one fleet."""
    require(who, Permission.READ, None if fleet is None else environment_of(fleet))
    before = pages.number("deployments")
    found = lockstep.ledger.history(fleet, pages.limit + 1, before=before, environments=readable(who))
    return pages.page("deployments", found, deployment_view, lambda each: (each.id,))


@router.get(
    "/deployments/{number}",
    summary="One deployment",
    response_model=models.Deployment,
    responses={
        200: {"description": "The deployment.", "headers": ETAG, "links": DEPLOYMENT_LINKS},
        **NOT_MODIFIED,
        **problems(404),
    },
)
def show_deployment(lockstep: Parts, who: Who, number: Number, if_none_match: IfNoneMatch = None) -> Response:
    """Ask again with If-None-Match until its state is done or aborted."""
    view = deployment_view(deployment_for(lockstep, who, Permission.READ, number))
    return unless_known(view, etag_of(view), if_none_match)


@router.get(
    "/deployments/{number}/reports",
    summary="What every frontend answered",
    response_model=models.Page[models.Report],
    responses=problems(404),
)
def list_reports(lockstep: Parts, who: Who, pages: Pages, number: Number) -> dict[str, Any]:
    """In the order in which it was recorded."""
    deployment_for(lockstep, who, Permission.READ, number)
    found = lockstep.ledger.reports(number, pages.number("reports") or 0)
    return pages.page("reports", found, lambda each: report_view(each[1]), lambda each: (each[0],))


@router.post(
    "/deployments/{number}/continue",
    summary="Let a held deployment go on, or carry an open one on",
    status_code=202,
    response_model=models.Deployment,
    responses=STARTED | problems(412),
)
def continue_deployment(lockstep: Parts, who: Who, asked: Asked, number: Number, if_match: IfMatch = None) -> Response:
    """409 where it is neither held nor open."""
    require_continue(who, deployment_for(lockstep, who, Permission.READ, number))

    def act() -> Answer:
        only_if(deployment_view(deployment_for(lockstep, who, Permission.READ, number)), if_match)
        return started(lockstep.deploying.proceed(number, who.name))

    return asked.answer(act)


@router.post(
    "/deployments/{number}/abort",
    summary="End a deployment that is not committed",
    status_code=202,
    response_model=models.Deployment,
    responses=STARTED | problems(412),
)
def abort_deployment(lockstep: Parts, who: Who, asked: Asked, number: Number, if_match: IfMatch = None) -> Response:
    """Its frontends stay on what they serve. 409 after the commit: then there is only a rollback."""
    deployment_for(lockstep, who, Permission.ABORT, number)

    def act() -> Answer:
        only_if(deployment_view(deployment_for(lockstep, who, Permission.ABORT, number)), if_match)
        return started(lockstep.deploying.abort(number, who.name))

    return asked.answer(act)
