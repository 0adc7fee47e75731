"""Versions of a consent: how each came to be, what is asked to change, who must sign, what was shown."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from vault.schema import to_microseconds

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    _consents()
    op.create_table(
        "consent_change",
        sa.Column("change_id", sa.String(), primary_key=True),
        sa.Column("grant_id", sa.String(), sa.ForeignKey("consent.grant_id"), nullable=False),
        sa.Column("base_number", sa.Integer(), nullable=False),
        sa.Column("terms_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_consent_change_grant_id", "consent_change", ["grant_id"])
    op.create_index("ix_consent_change_state_expires_at", "consent_change", ["state", "expires_at"])
    op.create_table(
        "consent_party",
        sa.Column("grant_id", sa.String(), sa.ForeignKey("consent.grant_id"), primary_key=True),
        sa.Column("subject_id", sa.String(), sa.ForeignKey("subject.subject_id"), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_consent_party_subject_id", "consent_party", ["subject_id"])
    op.create_table(
        "notice_revision",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("revision", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("is_material", sa.Boolean(), nullable=False),
        sa.Column("predecessor_digest", sa.LargeBinary(), nullable=True),
        sa.Column("published_at", sa.BigInteger(), nullable=False),
        sa.Column("applied_to", sa.String(), nullable=False),
        sa.Column("applied_at", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_notice_revision_purpose_language", "notice_revision", ["purpose", "language"])


def _consents() -> None:
    op.add_column("consent", sa.Column("state_reason", sa.String(), nullable=True))
    op.add_column("consent", sa.Column("deal_id", sa.String(), nullable=True))
    op.add_column("consent", sa.Column("signed_by", sa.String(), nullable=True))
    op.create_index("ix_consent_deal_id", "consent", ["deal_id"])
    # Until now a person paused by themselves only.
    op.execute("UPDATE consent SET state_reason = 'by_subject' WHERE state = 'PAUSED'")
    for table in ("consent", "delivery"):
        since = sa.Column("places_since", sa.Integer(), nullable=False, server_default=sa.text("1"))
        op.add_column(table, since)
    kind = sa.Column("kind", sa.String(), nullable=False, server_default=sa.text("'grant'"))
    op.add_column("consent_version", kind)
    op.execute("UPDATE consent_version SET kind = 'request' WHERE number = 0")
    op.add_column("pushed_request", sa.Column("grant_id", sa.String(), nullable=True))
    op.add_column("account", sa.Column("last_signed_in_at", sa.BigInteger(), nullable=True))
    # When people were here last is not known: nobody is taken for absent since before today.
    op.execute(
        sa.text("UPDATE account SET last_signed_in_at = :now").bindparams(
            now=to_microseconds(datetime.now(UTC))  # noqa: TID251 - the edge: nobody hands a migration the time
        )
    )
    op.add_column("interaction", sa.Column("change_id", sa.String(), nullable=True))
