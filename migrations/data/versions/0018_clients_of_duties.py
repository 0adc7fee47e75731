"""What a client is to be told is found by the client: a poll does not look through the others' duties."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_OF_A_CONSENT = (
    "UPDATE duty SET client_id = "
    "(SELECT consent.client_id FROM consent WHERE consent.grant_id = duty.target) "
    "WHERE done_at IS NULL AND kind IN ('tell_recipient', 'tell_ended', 'tell_paused', 'tell_resumed', "
    "'tell_due', 'tell_replaced', 'tell_token')"
)
_OF_A_DECISION = (
    "UPDATE duty SET client_id = (SELECT consent.client_id FROM decision "
    "JOIN consent ON consent.grant_id = decision.grant_id WHERE decision.decision_id = duty.target) "
    "WHERE done_at IS NULL AND kind = 'ask_review'"
)
_OF_A_STREAM = "UPDATE duty SET client_id = target WHERE done_at IS NULL AND kind = 'tell_stream'"


def upgrade() -> None:
    op.add_column("duty", sa.Column("client_id", sa.String(), nullable=True))
    # Of those that are done, which are many and kept for ever, nothing is told any more.
    for fill in (_OF_A_CONSENT, _OF_A_DECISION, _OF_A_STREAM):
        op.execute(fill)
    op.create_index("ix_duty_client_id_done_at", "duty", ["client_id", "done_at"])
