"""Signing keys that follow one another: next, current, previous, retired."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("service_key") as key:
        key.add_column(sa.Column("signs_from", sa.BigInteger(), nullable=True))
        key.add_column(sa.Column("signed_until", sa.BigInteger(), nullable=True))
    # Until now a key signed from the moment it was made.
    op.execute("UPDATE service_key SET signs_from = created_at")
    with op.batch_alter_table("service_key") as key:
        key.alter_column("signs_from", existing_type=sa.BigInteger(), nullable=False)
    op.create_index(
        "uq_service_key_next",
        "service_key",
        ["name"],
        unique=True,
        sqlite_where=sa.text("state = 'next'"),
        postgresql_where=sa.text("state = 'next'"),
    )
