"""Receipts of ends and of deletions."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "receipt",
        sa.Column("receipt_id", sa.String(), nullable=False),
        sa.Column("grant_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("entry_index", sa.BigInteger(), nullable=False),
        sa.Column("receipt_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["grant_id"], ["consent.grant_id"], name="fk_receipt_grant_id_consent"),
        sa.PrimaryKeyConstraint("receipt_id", name="pk_receipt"),
        sa.UniqueConstraint("entry_index", name="uq_receipt_entry_index"),
    )
    op.create_index("ix_receipt_grant_id", "receipt", ["grant_id"])
