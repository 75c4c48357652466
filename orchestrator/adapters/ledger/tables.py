"""The ledger's tables. The migrations are the authority; a test holds the two against each other."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from orchestrator.domain.errors import LockstepError

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

#: The revision of these tables: the last of the migrations.
REVISION = "0005"

metadata = MetaData(naming_convention=NAMING)


def as_json(value: Any) -> str:
    """What a JSON column holds: on both databases only what every reader of JSON can read, so no NaN.

    Raises `LockstepError` for anything else.
    """
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise LockstepError("a value that JSON can't hold, nothing was written", found=str(error)) from error


class UtcDateTime(TypeDecorator[datetime]):
    """A time, in UTC and with its zone in Python. PostgreSQL keeps the zone; SQLite has none and holds UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database: refuses a time without a zone."""
        del dialect
        if value is None:
            return None
        if value.tzinfo is None:
            raise LockstepError("a time in the ledger needs a time zone, nothing was written", found=str(value))
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From the database: PostgreSQL answers in the zone of the session."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


#: 64 bits everywhere; SQLite counts by itself only in a column whose type is exactly INTEGER.
Number = BigInteger().with_variant(Integer(), "sqlite")

#: No state without its decision, no decision without its state: whatever writes the row (docs/protocol.md, "States").
DECIDED = """
CASE decision
WHEN 'commit' THEN decided_at IS NOT NULL AND state IN ('activating', 'finishing', 'done')
WHEN 'abort' THEN decided_at IS NOT NULL AND state IN ('aborting', 'aborted')
ELSE decision IS NULL AND decided_at IS NULL
    AND state IN ('planned', 'staging', 'verifying', 'prepared', 'arming')
