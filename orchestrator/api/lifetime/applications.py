"""LifeTime's API: applications, and their versions, which are Lockstep's releases."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response

from orchestrator.api.lifetime.parts import There, WithStatus

router = APIRouter(prefix="/applications")


@router.get("")
def applications(there: There, with_status: WithStatus) -> Response:
    """Every application; 204 where there is none."""
    found = there.application_documents(with_status=with_status)
    return JSONResponse(found) if found else Response(status_code=204)


@router.get("/{application}")
def application(application: str, there: There, with_status: WithStatus) -> Response:
    """One application."""
    return JSONResponse(there.application_document(there.application(application), with_status=with_status))


@router.get("/{application}/versions")
def versions(
    application: str,
    there: There,
    most: Annotated[int, Query(alias="MaximumVersionsToReturn")] = 5,
    change_log: Annotated[str, Query(alias="ChangeLogFilter")] = "",
) -> Response:
    """Its newest versions, newest first."""
    return JSONResponse(there.version_documents(there.application(application), most, change_log))


@router.get("/{application}/versions/{version}")
def version(application: str, version: str, there: There) -> Response:
    """One version."""
    app = there.application(application)
    return JSONResponse(there.version_document(there.version(app, version)))
