"""Frontends out of rotation and back."""

from __future__ import annotations

from fastapi import APIRouter, Response

from orchestrator.api.asking import Parts, Who
from orchestrator.api.v1 import models
from orchestrator.api.v1.answers import ANYWHERE, LOCATION, REPLAYED, problems
from orchestrator.api.v1.bodies import DrainFrontend, ReadmitFrontends
from orchestrator.api.v1.deployments import STARTED, started
from orchestrator.api.v1.once import Answer, Asked
from orchestrator.api.v1.parameters import EnvironmentName, FleetName
from orchestrator.api.v1.targets import fleet_for
from orchestrator.domain.access import Permission
from orchestrator.services.rotation import Rotating
from orchestrator.services.views import drain_view

router = APIRouter(tags=["rotation"], responses=ANYWHERE)


@router.post(
    "/environments/{environment}/fleets/{fleet}/drain",
    summary="Take a frontend out of rotation",
    status_code=202,
    response_model=models.Drain,
    responses={
        202: {"description": "It will be taken out: the fleet says when it is.", "headers": LOCATION | REPLAYED},
        **problems(404, 409),
    },
)
def drain_frontend(
    lockstep: Parts, who: Who, asked: Asked, environment: EnvironmentName, fleet: FleetName, wanted: DrainFrontend
) -> Response:
    """Until it is readmitted. 409 where nobody else would be left to serve."""
    chosen = fleet_for(lockstep, who, Permission.DEPLOY, environment, fleet)

    def act() -> Answer:
        rotating = Rotating(lockstep.ledger, lockstep.dispatch)
        drain = rotating.drain(chosen, wanted.frontend, who.name, wanted.reason)
        return Answer(202, drain_view(drain), {"Location": f"/api/v1/environments/{environment}/fleets/{fleet}"})

    return asked.answer(act)


@router.post(
    "/environments/{environment}/fleets/{fleet}/readmit",
    summary="Bring frontends back into rotation, or new ones in",
    status_code=202,
    response_model=models.Deployment,
    responses=STARTED,
)
def readmit_frontends(
    lockstep: Parts, who: Who, asked: Asked, environment: EnvironmentName, fleet: FleetName, wanted: ReadmitFrontends
) -> Response:
    """Staged, switched to what the fleet serves, proven, then in: a deployment of its own kind."""
    chosen = fleet_for(lockstep, who, Permission.DEPLOY, environment, fleet)
    return asked.answer(lambda: started(lockstep.deploying.readmit(chosen, wanted.frontends, who.name)))
