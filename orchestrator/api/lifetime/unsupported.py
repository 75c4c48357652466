"""LifeTime's API: what Lockstep can't do, said so. Clients print the text of a status that they do not know."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response

from orchestrator.api.asking import principal_of
from orchestrator.domain.lifetime.documents import errors

router = APIRouter(dependencies=[Depends(principal_of)])

_PACKAGES = "Lockstep keeps releases as trees of files, and has no packages (.oap, .osp)"
_INVENTORY = "environments and applications are what the inventory file says: edit it"
_SOURCE = "Lockstep has no source code of applications"
_USERS = "Lockstep's users are its tokens: lockstep token"
_CODE = "Lockstep deploys files: it knows nothing of modules, templates, policies or database connections"

#: Methods, path, and why not.
_UNSUPPORTED = (
    (("GET",), "/applications/{application}/versions/{version}/content", _PACKAGES),
    (("GET",), "/environments/{environment}/applications/{application}/content", _PACKAGES),
    (("POST",), "/environments/{environment}/deployment", _PACKAGES),
    (("POST",), "/environments/{environment}/solution", _PACKAGES),
    (("GET",), "/environments/{environment}/solution/{solution}", _PACKAGES),
    (("GET",), "/environments/{environment}/solutionstatus/{solution}", _PACKAGES),
    (("GET",), "/downloads/{path:path}", _PACKAGES),
    (("POST",), "/environments/{environment}/applications/{application}/sourcecodeaccess", _SOURCE),
    (("GET",), "/environments/{environment}/applications/{application}/sourcecodeaccess/{package}/{path}", _SOURCE),
    (("DELETE",), "/applications/{application}/versions/{version}", "releases are kept: a version is never removed"),
    (("POST",), "/environments", _INVENTORY),
    (("DELETE",), "/environments/{environment}", _INVENTORY),
    (("POST",), "/environments/{environment}/applications", _INVENTORY),
    (("GET",), "/environments/{environment}/templates", _CODE),
    (("GET", "PUT"), "/environments/{environment}/content_security_policies", _CODE),
    (("GET",), "/environments/{environment}/dbconnections", _CODE),
    (("GET", "POST", "PUT", "DELETE"), "/environments/blockedipaddresses", _CODE),
    *(
        (("GET", "POST", "PUT", "DELETE"), path, why)
        for group, why in (("modules", _CODE), ("roles", _USERS), ("teams", _USERS), ("users", _USERS))
        for path in (f"/{group}", f"/{group}/{{path:path}}")
    ),
)


def _refusal(why: str) -> Callable[[], Response]:
    def refuse() -> Response:
        return JSONResponse(errors([f"not supported: {why}"], 501), 501)

    return refuse


for _methods, _path, _why in _UNSUPPORTED:
    router.add_api_route(_path, _refusal(_why), methods=list(_methods))
