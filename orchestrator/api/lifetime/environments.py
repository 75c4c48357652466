"""LifeTime's API: environments, their deployment zones, and the applications that are active in them."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from orchestrator.api.lifetime.parts import Body, There, WithStatus, text
from orchestrator.domain.access import Permission
from orchestrator.domain.errors import UsageError
from orchestrator.services.access import require

router = APIRouter(prefix="/environments")


@router.get("")
def environments(there: There) -> Response:
    """Every environment; 204 where there is none."""
    found = there.environment_documents()
    return JSONResponse(found) if found else Response(status_code=204)


@router.get("/{environment}")
def environment(environment: str, there: There) -> Response:
    """One environment."""
    return JSONResponse(there.environment_document(there.environment(environment)))


@router.get("/{environment}/deploymentzones")
def deployment_zones(environment: str, there: There) -> Response:
    """Its fleets."""
    return JSONResponse(there.zone_documents(there.environment(environment)))


@router.get("/{environment}/applications")
def applications(environment: str, there: There, with_status: WithStatus) -> Response:
    """The applications that are active there."""
    return JSONResponse(there.environment_applications(there.environment(environment), with_status=with_status))


@router.get("/{environment}/applications/{application}")
def application(environment: str, application: str, there: There, with_status: WithStatus) -> Response:
    """An application as it is active there; 404 where it is not."""
    found = there.environment(environment)
    app = there.application(application)
    return JSONResponse(there.environment_application(found, app, with_status=with_status))


@router.post("/{environment}/applications/{application}/versions")
def create_version(environment: str, application: str, there: There, body: Body) -> Response:
    """Tag what runs there: 201 and the version's key, where it has that version already; 400 for any other."""
    found = there.environment(environment)
    require(there.who, Permission.DEPLOY, found.name)
    version = text(body, "Version")
    if not version:
        raise UsageError("Version is missing")
    return PlainTextResponse(there.tag(there.application(application), found, version), 201)
