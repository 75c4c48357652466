"""Drains, and deployments that readmit frontends at an epoch that is another deployment's."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

from orchestrator.adapters.ledger.tables import Number, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of drains; an epoch is one deployment's, but for readmissions."""
    with _reports_aside(), op.batch_alter_table("deployments") as batch:
        batch.add_column(sa.Column("readmits", sa.JSON()))
        batch.drop_constraint(op.f("uq_deployments_fleet_epoch"), type_="unique")
    op.create_index(
        "uq_deployments_epoch",
        "deployments",
        ["fleet", "epoch"],
        unique=True,
        sqlite_where=sa.text("kind <> 'readmit'"),
        postgresql_where=sa.text("kind <> 'readmit'"),
    )
    op.create_table(
        "drains",
        sa.Column("id", Number, nullable=False),
        sa.Column("fleet", sa.String(127), nullable=False),
        sa.Column("frontend", sa.String(63), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("nonce", sa.String(16), nullable=False),
        sa.Column("actor", sa.String(255), nullable=False),
        sa.Column("reason", sa.String(1000), nullable=False),
        sa.Column("snapshot", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("confirmed_by", sa.String(1000), nullable=False),
        sa.Column("confirmed_at", UtcDateTime()),
        sa.Column("lifted_at", UtcDateTime()),
        sa.Column("problem", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drains")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "uq_drains_standing",
        "drains",
        ["fleet", "frontend"],
        unique=True,
        sqlite_where=sa.text("lifted_at IS NULL"),
        postgresql_where=sa.text("lifted_at IS NULL"),
    )


def downgrade() -> None:
    """Back to a ledger without drains. Fails where a readmission shares its epoch with a deployment."""
    op.drop_table("drains")
    op.drop_index("uq_deployments_epoch", "deployments")
    with _reports_aside(), op.batch_alter_table("deployments") as batch:
        batch.create_unique_constraint(op.f("uq_deployments_fleet_epoch"), ["fleet", "epoch"])
        batch.drop_column("readmits")


@contextmanager
def _reports_aside() -> Iterator[None]:
    """SQLite drops a constraint with its whole table alone, and no table whose rows others refer to."""
    aside = op.get_bind().dialect.name == "sqlite"
    if aside:
        op.execute("CREATE TABLE reports_aside AS SELECT * FROM reports")
        op.execute("DELETE FROM reports")
    yield
    if aside:
        op.execute("INSERT INTO reports SELECT * FROM reports_aside")
        op.execute("DROP TABLE reports_aside")
