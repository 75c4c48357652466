"""What the endpoints of LifeTime's API are given: the use cases for who asks, and bodies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import Depends, Query, Request

from orchestrator.api.asking import Parts, Who
from orchestrator.api.problems import TooLargeError
from orchestrator.domain.errors import LockstepError, UsageError
from orchestrator.services.lifetime.execution import Executing, Following
from orchestrator.services.lifetime.infrastructure import Infrastructure
from orchestrator.services.lifetime.planning import Planning

#: The largest body that is taken in, in bytes.
MOST_BYTES = 1_048_576


@contextmanager
def _not_theirs() -> Iterator[None]:
    """What is wrong with Lockstep's own files or settings is no fault of a request."""
    try:
        yield
    except UsageError as error:
        raise LockstepError(**error.problem.as_dict()) from error


def infrastructure_of(lockstep: Parts, who: Who) -> Infrastructure:
    """What there is, for who asks."""
    with _not_theirs():
        return Infrastructure(lockstep.inventory(), lockstep.ledger, who)


There = Annotated[Infrastructure, Depends(infrastructure_of)]


def planning_of(lockstep: Parts, there: There) -> Planning:
    """Plans that are saved."""
    return Planning(there, lockstep.lifetime_plans, lockstep.clock)


Plans = Annotated[Planning, Depends(planning_of)]


def following_of(plans: Plans) -> Following:
    """Where plans stand."""
    return Following(plans)


Standings = Annotated[Following, Depends(following_of)]


def executing_of(lockstep: Parts, standings: Standings) -> Executing:
    """Plans that run."""
    with _not_theirs():
        return Executing(standings, lockstep.deploying)


Running = Annotated[Executing, Depends(executing_of)]


async def body_of(request: Request, who: Who) -> dict[str, Any]:
    """A JSON object, read only after it is known who sends it. `UsageError` for anything else."""
    del who
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > MOST_BYTES:
            raise TooLargeError("the body is too large", expected=f"at most {MOST_BYTES} bytes")
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UsageError("the body is not JSON", expected="a JSON object") from error
    if not isinstance(document, dict):
        raise UsageError("the body is not a JSON object", found=type(document).__name__)
    return document


Body = Annotated[dict[str, Any], Depends(body_of)]


def text(document: dict[str, Any], name: str) -> str:
    """A member of a body that is a text; "" where it is null or not there. `UsageError` for anything else.

    JSON can escape what no database keeps: halves of characters, and the zero.
    """
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UsageError(f"{name} is not a text", expected="a text", found=type(value).__name__)
    if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise UsageError(f"{name} holds what is no character", expected="a text in Unicode")
    return value


def included(
    # In whatever case: clients write them as their language does.
    include_modules: Annotated[bool, Query(alias="IncludeModules")] = False,
    include_status: Annotated[bool, Query(alias="IncludeEnvStatus")] = False,
) -> bool:
    """Whether the status in environments is asked for. Modules, which there are none of, come with it alone."""
    if include_modules and not include_status:
        raise UsageError("IncludeModules needs IncludeEnvStatus", expected="both, or only IncludeEnvStatus")
    return include_status


WithStatus = Annotated[bool, Depends(included)]
