"""Alembic's entry for the keyring database."""

from migrations.environment import run_revisions
from migrations.tables import METADATA

run_revisions(METADATA["keyring"])
