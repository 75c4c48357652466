"""The documents that answers hold. `orchestrator.services.views` makes them; docs/api.md explains them."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")

DIGEST = "4bf5122f344554c53bde2ebb8cd2b7e3d1600ad631c385a5d7cce23c7785459a"
TIME = "2026-05-01T12:00:00.000+00:00"

Time = Annotated[str, Field(examples=[TIME], description="ISO 8601, in UTC.")]


class Page(BaseModel, Generic[T]):
    """Some items, and the cursor of the next page; null on the last one."""

    items: list[T]
    next: str | None


class Release(BaseModel):
    """A release, without its files."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"app": "ToDo", "version": "2.0.0", "digest": DIGEST, "files": 41, "size": 913204, "created_at": TIME}
            ]
        }
    )

    app: str
    version: str
    digest: str
    files: int
    size: int
    created_at: Time


class File(BaseModel):
    """A file of a release. `ota` is the hash that over-the-air clients look it up by."""

    path: str
    size: int
    sha256: str
    ota: str


class ReleaseWithFiles(Release):
    """A release and its files."""

    manifest: list[File]


class Stored(BaseModel):
    """What the artifact store did not have before."""

    objects: int
    size: int


class Built(Release):
    """What came of an upload. `new` is false where the same content was there already."""

    new: bool
    dry_run: bool
    stored: Stored


class Reason(BaseModel):
    """Why an update is of its kind."""

    rule: str
    of: str
    how: str


class Comparison(BaseModel):
    """What kind of update it is to go from one release to another."""

    model_config = ConfigDict(populate_by_name=True)

    app: str
    before: str = Field(alias="from")
    to: str
    kind: str
    needs_build: bool
    over_the_air: list[Reason]
    new_build: list[Reason]


class Environment(BaseModel):
    """An environment."""

    name: str = Field(examples=["Production"])
    order: int
    type: str = Field(examples=["Production"])
    two_step: bool
    four_eyes: bool
    fleets: list[str] = Field(examples=[["Production/web"]])


class Drain(BaseModel):
    """A frontend's time out of rotation. `confirmed`: it is out, as `by` said."""

    number: int
    fleet: str
    frontend: str
    actor: str
    reason: str
    created_at: Time
    confirmed: bool
    confirmed_at: Time | None
    by: str
    problem: dict[str, Any]


class Trouble(BaseModel):
    """Why a deployment was aborted, or is still open."""

    step: str
    frontend: str
    problem: dict[str, str]


class Placed(BaseModel):
    """Which release an app has, and where it is mounted."""

    version: str
    digest: str
    mount: str


