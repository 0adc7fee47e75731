"""Fixtures for every test: databases of both kinds, and a whole installation on them."""

pytest_plugins = ["tests.postgres", "tests.databases", "tests.installation"]
