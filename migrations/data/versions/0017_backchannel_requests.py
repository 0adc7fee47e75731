"""Requests that come without a browser: OpenID Client-Initiated Backchannel Authentication."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.create_table(
        "backchannel_request",
        sa.Column("auth_req_hash", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("interval_seconds", sa.Integer(), nullable=False),
        sa.Column("polled_at", sa.BigInteger(), nullable=True),
        sa.Column("code_hash", sa.LargeBinary(), nullable=True),
        sa.Column("notification_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"], ["client.client_id"], name="fk_backchannel_request_client_id_client"
        ),
        sa.PrimaryKeyConstraint("auth_req_hash", name="pk_backchannel_request"),
        sa.UniqueConstraint("request_id", name="uq_backchannel_request_request_id"),
    )
    op.create_index("ix_backchannel_request_subject_id", "backchannel_request", ["subject_id"])
    op.create_index("ix_backchannel_request_expires_at", "backchannel_request", ["expires_at"])
