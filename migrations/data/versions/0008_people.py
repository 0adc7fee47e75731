"""People for people: guardians, mandates, co-holders, shields, emergencies."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("consent", sa.Column("pause_at", sa.BigInteger(), nullable=True))
    op.create_index("ix_consent_pause_at", "consent", ["pause_at"])
    op.add_column("account_session", sa.Column("representation_id", sa.String(), nullable=True))
    _representations()
    _accounts()
    _emergencies()


def _subject(column: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    foreign_key = sa.ForeignKey("subject.subject_id")
    return sa.Column(column, sa.String(), foreign_key, nullable=nullable, primary_key=primary_key)


def _representations() -> None:
    op.create_table(
        "representation",
        sa.Column("representation_id", sa.String(), primary_key=True),
        _subject("subject_id"),
        _subject("representative_id", nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("purposes", sa.String(), nullable=True),
        sa.Column("actions", sa.String(), nullable=False),
        sa.Column("evidence", sa.String(), nullable=True),
        sa.Column("evidence_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("subject_name_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("representative_name_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("handle", sa.String(), nullable=False, unique=True),
        sa.Column("notice_handle", sa.String(), nullable=False, unique=True),
        sa.Column("valid_from", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=False),
        sa.Column("alone_from", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("end_reason", sa.String(), nullable=True),
    )
    op.create_index("ix_representation_subject_id", "representation", ["subject_id"])
    op.create_index("ix_representation_representative_id", "representation", ["representative_id"])
    op.create_index("ix_representation_state_valid_until", "representation", ["state", "valid_until"])


def _accounts() -> None:
    op.create_table(
        "co_holding",
        sa.Column("account_id", sa.String(), primary_key=True),
        _subject("subject_id", primary_key=True),
        sa.Column(
            "organisation_id", sa.String(), sa.ForeignKey("organisation.organisation_id"), nullable=False
        ),
        sa.Column("record_type", sa.String(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False, unique=True),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_co_holding_subject_id", "co_holding", ["subject_id"])
    op.create_table(
        "shield",
        sa.Column("shield_id", sa.String(), primary_key=True),
        _subject("subject_id"),
        _subject("other_id"),
        sa.Column("reason_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("is_confirmed", sa.Boolean(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False, unique=True),
        sa.Column("raised_at", sa.BigInteger(), nullable=False),
        sa.Column("lifted_at", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_shield_subject_id", "shield", ["subject_id"])


def _emergencies() -> None:
    op.create_table(
        "emergency_access",
        sa.Column("emergency_id", sa.String(), primary_key=True),
        _subject("subject_id"),
        sa.Column("recipient_id", sa.String(), sa.ForeignKey("organisation.organisation_id"), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("grant_id", sa.String(), nullable=False, unique=True),
        sa.Column("statement_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False, unique=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("reviewed_at", sa.BigInteger(), nullable=True),
        sa.Column("finding", sa.String(), nullable=True),
        sa.Column("answer", sa.String(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_emergency_access_subject_id", "emergency_access", ["subject_id"])
    op.create_index("ix_emergency_access_state_due_at", "emergency_access", ["state", "due_at"])
    op.create_index("ix_emergency_access_client_id_state", "emergency_access", ["client_id", "state"])
    op.create_table(
        "emergency_refusal",
        sa.Column("refusal_id", sa.String(), primary_key=True),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("refused_at", sa.BigInteger(), nullable=False),
    )
    op.create_index(
        "ix_emergency_refusal_client_id_refused_at", "emergency_refusal", ["client_id", "refused_at"]
    )