END
"""

#: What has ended no longer holds its fleet, and nothing else is free.
ENDED = "(ended_at IS NOT NULL) = (state IN ('done', 'aborted'))"

releases = Table(
    "releases",
    metadata,
    Column("id", Number, primary_key=True),
    Column("app", String(63), nullable=False),
    Column("version", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("files", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("app", "version"),
)

deployments = Table(
    "deployments",
    metadata,
    Column("id", Number, primary_key=True),
    Column("fleet", String(127), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("nonce", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("decision", String(8)),
    Column("changes", JSON, nullable=False),
    Column("placements", JSON, nullable=False),
    Column("frontends", JSON, nullable=False),
    Column("snapshot", JSON, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("hold", Boolean(create_constraint=False), nullable=False),
    Column("due_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("decided_at", UtcDateTime),
    Column("ended_at", UtcDateTime),
    Column("troubles", JSON, nullable=False),
    Column("skew", Float),
    Column("readmits", JSON),
    Column("updates", JSON),
    Column("healing", JSON),
    CheckConstraint("epoch > 0", name="epoch"),
    CheckConstraint(DECIDED, name="decided"),
    CheckConstraint(ENDED, name="ended"),
)

#: Installed apps in the field (docs/ota.md, "Builds in the field").
builds = Table(
    "builds",
    metadata,
    Column("id", Number, primary_key=True),
    Column("environment", String(63), nullable=False),
    Column("app", String(63), nullable=False),
    Column("name", String(64), nullable=False),
    Column("version", String(64), nullable=False),
    Column("platform", String(32), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("retired_at", UtcDateTime),
    UniqueConstraint("environment", "app", "name"),
)

#: Frontends out of rotation. A drain's number is its fencing token (docs/protocol.md, "Rotation").
drains = Table(
    "drains",
    metadata,
    Column("id", Number, primary_key=True),
    Column("fleet", String(127), nullable=False),
    Column("frontend", String(63), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("nonce", String(16), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("reason", String(1000), nullable=False),
    Column("snapshot", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("confirmed_by", String(1000), nullable=False),
    Column("confirmed_at", UtcDateTime),
    Column("lifted_at", UtcDateTime),
    Column("problem", JSON, nullable=False),
    sqlite_autoincrement=True,
)

reports = Table(
    "reports",
    metadata,
    Column("id", Number, primary_key=True),
    Column("deployment", Number, ForeignKey("deployments.id"), nullable=False),
    Column("frontend", String(63), nullable=False),
    Column("step", String(16), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("detail", JSON, nullable=False),
    Column("problem", JSON, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Index("ix_reports_deployment", "deployment", "id"),
)

#: What changed anything, hash-chained (orchestrator/domain/trail.py). The database refuses to change or remove a row.
trail = Table(
    "trail",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("at", UtcDateTime, nullable=False),
    Column("action", String(63), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("fleet", String(127), nullable=False),
    Column("deployment", Number),
    Column("detail", JSON, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
)

#: API tokens. `name` is what the trail calls its bearer; `public` the part that may be shown; `hash` of the secret.
tokens = Table(
    "tokens",
    metadata,
    Column("id", Number, primary_key=True),
    Column("public", String(16), nullable=False),
    Column("name", String(63), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("grants", JSON, nullable=False),
    Column("actor", String(255), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    UniqueConstraint("public"),
)

#: Requests that were answered, by what their sender calls them: the same one again gets the same answer.
requests = Table(
    "requests",
    metadata,
    Column("id", Number, primary_key=True),
    Column("scope", String(127), nullable=False),
    Column("name", String(255), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("status", Integer),
    Column("answer", JSON),
    UniqueConstraint("scope", "name"),
)

#: LifeTime's deployment plans (docs/lifetime.md). What became of one is its deployment's to say.
lifetime_plans = Table(
    "lifetime_plans",
    metadata,
    Column("id", Number, primary_key=True),
    Column("key", String(36), nullable=False),
    Column("source", String(63), nullable=False),
    Column("target", String(63), nullable=False),
    Column("notes", String(2000), nullable=False),
    Column("operations", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
    Column("saved_by", String(255), nullable=False),
    Column("started_at", UtcDateTime),
    Column("started_by", String(255), nullable=False),
    Column("aborted_at", UtcDateTime),
    Column("aborted_by", String(255), nullable=False),
    Column("deployment", Number, ForeignKey("deployments.id")),
    Column("problem", JSON),
    UniqueConstraint("key"),
)

#: What hooks have set off: `name` is the delivery's, or the operation's where a zone is polled (docs/hooks.md).
triggers = Table(
    "triggers",
    metadata,
    Column("id", Number, primary_key=True),
    Column("hook", String(127), nullable=False),
    Column("name", String(255), nullable=False),
    Column("request", JSON, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("deployment", Number, ForeignKey("deployments.id")),
    Column("result", JSON),
    Column("ended_at", UtcDateTime),
    UniqueConstraint("hook", "name"),
)

#: Up to which entry of the trail a receiver's deliveries have been made out.
receivers = Table(
    "receivers",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("position", Number, nullable=False),
)

#: The outbox: what receivers of hooks are to be told, and how that went.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Number, primary_key=True),
    Column("receiver", String(80), nullable=False),
    Column("entry", Number, ForeignKey("trail.id"), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("gives_up_at", UtcDateTime, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", UtcDateTime),
    Column("delivered_at", UtcDateTime),
    Column("status", Integer),
    Column("problem", JSON, nullable=False),
    UniqueConstraint("receiver", "entry"),
)

#: Audits (docs/audits.md). Those of a schedule that were never begun have ended when their row is made.
audits = Table(
    "audits",
    metadata,
    Column("id", Number, primary_key=True),
    Column("fleet", String(127), nullable=False),
    Column("snapshot", JSON, nullable=False),
    Column("deep", Boolean(create_constraint=False), nullable=False),
    Column("policy", String(16), nullable=False),
    Column("remove_extra", Boolean(create_constraint=False), nullable=False),
    Column("actor", String(255), nullable=False),
    Column("scheduled_at", UtcDateTime),
    Column("begun_at", UtcDateTime, nullable=False),
    Column("outcome", String(16)),
    Column("ended_at", UtcDateTime),
    Column("detail", JSON, nullable=False),
    CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name="ended"),
)

#: From when on a fleet's schedule counts.
schedules = Table(
    "schedules",
    metadata,
    Column("fleet", String(127), primary_key=True),
    Column("deep", Boolean(create_constraint=False), primary_key=True),
    Column("starts_at", UtcDateTime, nullable=False),
)

#: What audits found. `identity` is the SHA-256 of what makes it the same finding in another audit.
findings = Table(
    "findings",
    metadata,
    Column("id", Number, primary_key=True),
    Column("identity", String(64), nullable=False),
    Column("fleet", String(127), nullable=False),
    Column("frontend", String(63), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("path", Text, nullable=False),
    Column("expected", Text, nullable=False),
    Column("found", Text, nullable=False),
    Column("seriousness", String(16), nullable=False),
    Column("first_audit", Number, ForeignKey("audits.id"), nullable=False),
    Column("last_audit", Number, ForeignKey("audits.id"), nullable=False),
    Column("opened_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("closed_at", UtcDateTime),
    Column("closed_by", Number, ForeignKey("audits.id")),
    CheckConstraint("(closed_at IS NULL) = (closed_by IS NULL)", name="closed"),
)

#: What audits did about findings, healed or given up, while that counts. A finding may have no row yet.
treatments = Table(
    "treatments",
    metadata,
    Column("id", Number, primary_key=True),
    Column("audit", Number, ForeignKey("audits.id"), nullable=False),
    Column("fleet", String(127), nullable=False),
    Column("identity", String(64), nullable=False),
    Column("treatment", String(16), nullable=False),
    Column("frontend", String(63), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("path", Text, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    UniqueConstraint("fleet", "identity", "treatment", "audit"),
)
