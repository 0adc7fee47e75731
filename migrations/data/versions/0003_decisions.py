"""Decisions: a delivery may have a further one after a review, and the person may ask for a review."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # In batch: SQLite can only change a constraint by writing the table anew.
    with op.batch_alter_table("decision") as decision:
        # Until now a delivery had one decision at most: each that is there is its delivery's first.
        decision.add_column(sa.Column("number", sa.Integer(), nullable=False, server_default=sa.text("1")))
        decision.add_column(sa.Column("review_requested_at", sa.BigInteger(), nullable=True))
        decision.drop_constraint("uq_decision_delivery_id", type_="unique")
        decision.create_unique_constraint("uq_decision_delivery_id_number", ["delivery_id", "number"])