class Deployment(BaseModel):
    """A deployment."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 17,
                    "fleet": "Production/web",
                    "epoch": 12,
                    "kind": "deploy",
                    "state": "staging",
                    "decision": None,
                    "changes": {"ToDo": "2.0.0"},
                    "apps": {"ToDo": {"version": "2.0.0", "digest": DIGEST, "mount": "/ToDo/"}},
                    "frontends": ["fe1", "fe2"],
                    "actor": "ci#1a2b3c4d5e6f",
                    "hold": False,
                    "due_at": None,
                    "expires_at": None,
                    "created_at": TIME,
                    "decided_at": None,
                    "ended_at": None,
                    "skew_ms": None,
                    "troubles": [],
                    "updates": {},
                }
            ]
        }
    )

    id: int
    fleet: str
    epoch: int
    kind: str
    state: str
    decision: str | None
    changes: dict[str, str]
    apps: dict[str, Placed]
    frontends: list[str]
    actor: str
    hold: bool
    due_at: Time | None
    expires_at: Time | None
    created_at: Time
    decided_at: Time | None
    ended_at: Time | None
    skew_ms: float | None
    troubles: list[Trouble]
    updates: dict[str, Any]


class Move(BaseModel):
    """What a plan does to an app. `update` says what it means for clients; null where its release stays."""

    model_config = ConfigDict(populate_by_name=True)

    before: str | None = Field(alias="from")
    to: str
    digest: str
    update: dict[str, Any] | None


class Plan(BaseModel):
    """What a deployment would be."""

    fleet: str
    kind: str
    apps: dict[str, Move]
    frontends: list[str]


class Report(BaseModel):
    """One answer of one frontend to one step."""

    frontend: str
    step: str
    attempt: int
    outcome: str
    detail: dict[str, Any]
    problem: dict[str, str]
    at: Time | None


class Rotation(BaseModel):
    """Who is in rotation, who is drained, and who was never in."""

    serving: list[str]
    drained: dict[str, Drain]
    new: list[str]


class Fleet(BaseModel):
    """What a fleet serves, and what is under way."""

    fleet: str = Field(examples=["Production/web"])
    epoch: int | None
    activation: str | None
    apps: dict[str, str]
    since: Time | None
    open: Deployment | None
    rotation: Rotation


class Frontend(BaseModel):
    """A server of a fleet. `rotation` is serving, draining (not confirmed yet), drained or new."""

    name: str = Field(examples=["fe1"])
    url: str = Field(examples=["http://10.0.0.11"])
    rotation: str = Field(examples=["serving"])
    drain: Drain | None


class FleetWithFrontends(Fleet):
    """A fleet and its frontends."""

    url: str | None = Field(examples=["https://app.example.com"])
    frontends: list[Frontend]


class Hashed(BaseModel):
    """What an audit read to hash it."""

    files: int
    bytes: int


class Audit(BaseModel):
    """An audit. `outcome` is null while it is open; only `consistent` says that nothing is wrong."""

    id: int
    fleet: str = Field(examples=["Production/web"])
    deep: bool
    policy: str = Field(examples=["report"])
    remove_extra: bool
    cause: str = Field(examples=["operator"])
    actor: str
    scheduled_at: Time | None
    begun_at: Time
    ended_at: Time | None
    outcome: str | None = Field(examples=["consistent"])
    epoch: int | None
    frontends: int | None
    seconds: float | None
    hashed: Hashed | None
    opened: int | None
    open: int | None
    closed: int | None
    healed: int | None
    healing: int | None = Field(description="The deployment that healed.")
    escalated: int | None
    troubles: list[Trouble] | None
    drained: list[str] | None
    not_drained: dict[str, str] | None
    problem: dict[str, str] | None
    reason: str | None = Field(description="Why it was never begun.")


class Finding(BaseModel):
    """One difference. `frontend` is empty for what the whole fleet shows, `path` where the kind says all."""

    id: int
    fleet: str = Field(examples=["Production/web"])
    frontend: str = Field(examples=["fe1"])
    kind: str = Field(examples=["file-changed"])
    path: str
    seriousness: str = Field(examples=["clients"])
    what: str
    expected: str
    found: str
    remedy: str
    first_audit: int
    last_audit: int
    opened_at: Time
    seen_at: Time
    closed_at: Time | None
    healed: int
    escalated_at: Time | None


class Build(BaseModel):
    """An installed app in the field."""

    environment: str
    app: str
    build: str = Field(examples=["7.2.0-1041"])
    version: str
    platform: str
    actor: str
    created_at: Time
    retired_at: Time | None


class Grant(BaseModel):
    """A role in an environment, or in all of them (`*`)."""

    role: str = Field(examples=["deployer"])
    environment: str = Field(examples=["Production"])


class Token(BaseModel):
    """A token without its secret."""

    public: str = Field(examples=["1a2b3c4d5e6f"])
    name: str = Field(examples=["ci"])
    roles: list[Grant]
    state: str = Field(examples=["valid"])
    actor: str
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None


class IssuedToken(Token):
    """A new token. `token` is its text, which nobody is shown again: null where the request is repeated."""

    token: str | None


class Entry(BaseModel):
    """An entry of the trail."""

    number: int
    at: Time
    action: str = Field(examples=["deployment.committed"])
    actor: str
    fleet: str
    deployment: int | None
    detail: dict[str, Any]
    previous: str
    digest: str


class Verified(BaseModel):
    """Whether every entry of the trail follows from the one before it; `digest` is the last one's."""

    intact: bool
    entries: int
    digest: str
    problem: str | None


class Event(BaseModel):
    """What happened, as webhooks and streams tell it."""

    number: int
    event: str = Field(examples=["deployment.done"])
    at: Time
    actor: str
    fleet: str
    deployment: int | None
    detail: dict[str, Any]


class Delivery(BaseModel):
    """An event for a receiver, and what became of it. `next_try` is null where nobody tries any more."""

    id: int
    receiver: str = Field(examples=["webhook/chatops"])
    state: str = Field(examples=["delivered"])
    attempts: int
    status: int | None
    created_at: Time
    next_try: Time | None
    delivered_at: Time | None
    gives_up_at: Time | None
    problem: dict[str, str]
    webhook_id: str
    event: Event
