"""Holders: the end and the sealed identity of a link, connections, progress, records kept apart."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("source_link", sa.Column("person_index", sa.LargeBinary(), nullable=True))
    op.add_column("source_link", sa.Column("identity_sealed", sa.LargeBinary(), nullable=True))
    # A row that says nothing of its end is over: the default refuses.
    op.add_column(
        "source_link", sa.Column("valid_until", sa.BigInteger(), nullable=False, server_default=sa.text("0"))
    )
    op.execute("UPDATE source_link SET valid_until = given_at + 31536000000000")  # a year, in microseconds
    op.create_index("ix_source_link_holder_id_person_index", "source_link", ["holder_id", "person_index"])
    op.create_table(
        "holder_connection",
        sa.Column("holder_id", sa.String(), nullable=False),
        sa.Column("endpoint", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["holder_id"],
            ["organisation.organisation_id"],
            name="fk_holder_connection_holder_id_organisation",
        ),
        sa.PrimaryKeyConstraint("holder_id", name="pk_holder_connection"),
    )
    op.create_table(
        "source_progress",
        sa.Column("link_id", sa.String(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("pass_mark", sa.BigInteger(), nullable=True),
        sa.Column("cursor_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("has_faults", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("fault", sa.String(), nullable=True),
        sa.Column("refusal", sa.String(), nullable=True),
        sa.Column("refused_at", sa.BigInteger(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("leased_until", sa.BigInteger(), nullable=True),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["link_id"], ["source_link.link_id"], name="fk_source_progress_link_id_source_link"
        ),
        sa.PrimaryKeyConstraint("link_id", name="pk_source_progress"),
    )
    op.create_index("ix_source_progress_next_at", "source_progress", ["next_at"])
    op.create_table(
        "pending_record",
        sa.Column("pending_id", sa.String(), nullable=False),
        sa.Column("name_index", sa.LargeBinary(), nullable=False),
        sa.Column("content_index", sa.LargeBinary(), nullable=False),
        sa.Column("holder_id", sa.String(), nullable=False),
        sa.Column("record_type", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("link_id", sa.String(), nullable=True),
        sa.Column("subject_id", sa.String(), nullable=True),
        sa.Column("told_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("content_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["holder_id"], ["organisation.organisation_id"], name="fk_pending_record_holder_id_organisation"
        ),
        sa.PrimaryKeyConstraint("pending_id", name="pk_pending_record"),
        sa.UniqueConstraint("name_index", name="uq_pending_record_name_index"),
    )
    op.create_index("ix_pending_record_expires_at", "pending_record", ["expires_at"])
    op.create_index("ix_pending_record_link_id", "pending_record", ["link_id"])
    op.create_index("ix_pending_record_subject_id", "pending_record", ["subject_id"])
