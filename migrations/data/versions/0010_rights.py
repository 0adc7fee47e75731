"""Rights of the data subject, counts for statistics, and the role in which a source was linked."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "right_request",
        sa.Column("right_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False),
        sa.Column("grant_id", sa.String(), nullable=True),
        sa.Column("organisation_id", sa.String(), nullable=True),
        sa.Column("body_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("record_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("answer_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("filed_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subject_id"], ["subject.subject_id"], name="fk_right_request_subject_id_subject"
        ),
        sa.PrimaryKeyConstraint("right_id", name="pk_right_request"),
        sa.UniqueConstraint("handle", name="uq_right_request_handle"),
    )
    op.create_index("ix_right_request_subject_id", "right_request", ["subject_id"])
    op.create_index("ix_right_request_state_due_at", "right_request", ["state", "due_at"])
    op.create_table(
        "abandoned_flow",
        sa.Column("month", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("flows", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("month", "purpose", "stage", name="pk_abandoned_flow"),
    )
    op.create_table(
        "statistics_fold",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_statistics_fold"),
    )
    # Until now there was one role, and every link was made in it.
    with op.batch_alter_table("source_link") as link:
        link.add_column(sa.Column("role", sa.String(), nullable=False, server_default=sa.text("'manager'")))
