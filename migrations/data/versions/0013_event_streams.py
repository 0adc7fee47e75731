"""Event streams of the Shared Signals transmitter, and when what a duty tells of happened."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    with op.batch_alter_table("duty") as duty:
        duty.add_column(sa.Column("happened_at", sa.BigInteger(), nullable=True))
        duty.add_column(sa.Column("told_type", sa.String(), nullable=True))
        duty.add_column(sa.Column("told_due", sa.String(), nullable=True))
    # Of those that are done, which are many and kept for ever, nothing is told any more.
    op.execute("UPDATE duty SET happened_at = created_at WHERE done_at IS NULL")
    op.create_table(
        "event_stream",
        sa.Column("stream_id", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("delivery_method", sa.String(), nullable=False),
        sa.Column("endpoint_url", sa.String(), nullable=True),
        sa.Column("authorization_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("events_requested", sa.String(), nullable=True),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("status_reason", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["client_id"], ["client.client_id"], name="fk_event_stream_client_id_client"),
        sa.PrimaryKeyConstraint("stream_id", name="pk_event_stream"),
        sa.UniqueConstraint("client_id", name="uq_event_stream_client_id"),
    )
    op.create_table(
        "stream_subject",
        sa.Column("stream_id", sa.String(), nullable=False),
        sa.Column("subject_index", sa.LargeBinary(), nullable=False),
        sa.Column("is_included", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["event_stream.stream_id"], name="fk_stream_subject_stream_id_event_stream"
        ),
        sa.PrimaryKeyConstraint("stream_id", "subject_index", name="pk_stream_subject"),
    )
    op.create_table(
        "stream_notice",
        sa.Column("notice_id", sa.String(), nullable=False),
        sa.Column("stream_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["event_stream.stream_id"], name="fk_stream_notice_stream_id_event_stream"
        ),
        sa.PrimaryKeyConstraint("notice_id", name="pk_stream_notice"),
    )
    op.create_index("ix_stream_notice_stream_id", "stream_notice", ["stream_id"])
