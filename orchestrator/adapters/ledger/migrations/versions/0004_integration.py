"""The trail, tokens, and what the API, LifeTime's pipelines and hooks need to remember."""

import sqlalchemy as sa
from alembic import op

from orchestrator.adapters.ledger.tables import Number, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

#: The trail only grows. SQLite's REPLACE removes a row without a word to the trigger on DELETE.
SQLITE_GUARDS = (
    "CREATE TRIGGER trail_update BEFORE UPDATE ON trail BEGIN SELECT RAISE(ABORT, 'the trail only grows'); END",
    "CREATE TRIGGER trail_delete BEFORE DELETE ON trail BEGIN SELECT RAISE(ABORT, 'the trail only grows'); END",
    "CREATE TRIGGER trail_insert BEFORE INSERT ON trail WHEN EXISTS (SELECT 1 FROM trail WHERE id = NEW.id) "
    "BEGIN SELECT RAISE(ABORT, 'the trail only grows'); END",
)
POSTGRESQL_GUARDS = (
    "CREATE FUNCTION trail_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the trail only grows'; END $$",
    "CREATE TRIGGER trail_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON trail EXECUTE FUNCTION trail_only_grows()",
)


def upgrade() -> None:
    """Make the tables."""
    _trail()
    _requests()
    _lifetime()
    _hooks()
    for statement in POSTGRESQL_GUARDS if op.get_bind().dialect.name == "postgresql" else SQLITE_GUARDS:
        op.execute(statement)


def _trail() -> None:
    op.create_table(
        "trail",
        sa.Column("id", Number, nullable=False, autoincrement=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("action", sa.String(63), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("fleet", sa.String(127), nullable=False),
        sa.Column("deployment", Number),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trail")),
    )
    op.create_table(
        "tokens",
        sa.Column("id", Number, nullable=False),
        sa.Column("public", sa.String(16), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("grants", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime()),
        sa.Column("revoked_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("public", name=op.f("uq_tokens_public")),
    )


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("id", Number, nullable=False),
        sa.Column("scope", sa.String(127), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("answer", sa.JSON()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
        sa.UniqueConstraint("scope", "name", name=op.f("uq_requests_scope_name")),
    )


def _lifetime() -> None:
    op.create_table(
        "lifetime_plans",
        sa.Column("id", Number, nullable=False),
        sa.Column("key", sa.String(36), nullable=False),
        sa.Column("source", sa.String(63), nullable=False),
        sa.Column("target", sa.String(63), nullable=False),
        sa.Column("notes", sa.String(2000), nullable=False),
        sa.Column("operations", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("saved_at", UtcDateTime(), nullable=False),
        sa.Column("saved_by", sa.String(255), nullable=False),
        sa.Column("started_at", UtcDateTime()),
        sa.Column("started_by", sa.String(255), nullable=False),
        sa.Column("aborted_at", UtcDateTime()),
        sa.Column("aborted_by", sa.String(255), nullable=False),
        sa.Column("deployment", Number),
        sa.Column("problem", sa.JSON()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lifetime_plans")),
        sa.UniqueConstraint("key", name=op.f("uq_lifetime_plans_key")),
        sa.ForeignKeyConstraint(["deployment"], ["deployments.id"], name=op.f("fk_lifetime_plans_deployment")),
    )


def _hooks() -> None:
    op.create_table(
        "triggers",
        sa.Column("id", Number, nullable=False),
        sa.Column("hook", sa.String(63), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("deployment", Number),
        sa.Column("result", sa.JSON()),
        sa.Column("ended_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_triggers")),
        sa.UniqueConstraint("hook", "name", name=op.f("uq_triggers_hook_name")),
        sa.ForeignKeyConstraint(["deployment"], ["deployments.id"], name=op.f("fk_triggers_deployment")),
    )
    op.create_table(
        "receivers",
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("position", Number, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_receivers")),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", Number, nullable=False),
        sa.Column("receiver", sa.String(63), nullable=False),
        sa.Column("entry", Number, nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", UtcDateTime()),
        sa.Column("delivered_at", UtcDateTime()),
        sa.Column("status", sa.Integer()),
        sa.Column("problem", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
        sa.UniqueConstraint("receiver", "entry", name=op.f("uq_deliveries_receiver_entry")),
        sa.ForeignKeyConstraint(["entry"], ["trail.id"], name=op.f("fk_deliveries_entry")),
    )
    op.create_index(
        "ix_deliveries_due",
        "deliveries",
        ["due_at"],
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )


def downgrade() -> None:
    """Back to a ledger without them."""
    op.drop_index("ix_deliveries_due", "deliveries")
    for table in ("deliveries", "receivers", "triggers", "lifetime_plans", "requests", "tokens", "trail"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION trail_only_grows()")
