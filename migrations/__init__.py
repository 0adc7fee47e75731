"""Schema revisions of both databases. Alembic's configuration is built in code, so it works from a wheel."""
