"""Notifications: what people are told, how they want to be told."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # There is no cursor yet: the first pass begins with the first entry, so what was before is told too.
    op.create_table(
        "notification_cursor",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("next_idx", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("told_year", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_notification_cursor"),
    )
    op.create_table(
        "notification",
        sa.Column("notification_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("idx", sa.BigInteger(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("organisation_id", sa.String(), nullable=True),
        sa.Column("purpose", sa.String(), nullable=True),
        sa.Column("grant_id", sa.String(), nullable=True),
        sa.Column("year", sa.Integer(), nullable=True),
        sa.Column("batched_until", sa.BigInteger(), nullable=True),
        sa.Column("digest_id", sa.String(), nullable=True),
        sa.Column("read_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subject_id"], ["subject.subject_id"], name="fk_notification_subject_id_subject"
        ),
        sa.PrimaryKeyConstraint("notification_id", name="pk_notification"),
        sa.UniqueConstraint("idx", "subject_id", name="uq_notification_idx_subject_id"),
        sa.UniqueConstraint("subject_id", "year", name="uq_notification_subject_id_year"),
    )
    op.create_index("ix_notification_subject_id_at", "notification", ["subject_id", "at"])
    op.create_index("ix_notification_digest_id_batched_until", "notification", ["digest_id", "batched_until"])
    op.create_table(
        "notification_preference",
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("pulls", sa.String(), nullable=False),
        sa.Column("refusals", sa.String(), nullable=False),
        sa.Column("wants_yearly", sa.Boolean(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"], ["subject.subject_id"], name="fk_notification_preference_subject_id_subject"
        ),
        sa.PrimaryKeyConstraint("subject_id", name="pk_notification_preference"),
    )
    op.create_table(
        "contact",
        sa.Column("contact_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("address_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("code_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("wrong_codes", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("confirmed_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("fault", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["subject_id"], ["subject.subject_id"], name="fk_contact_subject_id_subject"),
        sa.PrimaryKeyConstraint("contact_id", name="pk_contact"),
    )
    # Telling finds the person by an entry's handle, batch by batch.
    op.create_index("ix_source_link_handle", "source_link", ["handle"])
    op.create_index("ix_contact_subject_id_channel", "contact", ["subject_id", "channel"])
    # What the log holds already was seen on the pages: telling begins with what comes next.
    op.execute(
        "INSERT INTO notification_cursor (name, next_idx, at, told_year) "
        "SELECT 'log', count(*), max(at), 0 FROM ledger_entry HAVING count(*) > 0"
    )
