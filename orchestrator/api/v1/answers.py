"""What answers look like in the OpenAPI document: problems, headers, links; and answers that depend on an ETag."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from orchestrator.api.problems import MEDIA_TYPE, PreconditionError

Responses = dict[int | str, dict[str, Any]]


class Holder(BaseModel):
    """The open deployment that holds a fleet, or the open audit that holds it against others."""

    deployment: int | None = None
    audit: int | None = None
    state: str | None = None
    actor: str
    since: str


class Wrong(BaseModel):
    """One thing that is wrong in a request."""

    where: str
    what: str


class Problem(BaseModel):
    """Problem details (RFC 9457). `type` is stable; docs/api.md lists them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:lockstep:problem:conflict",
                    "title": "Somebody else holds it, or it exists with other content",
                    "status": 409,
                    "detail": "deployment 17 of Production/web is open",
                    "expected": "no open deployment of the fleet",
                    "found": "staging, by ci#1a2b3c4d5e6f, since 2026-05-01 12:00:00 UTC",
                    "holder": {
                        "deployment": 17,
                        "state": "staging",
                        "actor": "ci#1a2b3c4d5e6f",
                        "since": "2026-05-01T12:00:00.000+00:00",
                    },
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str = ""
    where: str = ""
    expected: str = ""
    found: str = ""
    remedy: str = ""
    errors: list[Wrong] = []
    holder: Holder | None = None


WORDS = {
    400: "The body can't be read.",
    401: "Nobody knows who asks.",
    403: "Not allowed.",
    404: "There is no such thing.",
    405: "Nothing that this path can do.",
    409: "Somebody else holds it, or the present state does not allow it. Nothing was changed.",
    412: "It has changed since it was read.",
    413: "Too large.",
    422: "The request is not valid. Nothing was changed.",
    429: "Too many failed attempts to authenticate.",
    503: "Nobody knows the outcome, or too many at once.",
}


def problems(*statuses: int) -> Responses:
    """The document of these errors."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": WORDS[status], "content": content} for status in statuses}


#: What every endpoint that needs a token may answer.
ANYWHERE = problems(400, 401, 403, 405, 413, 422, 429, 503)

NOT_MODIFIED: Responses = {304: {"description": "It is still what the client has."}}


def text_header(description: str) -> dict[str, Any]:
    """A header in the document."""
    return {"description": description, "schema": {"type": "string"}}


ETAG = {"ETag": text_header("Changes whenever the answer does.")}
LOCATION = {"Location": text_header("Where it is.")}
REPLAYED = {"Idempotency-Replayed": text_header("true where the answer is the one that was given before.")}


def link(operation: str, /, **parameters: str) -> dict[str, Any]:
    """A link from an answer to what can be asked next."""
    return {"operationId": operation, "parameters": parameters}


#: From a deployment to what can be done with it.
DEPLOYMENT_LINKS = {
    name: link(name, number="$response.body#/id")
    for name in ("show_deployment", "list_reports", "continue_deployment", "abort_deployment")
}


def etag_of(document: Mapping[str, Any]) -> str:
    """A strong ETag of a document."""
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return f'"{hashlib.sha256(canonical.encode()).hexdigest()[:32]}"'


def matches(header: str | None, etag: str) -> bool:
    """Whether an If-Match or If-None-Match header names the ETag, or any (``*``)."""
    given = [each.strip().removeprefix("W/") for each in (header or "").split(",")]
    return etag in given or given == ["*"]


def unless_known(document: Mapping[str, Any], etag: str, if_none_match: str | None) -> Response:
    """The document, or 304 where the client has it."""
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if if_none_match is not None and matches(if_none_match, etag):
        return Response(status_code=304, headers=headers)
    return JSONResponse(dict(document), headers=headers)


def only_if(document: Mapping[str, Any], if_match: str | None) -> None:
    """`PreconditionError` where the client saw something else."""
    etag = etag_of(document)
    if if_match is not None and not matches(if_match, etag):
        raise PreconditionError(
            "it has changed since it was read", expected=if_match[:80], found=etag, remedy="read it again, then decide"
        )
