"""Builds in the field, and what kind of update a deployment is."""

import sqlalchemy as sa
from alembic import op

from orchestrator.adapters.ledger.tables import Number, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of builds; deployments say what they mean for clients."""
    op.add_column("deployments", sa.Column("updates", sa.JSON()))
    op.create_table(
        "builds",
        sa.Column("id", Number, nullable=False),
        sa.Column("environment", sa.String(63), nullable=False),
        sa.Column("app", sa.String(63), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("platform", sa.String(32), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("retired_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_builds")),
        sa.UniqueConstraint("environment", "app", "name", name=op.f("uq_builds_environment_app_name")),
    )


def downgrade() -> None:
    """Back to a ledger that knows no builds."""
    op.drop_table("builds")
    op.drop_column("deployments", "updates")
