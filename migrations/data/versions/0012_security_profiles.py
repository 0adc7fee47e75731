"""Security profiles of clients, constraints of tokens, and what a sign-in says."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    with op.batch_alter_table("client") as client:
        client.add_column(
            sa.Column("security_profile", sa.String(), nullable=False, server_default=sa.text("'fapi2'"))
        )
        client.add_column(
            sa.Column("client_metadata", sa.String(), nullable=False, server_default=sa.text("'{}'"))
        )
    # What a client pushed in the last minutes cannot be sealed here: those requests are over, none is lost
    # half-way, and the client pushes again.
    op.execute("UPDATE pushed_request SET used_at = created_at WHERE used_at IS NULL")
    with op.batch_alter_table("pushed_request") as request:
        request.add_column(sa.Column("kept_sealed", sa.LargeBinary(), nullable=True))
        request.alter_column("terms_sealed", existing_type=sa.LargeBinary(), nullable=True)
        request.drop_column("state")
    with op.batch_alter_table("code") as code:
        code.alter_column("grant_id", existing_type=sa.String(), nullable=True)
        code.alter_column("version_id", existing_type=sa.String(), nullable=True)
        code.add_column(sa.Column("request_id", sa.String(), nullable=True))
        code.add_column(sa.Column("kept_sealed", sa.LargeBinary(), nullable=True))
        code.add_column(sa.Column("auth_time", sa.BigInteger(), nullable=True))
        code.add_column(sa.Column("acr", sa.String(), nullable=True))
        code.add_column(sa.Column("session_digest", sa.LargeBinary(), nullable=True))
    with op.batch_alter_table("token") as token:
        token.add_column(sa.Column("cnf", sa.String(), nullable=True))
        token.add_column(sa.Column("auth_time", sa.BigInteger(), nullable=True))
        token.add_column(sa.Column("acr", sa.String(), nullable=True))
        token.add_column(sa.Column("session_digest", sa.LargeBinary(), nullable=True))
    op.execute("UPDATE token SET cnf = 'jkt:' || jkt")
    with op.batch_alter_table("token") as token:
        token.alter_column("cnf", existing_type=sa.String(), nullable=False)
        token.drop_column("jkt")
