"""What a path, a query and a header may hold: matched against its pattern before anything uses it."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header, Path, Query

from inventory.names import APP, FLEET, NAME
from orchestrator.adapters.ledger.queries import MAX_NUMBER
from orchestrator.domain.build import ID
from orchestrator.domain.release import VERSION


def whole(pattern: re.Pattern[str]) -> str:
    """The pattern as OpenAPI has it: for all of a text, not for a part."""
    return f"^{pattern.pattern}$"


EnvironmentName = Annotated[str, Path(pattern=whole(NAME), examples=["Production"])]
FleetName = Annotated[str, Path(pattern=whole(NAME), examples=["web"])]
AppName = Annotated[str, Path(pattern=whole(APP), examples=["ToDo"])]
Version = Annotated[str, Path(pattern=whole(VERSION), examples=["2.0.0"])]
BuildId = Annotated[str, Path(pattern=whole(ID), examples=["7.2.0-1041"])]
Number = Annotated[int, Path(ge=1, le=MAX_NUMBER, description="The deployment's number.", examples=[17])]
TokenId = Annotated[str, Path(pattern="^[0-9a-f]{12}$", examples=["1a2b3c4d5e6f"])]

OnlyApp = Annotated[str | None, Query(alias="app", pattern=whole(APP), description="Only this app's.")]
OnlyEnvironment = Annotated[
    str | None, Query(alias="environment", pattern=whole(NAME), description="Only this environment's.")
]
#: ``Environment/fleet``.
OnlyFleet = Annotated[
    str | None, Query(alias="fleet", pattern=whole(FLEET), description="Only this fleet's: Environment/fleet.")
]
DryRun = Annotated[bool, Query(description="Answer with the plan; change nothing.")]

IfMatch = Annotated[
    str | None,
    Header(
        max_length=1000,
        description="The ETag of the deployment as it was seen: 412 where it has changed since.",
    ),
]
IfNoneMatch = Annotated[
    str | None, Header(max_length=1000, description="The ETag of what the client has: 304 where it is still so.")
]
