"""Registration by invitation: initial access tokens, and the clients that registered themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "client_invitation",
        sa.Column("invitation_id", sa.String(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("organisation_id", sa.String(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("purposes", sa.String(), nullable=False),
        sa.Column("security_profile", sa.String(), nullable=False),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            ["organisation.organisation_id"],
            name="fk_client_invitation_organisation_id_organisation",
        ),
        sa.PrimaryKeyConstraint("invitation_id", name="pk_client_invitation"),
        sa.UniqueConstraint("token_hash", name="uq_client_invitation_token_hash"),
    )
    op.create_index("ix_client_invitation_organisation_id", "client_invitation", ["organisation_id"])
    op.create_table(
        "managed_client",
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("invitation_id", sa.String(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"], ["client.client_id"], name="fk_managed_client_client_id_client"
        ),
        sa.ForeignKeyConstraint(
            ["invitation_id"],
            ["client_invitation.invitation_id"],
            name="fk_managed_client_invitation_id_client_invitation",
        ),
        sa.PrimaryKeyConstraint("client_id", name="pk_managed_client"),
        sa.UniqueConstraint("token_hash", name="uq_managed_client_token_hash"),
    )
    op.create_index("ix_managed_client_invitation_id", "managed_client", ["invitation_id"])
