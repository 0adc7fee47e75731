"""Which clients were told of a browser's session, so that they hear of its end."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "session_client",
        sa.Column("participation_id", sa.String(), nullable=False),
        sa.Column("session_digest", sa.LargeBinary(), nullable=False),
        sa.Column("sid_digest", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["client_id"], ["client.client_id"], name="fk_session_client_client_id_client"
        ),
        sa.PrimaryKeyConstraint("participation_id", name="pk_session_client"),
        sa.UniqueConstraint("sid_digest", "client_id", name="uq_session_client_sid_digest"),
    )
    op.create_index("ix_session_client_session_digest", "session_client", ["session_digest"])
