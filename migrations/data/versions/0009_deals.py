"""Deals: several people, one matter, all or nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "deal",
        sa.Column("deal_id", sa.String(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("recipient_id", sa.String(), nullable=False),
        sa.Column("matter_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("state_reason", sa.String(), nullable=True),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["organisation.organisation_id"], name="fk_deal_recipient_id_organisation"
        ),
        sa.PrimaryKeyConstraint("deal_id", name="pk_deal"),
        sa.UniqueConstraint("handle", name="uq_deal_handle"),
    )
    op.create_index("ix_deal_client_id", "deal", ["client_id"])
    op.create_index("ix_deal_state_deadline", "deal", ["state", "deadline"])
    _members()
    op.add_column("pushed_request", sa.Column("deal_member_id", sa.String(), nullable=True))


def _members() -> None:
    op.create_table(
        "deal_member",
        sa.Column("member_id", sa.String(), nullable=False),
        sa.Column("deal_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("recipient_id", sa.String(), nullable=False),
        sa.Column("invitation_digest", sa.LargeBinary(), nullable=False),
        sa.Column("grant_id", sa.String(), nullable=True),
        sa.Column("subject_id", sa.String(), nullable=True),
        sa.Column("signed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["deal_id"], ["deal.deal_id"], name="fk_deal_member_deal_id_deal"),
        sa.ForeignKeyConstraint(
            ["recipient_id"],
            ["organisation.organisation_id"],
            name="fk_deal_member_recipient_id_organisation",
        ),
        sa.ForeignKeyConstraint(["grant_id"], ["consent.grant_id"], name="fk_deal_member_grant_id_consent"),
        sa.ForeignKeyConstraint(
            ["subject_id"], ["subject.subject_id"], name="fk_deal_member_subject_id_subject"
        ),
        sa.PrimaryKeyConstraint("member_id", name="pk_deal_member"),
        sa.UniqueConstraint("grant_id", name="uq_deal_member_grant_id"),
        sa.UniqueConstraint("invitation_digest", name="uq_deal_member_invitation_digest"),
    )
    op.create_index("ix_deal_member_deal_id_role", "deal_member", ["deal_id", "role"], unique=True)
    op.create_index("ix_deal_member_subject_id", "deal_member", ["subject_id"])
