"""Audits, what they found and what was done about it; deployments that heal."""

import sqlalchemy as sa
from alembic import op

from orchestrator.adapters.ledger.tables import Number, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; an epoch is one deployment's, but for readmissions and healing."""
    op.add_column("deployments", sa.Column("healing", sa.JSON()))
    _index_epochs("kind NOT IN ('readmit', 'heal')")
    _audits()
    _findings()


def _index_epochs(where: str) -> None:
    op.drop_index("uq_deployments_epoch", "deployments")
    op.create_index(
        "uq_deployments_epoch",
        "deployments",
        ["fleet", "epoch"],
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def _audits() -> None:
    op.create_table(
        "audits",
        sa.Column("id", Number, nullable=False),
        sa.Column("fleet", sa.String(127), nullable=False),
        sa.Column("snapshot", sa.JSON(), nullable=False),
        sa.Column("deep", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("policy", sa.String(16), nullable=False),
        sa.Column("remove_extra", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("scheduled_at", UtcDateTime()),
        sa.Column("begun_at", UtcDateTime(), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("ended_at", UtcDateTime()),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.CheckConstraint("(ended_at IS NULL) = (outcome IS NULL)", name=op.f("ck_audits_ended")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audits")),
    )
    op.create_index(
        "uq_audits_open",
        "audits",
        ["fleet"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index(
        "uq_audits_scheduled",
        "audits",
        ["fleet", "deep", "scheduled_at"],
        unique=True,
        sqlite_where=sa.text("scheduled_at IS NOT NULL"),
        postgresql_where=sa.text("scheduled_at IS NOT NULL"),
    )
    op.create_table(
        "schedules",
        sa.Column("fleet", sa.String(127), nullable=False),
        sa.Column("deep", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("starts_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("fleet", "deep", name=op.f("pk_schedules")),
    )


def _findings() -> None:
    op.create_table(
        "findings",
        sa.Column("id", Number, nullable=False),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.Column("fleet", sa.String(127), nullable=False),
        sa.Column("frontend", sa.String(63), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("expected", sa.Text(), nullable=False),
        sa.Column("found", sa.Text(), nullable=False),
        sa.Column("seriousness", sa.String(16), nullable=False),
        sa.Column("first_audit", Number, nullable=False),
        sa.Column("last_audit", Number, nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False),
        sa.Column("closed_at", UtcDateTime()),
        sa.Column("closed_by", Number),
        sa.CheckConstraint("(closed_at IS NULL) = (closed_by IS NULL)", name=op.f("ck_findings_closed")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_findings")),
        sa.ForeignKeyConstraint(["first_audit"], ["audits.id"], name=op.f("fk_findings_first_audit")),
        sa.ForeignKeyConstraint(["last_audit"], ["audits.id"], name=op.f("fk_findings_last_audit")),
        sa.ForeignKeyConstraint(["closed_by"], ["audits.id"], name=op.f("fk_findings_closed_by")),
    )
    op.create_index(
        "uq_findings_open",
        "findings",
        ["fleet", "identity"],
        unique=True,
        sqlite_where=sa.text("closed_at IS NULL"),
        postgresql_where=sa.text("closed_at IS NULL"),
    )
    op.create_table(
        "treatments",
        sa.Column("id", Number, nullable=False),
        sa.Column("audit", Number, nullable=False),
        sa.Column("fleet", sa.String(127), nullable=False),
        sa.Column("identity", sa.String(64), nullable=False),
        sa.Column("treatment", sa.String(16), nullable=False),
        sa.Column("frontend", sa.String(63), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_treatments")),
        sa.UniqueConstraint(
            "fleet", "identity", "treatment", "audit", name=op.f("uq_treatments_fleet_identity_treatment_audit")
        ),
        sa.ForeignKeyConstraint(["audit"], ["audits.id"], name=op.f("fk_treatments_audit")),
    )


def downgrade() -> None:
    """Back to a ledger that knows no audits. Fails where healing shares its epoch with a deployment."""
    for table in ("treatments", "findings", "schedules", "audits"):
        op.drop_table(table)
    _index_epochs("kind <> 'readmit'")
    op.drop_column("deployments", "healing")
