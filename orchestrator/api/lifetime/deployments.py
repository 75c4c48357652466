"""LifeTime's API: deployment plans."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from orchestrator.api.asking import Parts
from orchestrator.api.lifetime.parts import Body, Plans, Running, Standings, text
from orchestrator.domain.errors import UsageError
from orchestrator.domain.lifetime import documents
from orchestrator.services.lifetime.planning import Request, Wanted

router = APIRouter(prefix="/deployments")

#: How far back plans are listed where nobody says.
LISTED = timedelta(days=7)
#: More than a fleet has apps, and few enough to be looked up one by one.
MOST_OPERATIONS = 1000


@router.get("")
def deployments(
    plans: Plans,
    lockstep: Parts,
    since: Annotated[str, Query(alias="MinDate")] = "",
    until: Annotated[str, Query(alias="MaxDate")] = "",
    target: Annotated[str, Query(alias="TargetEnvironmentKey")] = "",
) -> Response:
    """The plans of a time, newest first; 204 where there is none."""
    begin = lockstep.clock() - LISTED if not since else moment("MinDate", since, last=False)
    end = None if not until else moment("MaxDate", until, last=True)
    found = plans.listed(begin, end, target, lockstep.settings.lifetime_listed_seconds)
    return JSONResponse([documents.deployment(plan) for plan in found]) if found else Response(status_code=204)


@router.post("")
def create(plans: Plans, body: Body) -> Response:
    """Save a plan: 201 and its bare key."""
    return PlainTextResponse(plans.save(_request(body)).key, 201)


@router.get("/{deployment}")
def show(deployment: str, plans: Plans) -> Response:
    """One plan."""
    return JSONResponse(documents.deployment_details(plans.plan(deployment)))


@router.put("/{deployment}")
def change(deployment: str, plans: Plans, body: Body) -> Response:
    """Another content for a saved plan."""
    return JSONResponse(documents.deployment(plans.change(deployment, _request(body))))


@router.delete("/{deployment}")
def delete(deployment: str, plans: Plans) -> Response:
    """A saved plan is gone."""
    plans.delete(deployment)
    return Response(status_code=204)


@router.get("/{deployment}/status")
def status(deployment: str, standings: Standings) -> Response:
    """Where a plan stands."""
    return JSONResponse(documents.deployment_status(standings.standing(deployment)))


@router.post("/{deployment}/start")
def start(deployment: str, running: Running) -> Response:
    """Carry a saved plan out."""
    running.start(deployment)
    return Response(status_code=202)


@router.post("/{deployment}/continue")
def proceed(deployment: str, running: Running) -> Response:
    """Let a held one go on."""
    running.proceed(deployment)
    return Response(status_code=202)


@router.post("/{deployment}/abort")
def abort(deployment: str, running: Running) -> Response:
    """End one that is not committed."""
    running.abort(deployment)
    return Response(status_code=202)


def moment(name: str, given: str, *, last: bool) -> datetime:
    """A date or a time of a query, in UTC where it names no zone. `last`: a date means its end, not its beginning."""
    try:
        if len(given) <= len("2026-01-01"):
            day = date.fromisoformat(given)
            return datetime.combine(day + timedelta(days=1) if last else day, time(), UTC)
        at = datetime.fromisoformat(given)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{name} is not a date", expected="a date such as 2026-01-31", found=given[:40]) from error


def _request(body: dict[str, Any]) -> Request:
    operations = body.get("ApplicationOperations") or []
    if not isinstance(operations, list) or not all(isinstance(each, dict) for each in operations):
        raise UsageError("ApplicationOperations is not a list of objects")
    if len(operations) > MOST_OPERATIONS:
        raise UsageError("too many ApplicationOperations", expected=f"at most {MOST_OPERATIONS}")
    target = text(body, "TargetEnvironmentKey")
    if not target:
        raise UsageError("TargetEnvironmentKey is missing")
    names = ("ApplicationKey", "ApplicationVersionKey", "DeploymentZoneKey")
    wanted = [Wanted(*(text(each, name) for name in names)) for each in operations]
    return Request(target, text(body, "SourceEnvironmentKey"), text(body, "Notes"), wanted)
