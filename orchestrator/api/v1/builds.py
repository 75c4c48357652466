"""Installed apps in the field: list, record, retire."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from orchestrator.adapters.inventory import check_app
from orchestrator.api.asking import Parts, Who, environment_of
from orchestrator.api.v1 import models
from orchestrator.api.v1.answers import ANYWHERE, REPLAYED, link, problems
from orchestrator.api.v1.bodies import RecordBuild
from orchestrator.api.v1.once import Answer, Asked
from orchestrator.api.v1.pages import Pages
from orchestrator.api.v1.parameters import AppName, BuildId, EnvironmentName, OnlyApp, OnlyEnvironment
from orchestrator.domain.access import Permission
from orchestrator.services.access import require
from orchestrator.services.views import build_view

router = APIRouter(tags=["builds"], responses=ANYWHERE)


@router.get("/builds", summary="Builds in the field, oldest first", response_model=models.Page[models.Build])
def list_builds(
    lockstep: Parts,
    who: Who,
    pages: Pages,
    environment: OnlyEnvironment = None,
    app: OnlyApp = None,
    retired: Annotated[bool, Query(description="Also those that nobody has any more.")] = False,
) -> dict[str, Any]:
    """Of all environments that you may read, or of one."""
    require(who, Permission.READ, environment)
    found = [
        build
        for build in lockstep.builds.builds(environment, app, retired=True)
        if who.may(Permission.READ, build.environment)
    ]
    return pages.cut(
        "builds",
        found,
        build_view,
        lambda build: (build.environment, build.app, build.id),
        lambda build: retired or build.retired_at is None,
    )


@router.post(
    "/environments/{environment}/builds",
    summary="Record a build that is out there, or will be",
    status_code=201,
    response_model=models.Build,
    responses={
        201: {
            "description": "It is recorded. The same again is no change.",
            "headers": REPLAYED,
            "links": {
                "retire_build": link(
                    "retire_build",
                    environment="$request.path.environment",
                    app="$response.body#/app",
                    build="$response.body#/build",
                )
            },
        },
        **problems(404, 409),
    },
)
def record_build(
    lockstep: Parts, who: Who, asked: Asked, environment: EnvironmentName, wanted: RecordBuild
) -> Response:
    """Plans say from now on what they do to it. 409 where its id is another build's."""
    require(who, Permission.RELEASE, environment)
    inventory = lockstep.inventory()
    environment_of(inventory, environment)
    check_app(inventory, environment, wanted.app)

    def act() -> Answer:
        build = lockstep.updating.record(
            environment, wanted.app, wanted.build, wanted.version, wanted.platform, who.name
        )
        return Answer(201, build_view(build))

    return asked.answer(act)


@router.post(
    "/environments/{environment}/builds/{app}/{build}/retire",
    summary="Say that nobody has a build any more",
    response_model=models.Build,
    responses={200: {"description": "It is retired. Once more is no change.", "headers": REPLAYED}, **problems(409)},
)
def retire_build(
    lockstep: Parts, who: Who, asked: Asked, environment: EnvironmentName, app: AppName, build: BuildId
) -> Response:
    """Plans and store-only activations leave it out from now on."""
    require(who, Permission.RELEASE, environment)

    def act() -> Answer:
        return Answer(200, build_view(lockstep.builds.retire_build(environment, app, build, actor=who.name)))

    return asked.answer(act)
