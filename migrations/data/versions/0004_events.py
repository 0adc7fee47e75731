"""Events for recipients: where they go, and duties that were given up."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("client", sa.Column("events_endpoint", sa.String(), nullable=True))
    op.add_column("duty", sa.Column("dead_at", sa.BigInteger(), nullable=True))
    op.add_column("duty", sa.Column("fault", sa.String(), nullable=True))
    op.create_index("ix_consent_compartment_compartment_id", "consent_compartment", ["compartment_id"])
