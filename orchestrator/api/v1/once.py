"""Requests that are done once: `Idempotency-Key` (docs/api.md, "Requests that may be sent again")."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

import structlog
from fastapi import Depends, Header, Request
from fastapi.responses import JSONResponse

from orchestrator.api import problems
from orchestrator.api.asking import Parts, Who
from orchestrator.bootstrap import Lockstep
from orchestrator.domain.access import Principal
from orchestrator.domain.errors import ConflictError, LockstepError
from orchestrator.ports import NamedRequest

log = structlog.get_logger()

#: After so long without an answer nobody works on a request any more. The longest is a build of a large release.
LONGEST = timedelta(minutes=15)

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern="^[!-~]{1,255}$",
        description="The same request with the same key is done once, and answered the same way again.",
        examples=["deploy-2.0.0-run-4711"],
    ),
]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered. `kept` is the body that a repetition gets, where it is another one."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, Any] | None = None

    def response(self, replayed: bool = False) -> JSONResponse:
        """As FastAPI sends it."""
        more = {"Idempotency-Replayed": "true"} if replayed else {}
        media_type = problems.MEDIA_TYPE if self.status >= 400 else None
        return JSONResponse(dict(self.body), self.status, {**self.headers, **more}, media_type)


@dataclass(frozen=True, slots=True)
class Once:
    """One request. `key` is None where its sender gave it no name; `digest` is its body's."""

    lockstep: Lockstep
    scope: str
    key: str | None
    digest: str

    def answer(self, act: Callable[[], Answer]) -> JSONResponse:
        """Do it, or repeat what was answered to it before.

        Raises what `act` raises, and `ConflictError` where the same request is under way, or nobody knows whether it
        was done; `RepeatedError` where its name is another request's.
        """
        if self.key is None:
            return act().response()
        claim = self.lockstep.requests.claim(self.scope, self.key, self.digest)
        if claim is not None:
            return self._again(claim)
        try:
            done = act()
        except LockstepError as error:
            document = problems.problem_of(error)
            if document["status"] == 503:
                # It may have been done: whoever sends it again must hear the same.
                self._settle(Answer(503, document))
            else:
                self.lockstep.requests.drop(self.scope, self.key)
            raise
        except Exception:
            self._settle(Answer(500, problems.FAULT))
            raise
        try:
            self._settle(done)
        except LockstepError as error:
            # It is done, and that is the answer. The same request again is told that nobody knows.
            log.warning("the answer to a request could not be kept", **error.problem.as_dict())
        return done.response()

    def _settle(self, done: Answer) -> None:
        assert self.key is not None
        body = done.body if done.kept is None else done.kept
        answer = {"body": dict(body), "headers": dict(done.headers)}
        self.lockstep.requests.settle(self.scope, self.key, done.status, answer)

    def _again(self, claim: NamedRequest) -> JSONResponse:
        if claim.digest != self.digest:
            raise problems.RepeatedError(
                "this Idempotency-Key was used with another body", remedy="give every request a key of its own"
            )
        if claim.status is not None and claim.answer is not None:
            return Answer(claim.status, claim.answer["body"], claim.answer["headers"]).response(replayed=True)
        if self.lockstep.clock() - claim.created_at < LONGEST:
            raise ConflictError("the same request is under way", remedy="send it again in some seconds")
        raise ConflictError(
            "nobody knows whether this request was done: the process that began it did not come to its answer",
            found=f"begun {claim.created_at:%Y-%m-%d %H:%M:%S} UTC",
            remedy="look at what is there (the deployments, the releases, the trail); then, where it was not done, "
            "send it with another Idempotency-Key",
        )


def once(lockstep: Lockstep, who: Principal, request: Request, key: str | None, digest: str) -> Once:
    """A request by its sender, its method, its path with the query, and its body's digest."""
    scope = "\n".join((who.name, request.method, request.url.path, request.url.query))
    return Once(lockstep, hashlib.sha256(scope.encode()).hexdigest(), key, digest)


async def _of_body(request: Request, lockstep: Parts, who: Who, key: Key = None) -> Once:
    return once(lockstep, who, request, key, hashlib.sha256(await request.body()).hexdigest())


#: The request as something that is done once, by its whole body.
Asked = Annotated[Once, Depends(_of_body)]
