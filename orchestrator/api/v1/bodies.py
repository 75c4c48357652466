"""What requests hold. Nothing is guessed: a field that is not known, or of another type, is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from inventory.names import APP, NAME
from orchestrator.api.v1.parameters import whole
from orchestrator.domain.access import EVERYWHERE, Role
from orchestrator.domain.audit.healing import Policy
from orchestrator.domain.build import ID, PLATFORM
from orchestrator.domain.errors import UsageError
from orchestrator.domain.release import VERSION
from orchestrator.domain.update import Consent
from orchestrator.services.access import NAME as TOKEN_NAME
from orchestrator.services.deployments import Schedule

#: How far ahead anything can be planned.
FURTHEST = timedelta(days=3660)

App = Annotated[str, Field(pattern=whole(APP), examples=["ToDo"])]
Version = Annotated[str, Field(pattern=whole(VERSION), examples=["2.0.0"])]
Name = Annotated[str, Field(pattern=whole(NAME))]
BuildId = Annotated[str, Field(pattern=whole(ID), examples=["7.3.0-1187"])]
Moment = Annotated[
    str,
    Field(
        max_length=40,
        json_schema_extra={"format": "date-time"},
        description="ISO 8601 with a zone.",
        examples=["2030-05-01T22:30:00+02:00"],
    ),
]


def moment(text: str, where: str, now: datetime) -> datetime:
    """A time to come, in UTC. `UsageError` where it is none, has no zone, is over or is too far away."""
    try:
        read = datetime.fromisoformat(text)
        zone = read.utcoffset()
        if zone is None:
            raise ValueError("no zone")
        when = read.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            "not a time with a zone", where=where, expected="such as 2030-05-01T22:30:00+02:00", found=text[:40]
        ) from error
    if not now < when < now + FURTHEST:
        raise UsageError(
            "not a time to come",
            where=where,
            expected=f"after {now:%Y-%m-%d %H:%M} UTC, at most {FURTHEST.days} days",
            found=text[:40],
        )
    return when


class Body(BaseModel):
    """Strict: no other fields, no other types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Moving(Body):
    """When a fleet is moved, and what is confirmed of what it takes (docs/ota.md)."""

    hold: bool = Field(False, description="Stage and verify, then wait until it is continued.")
    at: Moment | None = Field(None, description="Flip then.")
    new_builds: dict[App, BuildId] = Field({}, max_length=100, description="App → a build made of its new release.")
    accept_outdated: bool = Field(False, description="Go on although installed apps need a new build.")
    accept_incompatible: bool = Field(
        False, description="Go on although installed store-only apps won't be understood."
    )

    def schedule(self, now: datetime) -> Schedule:
        """When."""
        return Schedule(self.hold, None if self.at is None else moment(self.at, "at", now))

    @property
    def consent(self) -> Consent:
        """What is confirmed."""
        return Consent(dict(self.new_builds), self.accept_outdated, self.accept_incompatible)


class Deploy(Moving):
    """Move a fleet to other releases."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"changes": {"ToDo": "2.0.0"}}, {"changes": {"ToDo": "2.0.0"}, "hold": True}],
        }
    )

    changes: dict[App, Version] = Field(min_length=1, max_length=100, description="App → the version to move to.")


class Rollback(Moving):
    """Move a fleet back."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}, {"to": 12}]})

    to: int | None = Field(None, ge=1, le=2**63 - 1, description="What was served at this epoch; else what was before.")


class DrainFrontend(Body):
    """Take a frontend out of rotation."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"frontend": "fe3", "reason": "new disk"}]})

    frontend: Name
    reason: str = Field("maintenance", min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")


class ReadmitFrontends(Body):
    """Bring frontends back into rotation, or new ones in."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"frontends": ["fe3"]}]})

    frontends: list[Name] = Field(min_length=1, max_length=10_000)


class BeginAudit(Body):
    """Hold a fleet against the ledger."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"deep": True, "policy": "report"}]})

    deep: bool = Field(False, description="Hash every file again, also what did not change.")
    # An enum has no strict form in JSON.
    policy: Policy | None = Field(
        None, strict=False, description="What is done about findings; the fleet's own without it."
    )
    remove_extra: bool = Field(False, description="Where it heals: remove what should not be there.")


class RecordBuild(Body):
    """Record a build that is out there, or will be."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"app": "ToDo", "build": "7.2.0-1041", "version": "2.0.0", "platform": "android"}]
        }
    )

    app: App
    build: BuildId
    version: Version
    platform: str = Field("", pattern=f"^(?:{PLATFORM.pattern})?$")


class Granted(Body):
    """A role in an environment, or in all of them."""

    # An enum has no strict form in JSON.
    role: Role = Field(strict=False)
    environment: str = Field(EVERYWHERE, pattern=rf"^(?:\*|{NAME.pattern})$")


class IssueToken(Body):
    """A token for somebody."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "ci",
                    "roles": [{"role": "deployer", "environment": "Production"}],
                    "expires_at": "2030-05-01T00:00:00Z",
                }
            ]
        }
    )

    name: str = Field(pattern=whole(TOKEN_NAME))
    roles: list[Granted] = Field(min_length=1, max_length=100)
    expires_at: Moment | None = None
