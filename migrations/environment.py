"""What both `env.py` files do: run revisions on the connection that `migrations.run` hands over."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import MetaData
from sqlmodel.sql.sqltypes import AutoString

from vault.schema import Instant


def run_revisions(metadata: MetaData) -> None:
    """Run the asked revisions, all in the caller's transaction: a failed upgrade leaves nothing behind."""
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        render_item=render_item,
        user_module_prefix="sa.",
    )
    context.run_migrations()


def render_item(kind: str, item: Any, autogen_context: AutogenContext) -> str | Literal[False]:  # noqa: ANN401 - Alembic's signature
    """Write our own column types as what the database stores: revisions must outlive our classes."""
    del autogen_context
    if kind == "type" and isinstance(item, Instant):
        return "sa.BigInteger()"
    if kind == "type" and isinstance(item, AutoString):
        return "sa.String()"
    return False
