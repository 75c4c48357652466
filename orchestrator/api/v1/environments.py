"""Environments, fleets and their frontends: what the inventory and the ledger say of them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from inventory.model import Environment, Fleet, Frontend, Inventory
from orchestrator.api.asking import Parts, Who, environment_of
from orchestrator.api.v1 import models
from orchestrator.api.v1.answers import ANYWHERE, link, problems
from orchestrator.api.v1.pages import Pages
from orchestrator.api.v1.parameters import EnvironmentName, FleetName
from orchestrator.api.v1.targets import fleet_for
from orchestrator.domain.access import Permission
from orchestrator.domain.rotation import Drain
from orchestrator.services.access import require
from orchestrator.services.views import drain_view, fleet_view

router = APIRouter(tags=["environments"], responses=ANYWHERE)


@router.get("/environments", summary="The environments", response_model=models.Page[models.Environment])
def list_environments(lockstep: Parts, who: Who, pages: Pages) -> dict[str, Any]:
    """Those that you may read, in the order of the inventory."""
    require(who, Permission.READ)
    inventory = lockstep.inventory()
    seen = [each for each in inventory.environments if who.may(Permission.READ, each.name)]
    return pages.cut("environments", seen, lambda each: _environment(inventory, each), lambda each: (each.name,))


@router.get(
    "/environments/{environment}",
    summary="One environment",
    response_model=models.Environment,
    responses=problems(404),
)
def show_environment(lockstep: Parts, who: Who, environment: EnvironmentName) -> dict[str, Any]:
    """What the inventory says of it."""
    require(who, Permission.READ, environment)
    inventory = lockstep.inventory()
    return _environment(inventory, environment_of(inventory, environment))


@router.get("/fleets", summary="The fleets", response_model=models.Page[models.Fleet])
def list_fleets(lockstep: Parts, who: Who, pages: Pages) -> dict[str, Any]:
    """Those that you may read, with what each serves and what is under way."""
    require(who, Permission.READ)
    seen = [each for each in lockstep.inventory().fleets if who.may(Permission.READ, each.environment)]
    return pages.cut("fleets", seen, lambda each: fleet_view(lockstep.ledger, each), lambda each: (each.key,))


@router.get(
    "/environments/{environment}/fleets/{fleet}",
    summary="One fleet and its frontends",
    response_model=models.FleetWithFrontends,
    responses={
        200: {
            "description": "The fleet.",
            "links": {
                name: link(name, environment="$request.path.environment", fleet="$request.path.fleet")
                for name in ("create_deployment", "roll_back", "drain_frontend", "readmit_frontends")
            },
        },
        **problems(404),
    },
)
def show_fleet(lockstep: Parts, who: Who, environment: EnvironmentName, fleet: FleetName) -> dict[str, Any]:
    """What it serves, what is under way, and who of its frontends is in rotation."""
    chosen = fleet_for(lockstep, who, Permission.READ, environment, fleet)
    view = fleet_view(lockstep.ledger, chosen)
    drains = {drain.frontend: drain for drain in lockstep.ledger.drains(chosen.key)}
    frontends = [_frontend(each, drains.get(each.name), view["rotation"]) for each in chosen.frontends]
    return {**view, "url": _public(chosen), "frontends": frontends}


def _environment(inventory: Inventory, environment: Environment) -> dict[str, Any]:
    fleets = [fleet.key for fleet in inventory.fleets if fleet.environment == environment.name]
    return {**environment.model_dump(mode="json"), "fleets": fleets}


def _frontend(frontend: Frontend, drain: Drain | None, rotation: dict[str, Any]) -> dict[str, Any]:
    if drain is not None:
        word = "drained" if drain.confirmed else "draining"
    else:
        word = "new" if frontend.name in rotation["new"] else "serving"
    shown = None if drain is None else drain_view(drain)
    return {"name": frontend.name, "url": frontend.base_url, "rotation": word, "drain": shown}


def _public(fleet: Fleet) -> str | None:
    return None if fleet.url is None else str(fleet.url).rstrip("/")
