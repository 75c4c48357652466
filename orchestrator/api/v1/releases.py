"""Releases: upload, list, show, compare."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from orchestrator.adapters.sources import entries
from orchestrator.api.asking import Parts, Who
from orchestrator.api.problems import NotFoundError
from orchestrator.api.v1 import models
from orchestrator.api.v1.answers import ANYWHERE, ETAG, LOCATION, NOT_MODIFIED, REPLAYED, link, problems, unless_known
from orchestrator.api.v1.once import Answer, Key, once
from orchestrator.api.v1.pages import Pages
from orchestrator.api.v1.parameters import AppName, IfNoneMatch, OnlyApp, Version, whole
from orchestrator.api.v1.upload import MEDIA_TYPES, Uploaded
from orchestrator.domain.access import Permission
from orchestrator.domain.release import VERSION
from orchestrator.services.access import require
from orchestrator.services.releases import ReleaseName
from orchestrator.services.views import built_view, comparison_view, release_view, release_with_files

router = APIRouter(tags=["releases"], responses=ANYWHERE)

BINARY = {"schema": {"type": "string", "format": "binary"}}
LINKS = {"show_release": link("show_release", app="$request.path.app", version="$request.path.version")}


@router.get("/releases", summary="Releases, newest first", response_model=models.Page[models.Release])
def list_releases(lockstep: Parts, who: Who, pages: Pages, app: OnlyApp = None) -> dict[str, Any]:
    """Of all apps, or of one."""
    require(who, Permission.READ)
    last = pages.words("releases")
    before = None if last is None else (last[0], last[-1])
    found = lockstep.ledger.releases(app, before=before, limit=pages.limit + 1)
    return pages.page("releases", found, release_view, lambda each: (each.app, each.version))


@router.get(
    "/releases/{app}/compare",
    summary="What kind of update it is to go from one version to another",
    response_model=models.Comparison,
    responses=problems(404),
)
def compare_releases(
    lockstep: Parts,
    who: Who,
    app: AppName,
    before: Annotated[str, Query(alias="from", pattern=whole(VERSION), examples=["1.0.0"])],
    after: Annotated[str, Query(alias="to", pattern=whole(VERSION), examples=["2.0.0"])],
) -> dict[str, Any]:
    """And why; and whether it needs a new build. As `lockstep release compare --json` says it."""
    require(who, Permission.READ)
    old, new = ReleaseName(app, before), ReleaseName(app, after)
    for name in (old, new):
        _there(lockstep, name)
    return comparison_view(old, new, lockstep.releasing.compare(old, new))


@router.get(
    "/releases/{app}/{version}",
    summary="One release and its files",
    response_model=models.ReleaseWithFiles,
    responses={200: {"description": "The release.", "headers": ETAG}, **NOT_MODIFIED, **problems(404)},
)
def show_release(
    lockstep: Parts, who: Who, app: AppName, version: Version, if_none_match: IfNoneMatch = None
) -> Response:
    """Its ETag is its digest."""
    require(who, Permission.READ)
    name = ReleaseName(app, version)
    _there(lockstep, name)
    record, manifest = lockstep.releasing.show(name)
    return unless_known(release_with_files(record, manifest), f'"{record.digest}"', if_none_match)


@router.post(
    "/releases/{app}/{version}",
    summary="Upload a release",
    status_code=201,
    response_model=models.Built,
    responses={
        200: {
            "description": "The same content is there already: nothing was changed.",
            "model": models.Built,
            "headers": LOCATION | REPLAYED,
            "links": LINKS,
        },
        201: {"description": "It was built.", "headers": LOCATION | REPLAYED, "links": LINKS},
        **problems(409, 413),
    },
    openapi_extra={"requestBody": {"required": True, "content": dict.fromkeys(MEDIA_TYPES, BINARY)}},
)
def upload_release(
    lockstep: Parts, who: Who, request: Request, app: AppName, version: Version, upload: Uploaded, key: Key = None
) -> Response:
    """The body is the archive. 409 where the version exists with other content: a version never changes."""

    def act() -> Answer:
        built = lockstep.releasing.build(entries(upload.path), ReleaseName(app, version), actor=who.name)
        location = f"/api/v1/releases/{app}/{version}"
        return Answer(201 if built.new else 200, built_view(built), {"Location": location})

    return once(lockstep, who, request, key, upload.sha256).answer(act)


def _there(lockstep: Parts, name: ReleaseName) -> None:
    if lockstep.ledger.release(name.app, name.version) is None:
        raise NotFoundError(f"there is no release {name}", remedy=f"see: GET /api/v1/releases?app={name.app}")
