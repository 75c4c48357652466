"""Audits: begin one, see how it went and what it found."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from orchestrator.adapters.ledger.queries import MAX_NUMBER
from orchestrator.api.asking import Parts, Who
from orchestrator.api.problems import NotFoundError
from orchestrator.api.v1 import models
from orchestrator.api.v1.answers import (
    ANYWHERE,
    ETAG,
    LOCATION,
    NOT_MODIFIED,
    REPLAYED,
    etag_of,
    link,
    problems,
    unless_known,
)
from orchestrator.api.v1.bodies import BeginAudit
from orchestrator.api.v1.once import Answer, Asked
from orchestrator.api.v1.pages import Pages
from orchestrator.api.v1.parameters import EnvironmentName, FleetName, IfNoneMatch, OnlyFleet
from orchestrator.api.v1.targets import fleet_for, readable
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.access import Permission, Principal
from orchestrator.domain.audit.audit import Audit
from orchestrator.services.access import environment_of, require
from orchestrator.services.audits.report import report_of
from orchestrator.services.audits.views import audit_view, finding_view

router = APIRouter(tags=["audits"], responses=ANYWHERE)

Number = Annotated[int, Path(ge=1, le=MAX_NUMBER, description="The audit's number.", examples=[7])]
LINKS = {name: link(name, number="$response.body#/id") for name in ("show_audit", "list_audit_findings")}


@router.post(
    "/environments/{environment}/fleets/{fleet}/audits",
    summary="Hold a fleet against the ledger",
    status_code=202,
    response_model=models.Audit,
    responses={
        202: {"description": "It is under way: watch it.", "headers": LOCATION | ETAG | REPLAYED, "links": LINKS},
        **problems(404, 409),
    },
)
def create_audit(
    lockstep: Parts, who: Who, asked: Asked, environment: EnvironmentName, fleet: FleetName, wanted: BeginAudit
) -> Response:
    """409 names the deployment or the audit that holds the fleet."""
    # Without a policy it is the fleet's own, which may change frontends.
    chosen = fleet_for(lockstep, who, Permission.DEPLOY, environment, fleet)

    def act() -> Answer:
        begun = lockstep.auditing.begin(
            chosen, who.name, deep=wanted.deep, policy=wanted.policy, remove_extra=wanted.remove_extra
        )
        view = audit_view(begun)
        return Answer(202, view, {"Location": f"/api/v1/audits/{begun.id}", "ETag": etag_of(view)})

    return asked.answer(act)


@router.get("/audits", summary="Audits, newest first", response_model=models.Page[models.Audit])
def list_audits(lockstep: Parts, who: Who, pages: Pages, fleet: OnlyFleet = None) -> dict[str, Any]:
    """Of all environments that you may read, or of one fleet; also those that were due and never begun."""
    require(who, Permission.READ, None if fleet is None else environment_of(fleet))
    before = pages.number("audits")
    found = lockstep.audits.audits(fleet, pages.limit + 1, before=before, environments=readable(who))
    return pages.page("audits", found, audit_view, lambda each: (each.id,))


@router.get(
    "/audits/{number}",
    summary="One audit",
    response_model=models.Audit,
    responses={
        200: {"description": "The audit.", "headers": ETAG, "links": LINKS},
        **NOT_MODIFIED,
        **problems(404),
    },
)
def show_audit(lockstep: Parts, who: Who, number: Number, if_none_match: IfNoneMatch = None) -> Response:
    """Ask again with If-None-Match until it has an outcome. Only `consistent` says that nothing is wrong."""
    view = audit_view(_audit_for(lockstep, who, number))
    return unless_known(view, etag_of(view), if_none_match)


@router.get(
    "/audits/{number}/findings",
    summary="The findings that were open when an audit ended",
    response_model=models.Page[models.Finding],
    responses=problems(404),
)
def list_audit_findings(lockstep: Parts, who: Who, pages: Pages, number: Number) -> dict[str, Any]:
    """By frontend, the most serious first. While it goes on: those that are open now."""
    report = report_of(lockstep.audits, _audit_for(lockstep, who, number))
    return pages.cut("audit-findings", report.findings, finding_view, lambda each: (str(each.id),))


@router.get("/findings", summary="Findings, newest first", response_model=models.Page[models.Finding])
def list_findings(
    lockstep: Parts,
    who: Who,
    pages: Pages,
    fleet: OnlyFleet = None,
    closed: Annotated[bool, Query(description="Also those that are gone.")] = False,
) -> dict[str, Any]:
    """Those that are open, of all environments that you may read, or of one fleet."""
    require(who, Permission.READ, None if fleet is None else environment_of(fleet))
    found = lockstep.audits.findings(
        fleet, closed=closed, limit=pages.limit + 1, before=pages.number("findings"), environments=readable(who)
    )
    return pages.page("findings", found, finding_view, lambda each: (each.id,))


def _audit_for(lockstep: Lockstep, who: Principal, number: int) -> Audit:
    """The audit, for somebody who may read its environment."""
    require(who, Permission.READ)
    found = lockstep.audits.audit(number)
    if found is None:
        raise NotFoundError(f"there is no audit {number}")
    require(who, Permission.READ, environment_of(found.plan.fleet))
    return found
