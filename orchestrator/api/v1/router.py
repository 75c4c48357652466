"""All of the native API, version 1."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.routing import APIRoute

from orchestrator.api.v1 import (
    audits,
    builds,
    deliveries,
    deployments,
    environments,
    events,
    releases,
    rotation,
    tokens,
    trail,
)

router = APIRouter(prefix="/api/v1")


def _operation(route: APIRoute) -> str:
    """An operation's id in the document is the endpoint's own name."""
    return route.name


for each in (releases, environments, deployments, rotation, audits, builds, events, tokens, trail, deliveries):
    each.router.generate_unique_id_function = _operation
    router.include_router(each.router)
