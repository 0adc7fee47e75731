"""Obligations: what a recipient still owes, and the attestation that closes it."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    # Earlier deliveries keep 0: their terms are sealed, and no revision opens them.
    days = sa.Column("retention_days", sa.Integer(), nullable=False, server_default=sa.text("0"))
    op.add_column("delivery", days)
    op.create_table(
        "obligation",
        sa.Column("obligation_id", sa.String(), primary_key=True),
        sa.Column("grant_id", sa.String(), nullable=False, unique=True),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("recipient_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("days_after_end", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.String(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("check_at", sa.BigInteger(), nullable=True),
        sa.Column("acknowledged_at", sa.BigInteger(), nullable=True),
        sa.Column("attested_at", sa.BigInteger(), nullable=True),
        sa.Column("attested_count", sa.Integer(), nullable=False),
        sa.Column("attestation_digest", sa.LargeBinary(), nullable=True),
        sa.Column("attestation_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("disputed_at", sa.BigInteger(), nullable=True),
    )
    op.create_index(
        "ix_obligation_recipient_id_obligation_id", "obligation", ["recipient_id", "obligation_id"]
    )
    op.create_index("ix_obligation_state_due_at", "obligation", ["state", "due_at"])
    op.create_index("ix_obligation_check_at", "obligation", ["check_at"])
