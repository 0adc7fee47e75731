"""Alembic's entry for the data database."""

from migrations.environment import run_revisions
from migrations.tables import METADATA

run_revisions(METADATA["data"])
