"""What a browser's session gave is found by it at each sign-out; codes are found by their consent."""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    for table in ("code", "token"):
        op.create_index(f"ix_{table}_session_digest", table, ["session_digest"])
    op.create_index("ix_code_grant_id", "code", ["grant_id"])
