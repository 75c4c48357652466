"""Releases, deployments and reports."""

import sqlalchemy as sa
from alembic import op

from orchestrator.adapters.ledger.tables import Number, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

DECIDED = """
CASE decision
WHEN 'commit' THEN decided_at IS NOT NULL AND state IN ('activating', 'finishing', 'done')
WHEN 'abort' THEN decided_at IS NOT NULL AND state IN ('aborting', 'aborted')
ELSE decision IS NULL AND decided_at IS NULL
    AND state IN ('planned', 'staging', 'verifying', 'prepared', 'arming')
END
"""
ENDED = "(ended_at IS NOT NULL) = (state IN ('done', 'aborted'))"


def upgrade() -> None:
    """Make the three tables."""
    op.create_table(
        "releases",
        sa.Column("id", Number, nullable=False),
        sa.Column("app", sa.String(63), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
        sa.UniqueConstraint("app", "version", name=op.f("uq_releases_app_version")),
    )
    op.create_table(
        "deployments",
        sa.Column("id", Number, nullable=False),
        sa.Column("fleet", sa.String(127), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("nonce", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("decision", sa.String(8)),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("placements", sa.JSON(), nullable=False),
        sa.Column("frontends", sa.JSON(), nullable=False),
        sa.Column("snapshot", sa.JSON(), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("hold", sa.Boolean(), nullable=False),
        sa.Column("due_at", UtcDateTime()),
        sa.Column("expires_at", UtcDateTime()),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("decided_at", UtcDateTime()),
        sa.Column("ended_at", UtcDateTime()),
        sa.Column("troubles", sa.JSON(), nullable=False),
        sa.Column("skew", sa.Float()),
        sa.CheckConstraint("epoch > 0", name=op.f("ck_deployments_epoch")),
        sa.CheckConstraint(DECIDED, name=op.f("ck_deployments_decided")),
        sa.CheckConstraint(ENDED, name=op.f("ck_deployments_ended")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
        sa.UniqueConstraint("fleet", "epoch", name=op.f("uq_deployments_fleet_epoch")),
    )
    op.create_index(
        "uq_deployments_open",
        "deployments",
        ["fleet"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "reports",
        sa.Column("id", Number, nullable=False),
        sa.Column("deployment", Number, nullable=False),
        sa.Column("frontend", sa.String(63), nullable=False),
        sa.Column("step", sa.String(16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("problem", sa.JSON(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["deployment"], ["deployments.id"], name=op.f("fk_reports_deployment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reports")),
    )
    op.create_index("ix_reports_deployment", "reports", ["deployment", "id"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("reports")
    op.drop_table("deployments")
    op.drop_table("releases")
